"""`Engine`: Compose by its command line on the host, everything that is judged by the Docker SDK.

Compose acts, the SDK observes: a success of Compose counts only when the containers agree. Nothing
is ever pruned, and no volume is removed.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from installer.adapters.docker_compose import (
    SERVICE_LABEL,
    UNREADABLE,
    failed_command,
    make_compose_argv,
    make_exec_script,
    project_labels,
    unreadable_file,
)
from installer.adapters.docker_failures import (
    ENGINE_PROBE,
    PASSING,
    Cause,
    engine_failure,
    find_cause,
    image_failure,
    login_failure,
    storage_failure,
)
from installer.adapters.docker_login import LOGIN_FAILED, OptionalLogin, with_login
from installer.adapters.docker_references import find_ids, find_reference
from installer.adapters.docker_services import (
    LOG_LINES,
    find_failures,
    restarted_problem,
    service_problem,
    unknown_problem,
)
from installer.core.errors import ContainerRuntimeError, DeployError, InstallError, StackError
from installer.ports import (
    ByteStream,
    Command,
    Completed,
    Container,
    EngineInfo,
    Host,
    OutputLine,
    Project,
    Talk,
)

if TYPE_CHECKING:
    from installer.adapters.docker_api import EngineApi

PAUSES_S = (5.0, 10.0, 20.0, 30.0)
"""Between tries at a registry that cannot be reached or limits pulls: a little over a minute."""

SETTLE_S = 3.0
"""A service without a health check has to run this long before it counts as started."""

ENGINE_BACK_S = 60.0
"""How long a restarting daemon is waited for."""

SILENCE_S = 900.0
"""Seconds without a line after which a command counts as hung: a large layer unpacks silently."""


class ComposeEngine:
    """The engine of one host.

    With `privileged` its commands run as root; without, the account must be in the engine's group.
    `pauses_s` are the seconds between tries at a registry; `login` is used to pull, for that time.
    """

    def __init__(
        self,
        host: Host,
        *,
        privileged: bool = True,
        pauses_s: Sequence[float] = PAUSES_S,
        login: OptionalLogin = None,
    ) -> None:
        self._host = host
        self._privileged = privileged
        self._pauses_s = tuple(pauses_s)
        self._login = login
        self._opened: EngineApi | None = None

    def info(self) -> EngineInfo:
        """What the host offers. Raises `ContainerRuntimeError`."""
        document = self._api.info()
        return EngineInfo(
            int(document["MemTotal"]),
            tuple(document.get("SecurityOptions") or ()),
            int(document.get("CgroupVersion") or 2),
        )

    def pull(self, project: Project, services: Sequence[str]) -> Talk[OutputLine, None]:
        """Fetch the images that are missing; a network that fails is given a minute to come back.

        Raises:
            ImageError: an image cannot be had; says which, and from which registry.
            IntegrityError: a registry serves other content than pinned.
            RemoteIoError: the engine's storage is full or read-only.
            ContainerRuntimeError: the engine cannot be used.
        """
        argv = make_compose_argv(project, "pull", "--policy", "missing", *services)
        for pause_s in (*self._pauses_s, None):
            done = yield from self._stream(project, argv, SILENCE_S, self._login)
            if done.status == 0:
                return
            cause = find_cause(done.error_text)
            if pause_s is None or cause not in PASSING:
                break
            yield OutputLine(f"{cause}; next try in {pause_s:g} s", "err")
            yield from _pause(pause_s)
        if cause is Cause.ENGINE:
            raise self._explain()
        if self._login and done.status == LOGIN_FAILED:
            raise login_failure(cause, done.error_text, self._login, self._host.name)
        raise self._image_failure(project, services, done, cause)

    def up(
        self, project: Project, services: Sequence[str], *, wait_s: int | None
    ) -> Talk[OutputLine, None]:
        """Start, wait until healthy, and see for ourselves; without `wait_s` only start.

        Raises:
            DeployError: a service failed; names it, its exit status, health log and last lines.
            ImageError: an image is not there; `up` never pulls.
            RemoteIoError: the engine's storage is full or read-only.
            ContainerRuntimeError: the engine cannot be used.
        """
        # Never --no-deps: what a service depends on counts for Compose's hash of it, so that the
        # next command would make its container anew.
        how = (
            [] if wait_s is None else ["--wait", "--wait-timeout", str(wait_s), "--remove-orphans"]
        )
        argv = make_compose_argv(
            project, "up", "-d", "--no-build", "--pull", "never", *how, *services
        )
        wait_s = wait_s or 0
        done = yield from self._stream(project, argv, wait_s + SILENCE_S)
        if done.status and find_cause(done.error_text) is Cause.ENGINE:
            back = yield from self._await_engine()
            if back:
                done = yield from self._stream(project, argv, wait_s + SILENCE_S)
            if done.status and find_cause(done.error_text) is Cause.ENGINE:
                raise DeployError(restarted_problem(project, done.error_text, back=back))
        if done.status:
            raise self._failed_up(project, services, done, wait_s)
        if wait_s:
            yield from self._settle(project, services)

    def containers(self, project: Project) -> tuple[Container, ...]:
        """Every container that carries the project's label, running or not."""
        return self._described(project_labels(project))

    def exec(
        self, project: Project, service: str, argv: Sequence[str], *, stdin: bytes = b""
    ) -> Completed:
        """Run a program inside a running service; secrets go by `stdin`.

        A service that does not run is a value too: status `NOT_RUNNING`, and a line that says so.

        Raises:
            ContainerRuntimeError: the engine cannot be used.
        """
        command = Command(
            make_exec_script(project, service, argv),
            stdin=(stdin,) if stdin else (),
            privileged=self._privileged,
            timeout_s=SILENCE_S,
        )
        done = self._host.run(command)
        if done.status and find_cause(done.error_text) is Cause.ENGINE:
            raise self._explain()
        return done

    def dial(self, project: Project, service: str, argv: Sequence[str]) -> ByteStream:
        """A program inside a running service whose standard input and output are the stream.

        Raises:
            SshConnectError: as `Host.dial`; a service that does not run ends the stream at once.
        """
        script = make_exec_script(project, service, argv)
        return self._host.dial(["sh", "-c", script], privileged=self._privileged)

    def restart(self, project: Project, services: Sequence[str]) -> Talk[OutputLine, None]:
        """Restart containers as they are, without waiting for health.

        Raises `ContainerRuntimeError`: the engine refuses.
        """
        yield from self._act(project, "restart", "--no-deps", *services)

    def stop(self, project: Project, services: Sequence[str]) -> Talk[OutputLine, None]:
        """Stop containers and leave them where they are. Raises as `restart`."""
        yield from self._act(project, "stop", *services)

    def logs(self, project: Project, service: str, *, tail: int) -> tuple[str, ...]:
        """The last lines a service wrote; none when it has no container."""
        found = self._described(project_labels(project, service))
        lines = [line for each in found for line in self._api.logs(each.inspect["Id"], tail)]
        return tuple(lines[-tail:])

    def down(self, project: Project) -> Talk[OutputLine, None]:
        """Stop and remove the project's containers and networks; volumes and data stay.

        Raises `ContainerRuntimeError`: something is left.
        """
        yield from self._act(project, "down", "--remove-orphans")

    def image_ids(self, references: Sequence[str]) -> Mapping[str, str]:
        """The ids of those references that the engine already has."""
        return find_ids(self._api.images(), references)

    def close(self) -> None:
        """Close the stream to the engine. A later question opens it again."""
        if self._opened is not None:
            self._opened.close()

    @property
    def _api(self) -> EngineApi:
        if self._opened is None:
            # The SDK takes a quarter of a second to import, and not every run asks.
            from installer.adapters.docker_api import EngineApi  # noqa: PLC0415

            argv = ["docker", "system", "dial-stdio"]
            self._opened = EngineApi(
                lambda: self._host.dial(argv, privileged=self._privileged), self._explain
            )
        return self._opened

    def _described(self, labels: Sequence[str]) -> tuple[Container, ...]:
        return tuple(
            Container(
                service=found["Config"]["Labels"].get(SERVICE_LABEL, ""),
                state=found["State"]["Status"],
                health=(found["State"].get("Health") or {}).get("Status"),
                inspect=found,
            )
            for found in self._api.containers(labels)
        )

    def _settle(self, project: Project, services: Sequence[str]) -> Talk[OutputLine, None]:
        """See that what Compose calls healthy is; it says so of anything that runs for a moment."""
        containers = self.containers(project)
        if any(each.health is None and each.state != "exited" for each in containers):
            yield from _pause(SETTLE_S)
            containers = self.containers(project)
        if find_failures(containers, services):
            raise self._services_failed(project, services, containers)

    def _failed_up(
        self, project: Project, services: Sequence[str], done: Completed, wait_s: int
    ) -> InstallError:
        cause = find_cause(done.error_text)
        if cause in (Cause.SPACE, Cause.READ_ONLY):
            return storage_failure(cause, done.error_text, self._host.name)
        containers = self.containers(project)
        if find_failures(containers, services):
            return self._services_failed(project, services, containers)
        if cause is Cause.MISSING and self._missing_images(project, services):
            return self._image_failure(project, services, done, cause)
        probed = self._probe()
        if not probed.startswith("up"):
            return engine_failure(probed, self._host.name)
        return DeployError(unknown_problem(project, wait_s, done.error_text))

    def _services_failed(
        self, project: Project, services: Sequence[str], containers: Sequence[Container]
    ) -> DeployError:
        problems = [
            service_problem(failure, self.logs(project, failure.service, tail=LOG_LINES))
            for failure in find_failures(containers, services)
        ]
        return DeployError(*problems)

    def _image_failure(
        self, project: Project, services: Sequence[str], done: Completed, cause: Cause
    ) -> InstallError:
        missing = self._missing_images(project, services)
        reference = find_reference(done.error_text, missing)
        return image_failure(cause, done.error_text, reference, self._host.name)

    def _missing_images(self, project: Project, services: Sequence[str]) -> tuple[str, ...]:
        """The images of these services, or of all, that the engine does not have."""
        argv = make_compose_argv(project, "config", "--format", "json")
        done = self._host.run(Command(shlex.join(argv), privileged=self._privileged))
        if done.status:
            raise self._command_failed(done)
        document = json.loads(done.text)["services"]
        images = [
            service["image"]
            for name, service in document.items()
            if "image" in service and (not services or name in services)
        ]
        have = self.image_ids(images)
        return tuple(image for image in images if image not in have)

    def _await_engine(self) -> Talk[OutputLine, bool]:
        """Whether the engine answers again in time."""
        end = time.monotonic() + ENGINE_BACK_S
        while time.monotonic() < end:
            yield from _pause(1.0)
            if self._probe().startswith("up"):
                return True
        return False

    def _stream(
        self, project: Project, argv: Sequence[str], silence_s: float, login: OptionalLogin = None
    ) -> Talk[OutputLine, Completed]:
        command = Command(shlex.join(argv), privileged=self._privileged, timeout_s=silence_s)
        if login is not None:
            command = with_login(command, login)
        done = yield from self._host.stream(command)
        if done.status in UNREADABLE:
            raise StackError(unreadable_file(project, done))
        if done.status == 127:
            raise self._explain()
        return done

    def _act(self, project: Project, *words: str) -> Talk[OutputLine, None]:
        done = yield from self._stream(project, make_compose_argv(project, *words), SILENCE_S)
        if done.status:
            raise self._command_failed(done)

    def _probe(self) -> str:
        return self._host.run(Command(ENGINE_PROBE, privileged=self._privileged)).text

    def _explain(self) -> InstallError:
        return engine_failure(self._probe(), self._host.name)

    def _command_failed(self, done: Completed) -> InstallError:
        probed = self._probe()
        if not probed.startswith("up"):
            return engine_failure(probed, self._host.name)
        return ContainerRuntimeError(failed_command(done, self._host.name))


def _pause(seconds: float) -> Talk[OutputLine, None]:
    """Wait, with heartbeats."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 1.0))
        yield OutputLine("", "beat")
