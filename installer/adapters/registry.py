"""Asks a registry for the digest of a tag (OCI distribution specification 1.1)."""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from installer.core.errors import ImageError, Problem, Remedy
from installer.core.secrets import Secret

ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
DOCKER_HUB = "registry-1.docker.io"
TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Registry:
    """How to reach registries.

    Attributes:
        ca_file: Trust this CA besides the system's.
        connect: `host:port` to connect to instead of the registry's own address; the registry's
            name is still what its certificate has to prove.
        username: For registries that want a login.
    """

    ca_file: Path | None = None
    connect: str | None = None
    username: str | None = None
    password: Secret | None = None

    def digest(self, repository: str, tag: str) -> str:
        """The digest that the tag has now, `sha256:…`.

        Raises:
            ImageError: the registry cannot be reached, or does not have it.
        """
        host, path = split_repository(repository)
        url = f"/v2/{path}/manifests/{tag}"
        try:
            status, headers = self._request(host, url, None)
            if status == http.client.UNAUTHORIZED:
                token = self._token(headers.get("www-authenticate", ""))
                status, headers = self._request(host, url, token)
        except (OSError, http.client.HTTPException) as error:
            raise ImageError(_problem(repository, tag, f"{host}: {error}")) from error
        digest = headers.get("docker-content-digest", "")
        if status != http.client.OK or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            raise ImageError(_problem(repository, tag, f"{host} answers {status}"))
        return digest

    def _request(
        self, host: str, url: str, authorization: str | None
    ) -> tuple[int, dict[str, str]]:
        connection = self._connect(host)
        try:
            headers = {"Accept": ACCEPT, "Host": host}
            if authorization:
                headers["Authorization"] = authorization
            connection.request("HEAD", url, headers=headers)
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}
        finally:
            connection.close()

    def _connect(self, host: str) -> http.client.HTTPSConnection:
        context = ssl.create_default_context()
        if self.ca_file:
            context.load_verify_locations(self.ca_file)
        return _NamedConnection(host, self.connect or host, context)

    def _token(self, challenge: str) -> str | None:
        """Answer a Bearer challenge; anonymous unless a login was given."""
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        login = None
        if self.username and self.password:
            pair = f"{self.username}:{self.password.reveal()}".encode()
            login = "Basic " + base64.b64encode(pair).decode()
        realm = urllib.parse.urlsplit(fields.get("realm", ""))
        if not challenge.lower().startswith("bearer") or realm.scheme != "https":
            return login
        query = urllib.parse.urlencode({k: v for k, v in fields.items() if k != "realm"})
        connection = http.client.HTTPSConnection(
            realm.netloc, timeout=TIMEOUT_S, context=ssl.create_default_context()
        )
        try:
            headers = {"Authorization": login} if login else {}
            connection.request("GET", f"{realm.path}?{query}", headers=headers)
            document = json.loads(connection.getresponse().read())
        except ValueError:
            return None
        finally:
            connection.close()
        token = document.get("token") or document.get("access_token")
        return f"Bearer {token}" if token else None


class _NamedConnection(http.client.HTTPSConnection):
    """TLS to one address under the name of another; the certificate has to be the name's."""

    def __init__(self, name: str, address: str, context: ssl.SSLContext) -> None:
        super().__init__(address, timeout=TIMEOUT_S, context=context)
        self._name = name.partition(":")[0]
        self._tls = context

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


def split_repository(repository: str) -> tuple[str, str]:
    """Registry host and path: `postgres` → Docker Hub's `library/postgres`."""
    first, separator, rest = repository.partition("/")
    if separator and ("." in first or ":" in first or first == "localhost"):
        return (DOCKER_HUB if first == "docker.io" else first), _hub_path(first, rest)
    return DOCKER_HUB, _hub_path("docker.io", repository)


def _hub_path(host: str, path: str) -> str:
    return f"library/{path}" if host == "docker.io" and "/" not in path else path


def _problem(repository: str, tag: str, detail: str) -> Problem:
    return Problem(
        code="image.unresolved",
        summary=f"no digest for {repository}:{tag}: {detail}",
        where=repository,
        remedy=Remedy(
            "check that the registry has the tag and can be reached from here: proxy, mirror, login"
        ),
    )
