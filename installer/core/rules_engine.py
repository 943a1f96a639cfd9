"""Preflight rules over the container engine, its compose command, and images."""

from __future__ import annotations

from collections.abc import Iterator

from installer.core.errors import Problem, Remedy
from installer.core.events import Outcome
from installer.core.facts import Engine, EngineState, HostFacts, ImageFacts, ImageState
from installer.core.requirements import Requirements
from installer.core.rules import Finding, judged, passed, unknown, version_of
from installer.core.rules_host import MACHINES

_STATES: dict[EngineState, tuple[str, str, tuple[str, ...]]] = {
    EngineState.STOPPED: (
        "the container engine is installed and not running",
        "start the service, and let it start with the machine",
        ("sudo systemctl enable --now docker", "sudo journalctl -u docker -n 50"),
    ),
    EngineState.ABSENT: (
        "the container engine is absent",
        "install Docker Engine with its compose plugin from the distribution or from Docker",
        ("docker version",),
    ),
    EngineState.DENIED: (
        "no permission to use the socket of the container engine",
        "add the account to the group docker and log in again, or let the run use sudo; the "
        "engine itself need not be started: start the service only if it is stopped",
        ('sudo usermod -aG docker "$USER"',),
    ),
    EngineState.FOREIGN: (
        "another engine answers to the docker command: podman",
        "install Docker Engine and start the service; remove the package podman-docker",
        ("docker version",),
    ),
    EngineState.SILENT: (
        "the container engine does not answer",
        "look at its log and start the service again",
        ("sudo systemctl restart docker", "sudo journalctl -u docker -n 50"),
    ),
}


def judge_engine(facts: HostFacts, _needs: Requirements) -> Iterator[Finding]:
    """The engine answers; stopped, absent and forbidden are told apart."""
    engine = facts.engine
    if engine.state is EngineState.RUNNING:
        yield passed("engine", expected="running", found=f"running {engine.version or ''}".strip())
        return
    summary, advice, commands = _STATES[engine.state]
    yield judged(
        Outcome.FAIL,
        Problem(
            code=f"engine.{engine.state.value}",
            summary=summary,
            where="engine",
            detail=engine.detail or None,
            remedy=Remedy(advice, commands),
        ),
        expected="running",
        found=engine.state.value,
    )


def judge_engine_version(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """The engine is new enough."""
    if facts.engine.state is EngineState.RUNNING:
        yield _judge_version("engine", facts.engine.version, needs.engine_minimum)


def judge_compose(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """`docker compose` is there and new enough; the separate `docker-compose` does not count."""
    engine = facts.engine
    if engine.state in (EngineState.ABSENT, EngineState.FOREIGN):
        return
    if engine.compose is not None:
        yield _judge_version("compose", engine.compose, needs.compose_minimum)
        return
    required = _dotted(needs.compose_minimum)
    legacy = engine.legacy_compose
    found = f"only docker-compose {legacy}" if legacy else "none"
    summary = (
        f"only the separate docker-compose {legacy} is there, the compose plugin is not"
        if legacy
        else "the compose plugin of docker is absent"
    )
    yield judged(
        Outcome.FAIL,
        Problem(
            code="compose.legacy" if legacy else "compose.absent",
            summary=f"{summary}; required version: {required} or later",
            where="compose",
            remedy=Remedy(
                f"install the compose plugin; found version: {legacy or 'none'}, required "
                f"version: {required}",
                ("sudo apt-get install docker-compose-plugin", "docker compose version"),
            ),
        ),
        expected=f"{required} or later",
        found=found,
    )


def judge_engine_mode(facts: HostFacts, _needs: Requirements) -> Iterator[Finding]:
    """The engine can enforce limits, and sees users and files as the host does."""
    engine = facts.engine
    if engine.state is not EngineState.RUNNING:
        return
    problems = list(_mode_problems(engine))
    for outcome, problem, found in problems:
        yield judged(outcome, problem, expected="rootful, all limits", found=found)
    if not problems:
        yield passed("engine", expected="rootful, all limits", found="rootful, all limits")


def judge_images(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """Each image is here or can be had, for this architecture."""
    if facts.engine.state is not EngineState.RUNNING:
        return
    for reference in needs.images:
        image = facts.images.get(reference, ImageFacts(ImageState.UNKNOWN))
        yield _judge_image(reference, image, facts, needs)


def _judge_version(what: str, found: str | None, minimum: tuple[int, int]) -> Finding:
    version, required = version_of(found), _dotted(minimum)
    if version is None:
        return unknown(what, f"{what}.version_unknown", f"version of {what}")
    if version >= minimum:
        return passed(what, expected=f"{required} or later", found=str(found))
    return judged(
        Outcome.FAIL,
        Problem(
            code=f"{what}.too_old",
            summary=f"found version {found} of {what}, required version: {required} or later",
            where=what,
            remedy=Remedy(
                f"upgrade {what}: found version {found}, required version {required}",
                ("docker version", "docker compose version"),
            ),
        ),
        expected=f"{required} or later",
        found=str(found),
    )


def _mode_problems(engine: Engine) -> Iterator[tuple[Outcome, Problem, str]]:
    options = {option.removeprefix("name=").partition(",")[0] for option in engine.security}
    if "rootless" in options:
        yield _mode("rootless", "the engine runs rootless", "use the engine of the machine")
    if "userns" in options:
        yield _mode(
            "userns_remap",
            "the engine maps user ids, so that data and secret files would have wrong owners",
            "remove userns-remap from /etc/docker/daemon.json and restart the engine",
        )
    if (engine.root_dir or "").startswith("/var/snap/"):
        yield _mode(
            "snap",
            "the engine is a snap, which cannot read files outside of home directories",
            "remove the snap and install the engine from a package",
        )
    missing = [limit for limit in engine.missing_limits if limit != "swap"]
    if missing:
        yield _mode(
            "limits",
            f"the kernel does not limit {', '.join(missing)}",
            "enable the missing control groups at boot (cgroup_enable=memory), or use another host",
        )
    if "selinux" in options:
        yield (
            Outcome.WARN,
            Problem(
                code="engine.selinux",
                summary="the engine confines containers with SELinux; directories need its label",
                where="engine",
                remedy=Remedy(
                    "label the install and data directories for containers",
                    (
                        "sudo semanage fcontext -a -t container_file_t '/opt/devplat(/.*)?'",
                        "sudo restorecon -R /opt/devplat",
                    ),
                ),
            ),
            "selinux",
        )


def _mode(code: str, summary: str, advice: str) -> tuple[Outcome, Problem, str]:
    problem = Problem(code=f"engine.{code}", summary=summary, where="engine", remedy=Remedy(advice))
    return Outcome.FAIL, problem, code


def _judge_image(
    reference: str, image: ImageFacts, facts: HostFacts, needs: Requirements
) -> Finding:
    expected = f"linux/{MACHINES.get(facts.machine, facts.machine)}"
    offered = {platform for platform in image.platforms if not platform.startswith("unknown/")}
    if image.state in (ImageState.PRESENT, ImageState.AVAILABLE):
        if offered and expected not in offered:
            return judged(
                Outcome.FAIL,
                _image_problem(reference, "platform", f"does not exist for {expected}", image),
                expected=expected,
                found=", ".join(sorted(offered)),
            )
        return passed(reference, expected=expected, found=image.state.value)
    if image.state is ImageState.UNKNOWN or (
        image.state is ImageState.DENIED and needs.registry_login
    ):
        why = image.detail or "the registry could not be asked"
        return unknown(reference, "image.unknown", f"whether the image can be had: {why}")
    said = {
        ImageState.ABSENT: "is not in its registry",
        ImageState.DENIED: "is refused by its registry: log in",
        ImageState.LIMITED: "cannot be asked for now: the registry's rate limit is reached",
        ImageState.UNREACHABLE: "cannot be asked for: its registry is out of reach",
    }[image.state]
    # A registry that is away or limits may be back when the pull begins, which waits and retries.
    passing = image.state in (ImageState.LIMITED, ImageState.UNREACHABLE)
    return judged(
        Outcome.WARN if passing else Outcome.FAIL,
        _image_problem(reference, image.state.value, said, image),
        expected=expected,
        found=image.state.value,
    )


def _image_problem(reference: str, code: str, said: str, image: ImageFacts) -> Problem:
    registry = reference.partition("/")[0] if _names_registry(reference) else "docker.io"
    advice = {
        "denied": f"log in to the registry {registry} (registry.username, registry.password)",
        "limited": f"log in to the registry {registry} for a higher rate limit, or use a mirror",
        "unreachable": f"check the way from the host to the registry {registry}, or use a mirror "
        "(registry.mirror)",
    }.get(
        code,
        f"check the reference against the registry {registry}, or use a mirror (registry.mirror)",
    )
    return Problem(
        code=f"image.{code}",
        summary=f"image {reference} {said}",
        where=reference,
        detail=image.detail or None,
        remedy=Remedy(advice, (f"docker pull {reference}",)),
    )


def _names_registry(reference: str) -> bool:
    """Whether the first part is a registry: it has a dot or a port, or is localhost."""
    first, slash, _ = reference.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == "localhost")


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
