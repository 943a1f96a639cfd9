"""`Engine`: Compose by its command line on the host, everything that is judged by the Docker SDK."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence

from installer.core.errors import ContainerRuntimeError, DeployError, ImageError, Problem, Remedy
from installer.ports import Command, Completed, Container, EngineInfo, Host, OutputLine, Project, Talk


class ComposeEngine:
    """The engine of one host."""

    def __init__(self, host: Host, *, privileged: bool = True) -> None:
        self._host = host
        self._privileged = privileged

    def info(self) -> EngineInfo:
        document = json.loads(self._run(["docker", "info", "--format", "{{json .}}"]).text)
        return EngineInfo(
            document["MemTotal"], tuple(document["SecurityOptions"] or ()),
            int(document.get("CgroupVersion") or 2),
        )

    def pull(self, project: Project, services: Sequence[str]) -> Talk[OutputLine, None]:
        done = yield from self._stream([*_compose(project), "pull", "--policy", "missing", *services])
        if done.status:
            raise ImageError(_failed("image.pull", done))

    def up(self, project: Project, services: Sequence[str], *, wait_s: int) -> Talk[OutputLine, None]:
        done = yield from self._stream(
            [*_compose(project), "up", "-d", "--wait", "--wait-timeout", str(wait_s), "--no-build",
             "--pull", "never", "--remove-orphans", *services]
        )
        if done.status:
            raise DeployError(_failed("deploy.up", done))

    def containers(self, project: Project) -> tuple[Container, ...]:
        label = f"label=com.docker.compose.project={project.name}"
        ids = self._run(["docker", "ps", "-aq", "--filter", label]).text.split()
        if not ids:
            return ()
        found = json.loads(self._run(["docker", "inspect", *ids]).text)
        return tuple(
            Container(
                c["Config"]["Labels"]["com.docker.compose.service"], c["State"]["Status"],
                (c["State"].get("Health") or {}).get("Status"), c,
            )
            for c in found
        )

    def exec(self, project: Project, service: str, argv: Sequence[str], *, stdin: bytes = b"") -> Completed:
        return self._host.run(
            Command(shlex.join([*_compose(project), "exec", "-T", service, *argv]), stdin=(stdin,),
                    privileged=self._privileged)
        )

    def logs(self, project: Project, service: str, *, tail: int) -> tuple[str, ...]:
        return tuple(self._run([*_compose(project), "logs", "--tail", str(tail), service]).text.splitlines())

    def down(self, project: Project) -> Talk[OutputLine, None]:
        yield from self._stream([*_compose(project), "down"])

    def image_ids(self, references: Sequence[str]) -> Mapping[str, str]:
        found = {}
        for reference in references:
            done = self._host.run(Command(shlex.join(["docker", "image", "inspect", "-f", "{{.Id}}", reference]), privileged=self._privileged))
            if done.status == 0:
                found[reference] = done.text.strip()
        return found

    def _run(self, argv: Sequence[str]) -> Completed:
        done = self._host.run(Command(shlex.join(argv), privileged=self._privileged))
        if done.status:
            raise ContainerRuntimeError(_failed("engine.command", done))
        return done

    def _stream(self, argv: Sequence[str]) -> Talk[OutputLine, Completed]:
        return (yield from self._host.stream(Command(shlex.join(argv), privileged=self._privileged, timeout_s=900)))


def _compose(project: Project) -> list[str]:
    files = [part for file in project.files for part in ("-f", file if file.startswith("/") else f"{project.directory}/{file}")]
    return ["docker", "compose", "-p", project.name, "--project-directory", project.directory, "--ansi", "never", *files]


def _failed(code: str, done: Completed) -> Problem:
    lines = done.error_text.strip().splitlines()
    return Problem(code, lines[-1] if lines else f"status {done.status}", Remedy("see the log"), detail="\n".join(lines[-15:]))
