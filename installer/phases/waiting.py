"""After a reboot, and at any other time: what does not run, what it waits for, and who can help."""

from __future__ import annotations

from collections.abc import Mapping

from installer.core.errors import InstallError, Problem, Remedy
from installer.core.events import CheckResult, Outcome
from installer.core.layout import Layout
from installer.core.plan import Plan
from installer.core.proposal import ServerState
from installer.phases.remote import quote, run_root
from installer.ports import Engine, Host, Project


def describe_waiting(
    plan: Plan, project: Project, engine: Engine, server: ServerState | None, *, delivered: bool
) -> tuple[str, ...]:
    """A line for each thing that is waited for; none when everything runs and is healthy.

    Args:
        plan: Of what is installed.
        project: As it runs.
        engine: Of the target.
        server: How far the platform's own secret server is, if it has one.
        delivered: Whether the secret files that the installer brings are there.
    """
    try:
        containers = engine.containers(project)
    except InstallError as error:
        return (f"the engine does not answer: {error.problems[0].summary}",)
    healthy = {
        c.service for c in containers if c.state == "running" and c.health in ("healthy", None)
    }
    left = [name for name in plan.services if name not in healthy]
    agents = set(plan.agents.values())
    if not left:
        return ()
    names = ", ".join(name for name in left if name not in agents) or "no service"
    if server is ServerState.SEALED:
        return (
            "the secret server is sealed, as after each restart of it; it waits for its custodians:"
            " devplat-install unseal",
            f"these wait for it: {names}",
        )
    if not plan.agents and not delivered:
        return (
            "the secrets were in memory and are gone, as after each reboot; they wait for whoever"
            " has the store: devplat-install apply",
            f"these wait for them: {names}",
        )
    if asking := [name for name in left if name in agents]:
        return (
            f"{len(asking)} agents wait for logins, as after each restart of them:"
            " devplat-install unseal",
            f"these are not healthy: {names}",
        )
    return (f"these are not healthy: {names}; look at their logs, or run devplat-install apply",)


def judge_delivered(host: Host, layout: Layout, plan: Plan) -> CheckResult | None:
    """Whether the files that the installer delivers are there; None when agents render them."""
    if plan.agents:
        return None
    wanted = sorted(_wanted_files(plan))
    found = _read_files(host, layout)
    missing = [path for path in wanted if path not in found]
    title = "the secret files are in memory, where services read them"
    if not missing:
        return CheckResult(
            "secrets.delivered", title, Outcome.PASS, expected=f"{len(wanted)} files"
        )
    problem = Problem(
        "secrets.gone",
        f"{len(missing)} of {len(wanted)} secret files are not there, {missing[0]} among them: they"
        " were in memory, and a reboot takes them away",
        Remedy("deliver them again; nothing is made anew", ("devplat-install apply",)),
        where=layout.secrets,
    )
    return CheckResult(
        "secrets.delivered",
        title,
        Outcome.FAIL,
        where=layout.secrets,
        expected=f"{len(wanted)} files",
        found=f"{len(wanted) - len(missing)} files",
        problem=problem,
    )


def _wanted_files(plan: Plan) -> set[str]:
    files: Mapping[str, Mapping[str, str]] = {
        name: plan.manifest(name).secret_files for name in plan.services
    }
    return {f"{name}/{file}" for name, own in files.items() for file in own}


def _read_files(host: Host, layout: Layout) -> set[str]:
    root = quote(layout.secrets)
    script = f"if [ -d {root} ]; then cd {root}; find . -type f; fi"
    return {line.removeprefix("./") for line in run_root(host, script).text.splitlines()}
