"""What the engine's messages, states and absences mean; no engine takes part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from installer.adapters.docker import ComposeEngine
from installer.adapters.docker_failures import (
    Cause,
    engine_failure,
    find_cause,
    find_port,
    image_failure,
)
from installer.adapters.docker_references import Reference, find_reference
from installer.adapters.docker_services import find_failures, service_problem
from installer.core.errors import (
    ContainerRuntimeError,
    DeployError,
    ExitCode,
    InstallError,
    PrivilegeError,
    RemoteIoError,
)
from installer.ports import Command, Completed, Container, OutputLine, Project, Talk

MESSAGES = [
    (
        "Error response from daemon: manifest for nosuch:1.0 not found: manifest unknown: manifest "
        "unknown",
        Cause.MISSING,
    ),
    ("failed to resolve reference: docker.io/library/nosuch:1: not found", Cause.MISSING),
    ("Error response from daemon: No such image: valkey/valkey:8", Cause.MISSING),
    (
        "pull access denied for x, repository does not exist or may require 'docker login': "
        "denied: requested access to the resource is denied",
        Cause.DENIED,
    ),
    ("unauthorized: authentication required", Cause.DENIED),
    ("unexpected status from HEAD request to https://ghcr.io/v2/x: 403 Forbidden", Cause.DENIED),
    ("no basic auth credentials", Cause.DENIED),
    ("toomanyrequests: You have reached your pull rate limit.", Cause.RATE),
    ("unexpected status from GET request to https://r/v2/x: 429 Too Many Requests", Cause.RATE),
    ('Get "https://r.invalid/v2/": dial tcp: lookup r.invalid: no such host', Cause.NETWORK),
    (
        'Get "http://127.0.0.1:9/v2/": dial tcp 127.0.0.1:9: connect: connection refused',
        Cause.NETWORK,
    ),
    ('Get "https://r/v2/": net/http: TLS handshake timeout', Cause.NETWORK),
    (
        'Get "https://r/v2/": net/http: request canceled while waiting for connection '
        "(Client.Timeout exceeded while awaiting headers)",
        Cause.NETWORK,
    ),
    ('Get "https://r/v2/": context deadline exceeded', Cause.NETWORK),
    ('Get "https://r/v2/": EOF', Cause.NETWORK),
    ("received unexpected HTTP status: 503 Service Unavailable", Cause.NETWORK),
    ("read tcp 10.0.0.1:5->10.0.0.2:443: read: connection reset by peer", Cause.NETWORK),
    ("tls: failed to verify certificate: x509: certificate signed by unknown", Cause.UNTRUSTED),
    ("http: server gave HTTP response to HTTPS client", Cause.UNTRUSTED),
    ("manifest verification failed for digest sha256:abc", Cause.DIGEST),
    ("filesystem layer verification failed for digest sha256:abc", Cause.DIGEST),
    ("failed commit on ref: unexpected commit digest sha256:a, expected sha256:b", Cause.DIGEST),
    ("write /var/lib/docker/tmp/GetImageBlob1: no space left on device", Cause.SPACE),
    ("failed to register layer: mkdir /usr: read-only file system", Cause.READ_ONLY),
    ("no matching manifest for linux/arm64/v8 in the manifest list entries", Cause.PLATFORM),
    ("Bind for 0.0.0.0:443 failed: port is already allocated", Cause.PORT),
    ("listen tcp4 0.0.0.0:22: bind: address already in use", Cause.PORT),
    ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", Cause.ENGINE),
    ("error during connect: Get http://%2Fvar%2Frun%2Fdocker.sock/v1.44/info: EOF", Cause.ENGINE),
    ("something nobody has seen", Cause.OTHER),
    ("", Cause.OTHER),
]


@pytest.mark.parametrize(("message", "cause"), MESSAGES)
def test_a_message_has_its_cause(message: str, cause: Cause) -> None:
    """F-020, F-029, F-030, F-031, F-033."""
    assert find_cause(message) is cause


@pytest.mark.parametrize(
    ("message", "port"),
    [
        ("Bind for 0.0.0.0:443 failed: port is already allocated", "443"),
        ("Bind for :::8443 failed: port is already allocated", "8443"),
        ("listen tcp4 0.0.0.0:22: bind: address already in use", "22"),
        ("listen tcp6 [::]:80: bind: address already in use", "80"),
        ("listen tcp 10.1.2.3:443: bind: address already in use", "443"),
        ("something else on port 80", None),
    ],
)
def test_the_port_is_read_from_the_message(message: str, port: str | None) -> None:
    """F-033."""
    assert find_port(message) == port


@pytest.mark.parametrize(
    ("text", "registry", "key"),
    [
        ("postgres", "docker.io", "docker.io/library/postgres:latest"),
        ("postgres:17", "docker.io", "docker.io/library/postgres:17"),
        ("docker.io/library/postgres:17", "docker.io", "docker.io/library/postgres:17"),
        ("valkey/valkey:9", "docker.io", "docker.io/valkey/valkey:9"),
        ("ghcr.io/coder/coder:v2", "ghcr.io", "ghcr.io/coder/coder:v2"),
        ("localhost/x:1", "localhost", "localhost/x:1"),
        ("10.0.0.1:5000/a/b", "10.0.0.1:5000", "10.0.0.1:5000/a/b:latest"),
        ("r.example:5000/a/b:1", "r.example:5000", "r.example:5000/a/b:1"),
        ("ghcr.io/a/b:1@sha256:ff", "ghcr.io", "ghcr.io/a/b@sha256:ff"),
        ("postgres@sha256:ff", "docker.io", "docker.io/library/postgres@sha256:ff"),
    ],
)
def test_a_reference_is_taken_apart(text: str, registry: str, key: str) -> None:
    reference = Reference.parse(text)
    assert (reference.registry, reference.key) == (registry, key)


IMAGES = [
    "docker.io/valkey/valkey:9",
    "docker.io/library/postgres:17@sha256:abcd",
    "ghcr.io/coder/coder:v2",
    "ghcr.io/goauthentik/server:1",
]


@pytest.mark.parametrize(
    ("message", "number"),
    [
        ("manifest for postgres:17 not found", 1),
        ("manifest verification failed for digest sha256:abcd", 1),
        ("pull access denied for valkey/valkey", 0),
        ("failed to resolve reference ghcr.io/coder/coder:v2", 2),
        ("HEAD https://ghcr.io/v2/goauthentik/server/manifests/1", 3),
        ("nothing of the kind", 0),
    ],
)
def test_the_image_a_message_speaks_of_is_found(message: str, number: int) -> None:
    reference = find_reference(message, IMAGES)
    assert reference is not None
    assert reference.text == IMAGES[number]


def test_a_full_storage_is_reported_as_space_and_not_as_a_pull() -> None:
    """F-020."""
    message = "write /var/lib/docker/tmp/x: no space left on device"
    error = image_failure(Cause.SPACE, message, Reference.parse("x"), "h")
    assert isinstance(error, RemoteIoError)
    problem = error.problems[0]
    text = " ".join([problem.summary, problem.remedy.summary, *problem.remedy.commands])
    assert "storage" in text
    assert "free space" in text
    assert "DockerRootDir" in text
    assert "prune" not in text


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_makes_an_error_with_a_remedy(cause: Cause) -> None:
    for reference in (Reference.parse("ghcr.io/a/b:1"), None):
        error = image_failure(cause, "the message", reference, "h")
        assert error.problems[0].remedy.summary
        assert error.problems[0].where == "h"


@pytest.mark.parametrize(
    ("probed", "kind", "code", "said"),
    [
        ("absent\n", ContainerRuntimeError, "engine.absent", "not installed"),
        ("no-compose\n", ContainerRuntimeError, "engine.no_compose", "required version"),
        ("stopped\nCannot connect\n", ContainerRuntimeError, "engine.stopped", "start the service"),
        ("denied\npermission denied\n", PrivilegeError, "privilege.docker_group", "group docker"),
        ("up\n", ContainerRuntimeError, "engine.unstable", "daemon restarted"),
        ("", ContainerRuntimeError, "engine.unstable", "log"),
    ],
)
def test_absent_stopped_and_forbidden_engines_are_told_apart(
    probed: str, kind: type[InstallError], code: str, said: str
) -> None:
    """F-016, F-026, F-028."""
    error = engine_failure(probed, "h")
    assert type(error) is kind
    problem = error.problems[0]
    assert problem.code == code
    assert said in f"{problem.summary} {problem.remedy.summary}"


def container(service: str, state: str, health: str | None = None, **more: Any) -> Container:
    details = {"ExitCode": more.pop("status", 0), "Error": more.pop("error", "")}
    if log := more.pop("log", None):
        details["Health"] = {"Log": log}
    details |= more.pop("flags", {})
    inspect = {"Name": f"/p-{service}-1", "State": details, **more}
    return Container(service, state, health, inspect)


@pytest.mark.parametrize(
    ("each", "code"),
    [
        (container("s", "running"), None),
        (container("s", "running", "healthy"), None),
        (container("s", "running", "healthy", RestartCount=3), None),
        (container("s", "created"), None),
        (container("s", "exited"), None),
        (container("s", "exited", status=1), "deploy.exited"),
        (container("s", "restarting", status=0), "deploy.exited"),
        (container("s", "dead"), "deploy.exited"),
        (container("s", "running", RestartCount=1), "deploy.exited"),
        (container("s", "exited", status=137, flags={"OOMKilled": True}), "deploy.out_of_memory"),
        (container("s", "running", "unhealthy"), "deploy.unhealthy"),
        (container("s", "running", "starting"), "deploy.not_healthy"),
        (container("s", "created", status=127, error="no such file"), "deploy.not_started"),
        (
            container("s", "created", status=128, error=":443 failed: port is already allocated"),
            "deploy.port_taken",
        ),
    ],
)
def test_a_container_is_judged_by_its_state(each: Container, code: str | None) -> None:
    """F-033, F-034."""
    assert [f.code for f in find_failures([each], ())] == ([code] if code else [])
    assert find_failures([each], ["another"]) == ()


def test_causes_come_before_consequences() -> None:
    """F-034."""
    containers = [
        container("a-waits", "running", "starting"),
        container("b-sick", "running", "unhealthy"),
        container("c-died", "exited", status=2),
    ]
    assert [f.service for f in find_failures(containers, ())] == ["c-died", "b-sick", "a-waits"]


def test_a_failed_service_comes_with_its_health_log_and_last_twenty_lines() -> None:
    """F-034."""
    log = [{"ExitCode": n, "Output": f"answer {n}\n"} for n in range(6)]
    (failure,) = find_failures([container("git", "running", "unhealthy", log=log)], ())
    problem = service_problem(failure, [f"line {n}" for n in range(30)])
    assert problem.where == "git"
    assert problem.detail is not None
    assert "answer 5" in problem.detail
    assert "answer 2" not in problem.detail
    assert "line 10\n" in problem.detail
    assert "line 9\n" not in problem.detail
    assert "last log lines of git" in problem.detail


class ScriptedHost:
    """Answers commands by what they contain; everything else succeeds silently."""

    name = "h"

    def __init__(self, answers: dict[str, list[Completed]]) -> None:
        self._answers = answers
        self.seen: list[Command] = []

    def run(self, command: Command) -> Completed:
        self.seen.append(command)
        for part, answers in self._answers.items():
            if part in command.script:
                return answers.pop(0) if len(answers) > 1 else answers[0]
        return Completed(0, b"", b"")

    def stream(self, command: Command) -> Talk[OutputLine, Completed]:
        yield OutputLine("line", "err")
        return self.run(command)

    def dial(self, argv: Sequence[str], *, privileged: bool = False) -> Any:
        raise ConnectionResetError("no engine")

    def close(self) -> None:
        pass


PROJECT = Project("p", "/opt/p", ("compose.yaml", "/etc/x/compose.override.yaml"))
GONE = Completed(1, b"", b"Cannot connect to the Docker daemon at unix:///var/run/docker.sock.\n")
STOPPED = Completed(0, b"stopped\nCannot connect\n", b"")


def test_commands_name_the_project_its_directory_and_every_file() -> None:
    host = ScriptedHost({"config": [Completed(0, b'{"services": {}}', b"")]})
    list(ComposeEngine(host).pull(PROJECT, ["a", "b"]))
    assert host.seen[0].script == (
        "docker compose -p p --project-directory /opt/p --ansi never -f /opt/p/compose.yaml "
        "-f /etc/x/compose.override.yaml pull --policy missing a b"
    )
    assert host.seen[0].privileged


def test_a_daemon_that_stays_away_fails_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """F-027."""
    monkeypatch.setattr("installer.adapters.docker.ENGINE_BACK_S", 0.1)
    host = ScriptedHost({" up ": [GONE], "command -v docker": [STOPPED]})
    with pytest.raises(DeployError) as caught:
        list(ComposeEngine(host).up(PROJECT, (), wait_s=5))
    assert caught.value.exit_code is ExitCode.DEPLOY_FAILED
    assert "daemon restarted" in caught.value.problems[0].summary


@pytest.mark.parametrize("question", ["info", "containers", "images", "pull", "exec", "down"])
def test_a_stopped_engine_is_told_whatever_is_asked(question: str) -> None:
    """F-026."""
    host = ScriptedHost(
        {"command -v docker": [STOPPED], "docker ps": [GONE], "docker compose -p": [GONE]}
    )
    engine = ComposeEngine(host)
    ask = {
        "info": engine.info,
        "containers": lambda: engine.containers(PROJECT),
        "images": lambda: engine.image_ids(["x"]),
        "pull": lambda: list(engine.pull(PROJECT, ())),
        "exec": lambda: engine.exec(PROJECT, "a", ["true"]),
        "down": lambda: list(engine.down(PROJECT)),
    }[question]
    with pytest.raises(ContainerRuntimeError) as caught:
        ask()
    assert caught.value.problems[0].code == "engine.stopped"


def test_a_host_without_the_program_is_told() -> None:
    """F-026."""
    missing = Completed(127, b"", b"sh: 1: docker: not found\n")
    absent = Completed(0, b"absent\n", b"")
    host = ScriptedHost({"command -v docker": [absent], "docker compose": [missing]})
    with pytest.raises(ContainerRuntimeError) as caught:
        list(ComposeEngine(host).up(PROJECT, (), wait_s=5))
    assert caught.value.problems[0].code == "engine.absent"
