"""The engine's API by the Docker SDK, over a byte stream that a host dials.

Reads only: containers, images, logs, the engine itself. Importing this module imports the SDK, so
that it is imported when the first question is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import docker
import requests
import urllib3
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.errors import APIError, NotFound
from docker.transport.basehttpadapter import BaseHTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError

from installer.core.errors import ContainerRuntimeError, InstallError, Problem, Remedy
from installer.ports import ByteStream

Dial: TypeAlias = Callable[[], ByteStream]
T = TypeVar("T")

PREFIX = "http://engine:2375"
"""Where the stream is mounted; no such name is ever looked up."""

OLDEST = "1.41"
"""Engine 20.10. Newer engines refuse versions that are too old, so the real one is asked for."""

TIMEOUT_S = 60


class EngineApi:
    """Questions to one engine. `explain` makes the error for an engine that cannot be asked."""

    def __init__(self, dial: Dial, explain: Callable[[], InstallError]) -> None:
        self._dial = dial
        self._explain = explain
        self._client: docker.APIClient | None = None

    def containers(self, labels: Sequence[str]) -> tuple[Mapping[str, Any], ...]:
        """The full description of every container, running or not, that carries all labels."""

        def ask(client: docker.APIClient) -> tuple[Mapping[str, Any], ...]:
            found = client.containers(all=True, filters={"label": list(labels)})
            described: list[Mapping[str, Any]] = []
            for each in found:
                try:
                    described.append(client.inspect_container(each["Id"]))
                except NotFound:
                    continue  # removed since the list was made
            return tuple(described)

        return self._ask(ask)

    def logs(self, container: str, tail: int) -> tuple[str, ...]:
        """The last lines of a container, both streams, as they were written."""

        def ask(client: docker.APIClient) -> tuple[str, ...]:
            said = client.logs(container, stdout=True, stderr=True, tail=tail)
            return tuple(bytes(said).decode("utf-8", "backslashreplace").splitlines())

        return self._ask(ask)

    def images(self) -> tuple[Mapping[str, Any], ...]:
        """The summary of every image the engine has."""
        return self._ask(lambda client: tuple(client.images()))

    def info(self) -> Mapping[str, Any]:
        """What the engine says of itself and its host."""
        return self._ask(lambda client: client.info())

    def close(self) -> None:
        """Close the stream; the next question dials again."""
        if self._client is not None:
            self._client.close()
        self._client = None

    def _ask(self, question: Callable[[docker.APIClient], T]) -> T:
        """Ask; once more over a new stream when the old one is dead.

        Raises:
            ContainerRuntimeError: the engine answers with an error.
            InstallError: what `explain` makes.
        """
        fresh = self._client is None
        try:
            return self._try(question)
        except _UNREACHABLE as error:
            if fresh:
                raise self._explain() from error
        try:
            return self._try(question)
        except _UNREACHABLE as error:
            raise self._explain() from error

    def _try(self, question: Callable[[docker.APIClient], T]) -> T:
        try:
            if self._client is None:
                self._client = _connect(self._dial)
            return question(self._client)
        except APIError as error:
            raise ContainerRuntimeError(_api_problem(error)) from error
        except _UNREACHABLE:
            self.close()
            raise


_UNREACHABLE = (requests.exceptions.RequestException, HTTPError, OSError)


class _Connection(HTTPConnection):
    """An HTTP connection whose socket is a dialled stream."""

    def __init__(self, dial: Dial) -> None:
        super().__init__("engine", timeout=TIMEOUT_S)
        self._dial = dial

    def connect(self) -> None:
        stream: Any = self._dial()
        stream.settimeout(TIMEOUT_S)
        self.sock = stream

    @property
    def is_connected(self) -> bool:
        # The base class asks the socket's descriptor; a stream may have none.
        return self.sock is not None


class _Pool(urllib3.HTTPConnectionPool):
    def __init__(self, dial: Dial) -> None:
        super().__init__("engine", maxsize=1, block=True, retries=False)
        self._dial = dial

    def _new_conn(self) -> _Connection:
        return _Connection(self._dial)


class _Adapter(BaseHTTPAdapter):
    def __init__(self, dial: Dial) -> None:
        super().__init__()
        self._pool = _Pool(dial)

    def get_connection_with_tls_context(self, *_args: Any, **_named: Any) -> _Pool:
        return self._pool

    def request_url(self, request: requests.PreparedRequest, _proxies: object) -> str:
        return request.path_url

    def close(self) -> None:
        self._pool.close()


def _connect(dial: Dial) -> docker.APIClient:
    adapter = _Adapter(dial)
    client = _make_client(adapter, OLDEST)
    offered = str(client.version(api_version=False)["ApiVersion"])
    return _make_client(adapter, min(offered, DEFAULT_DOCKER_API_VERSION, key=_version_key))


def _make_client(adapter: _Adapter, version: str) -> docker.APIClient:
    client = docker.APIClient(base_url=PREFIX, version=version, timeout=TIMEOUT_S)
    client.trust_env = False  # proxies are for the network, not for the engine
    client.mount(PREFIX, adapter)
    return client


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _api_problem(error: APIError) -> Problem:
    return Problem(
        code="engine.api",
        summary=f"the container engine answers {error.status_code}: {error.explanation}",
        remedy=Remedy(
            "look into the engine's log on the host", ("journalctl -u docker --since -10min",)
        ),
    )
