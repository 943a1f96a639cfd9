"""Verify: modes and owners of what lies on the target, by one command; read-only."""

from __future__ import annotations

from collections.abc import Iterator

from installer.core.errors import InstallError, Problem, Remedy
from installer.core.events import CheckResult, Outcome
from installer.core.host_files import HostFiles, judge_files, parse_files
from installer.core.layout import Layout
from installer.core.plan import Plan
from installer.phases.deliver import data_directories
from installer.phases.remote import quote, run_root
from installer.ports import Host


def check_files(plan: Plan, host: Host) -> Iterator[CheckResult]:
    """Look and judge; what cannot be looked at is told as not known."""
    layout = Layout(plan.install_dir, plan.data_dir)
    data = data_directories(plan)
    try:
        seen = read_files(host, layout, tuple(data))
    except InstallError as error:
        yield _unknown(layout, error)
        return
    secrets = {
        f"{name}/{file}": plan.manifest(name).user
        for name in plan.services
        for file in plan.manifest(name).secret_files
    }
    yield from judge_files(seen, layout, data, None if plan.agents else secrets)


def read_files(host: Host, layout: Layout, data: tuple[str, ...]) -> HostFiles:
    """Modes and owners.

    Raises:
        RemoteIoError, PrivilegeError, SshConnectError: it cannot be looked at.
    """
    tops = " ".join(map(quote, (layout.install_dir, layout.secrets, layout.data_dir)))
    below = " ".join(quote(f"{layout.data_dir}/{path}") for path in data)
    # A link has no mode of its own, and what it leads to is looked at by itself.
    script = (
        f"for path in {tops} {below}; do\n"
        "  stat -c 'file %a %u:%g %n' \"$path\" 2>/dev/null || :\n"
        "done\n"
        f"stat -f -c 'type %T' {quote(layout.secrets)} 2>/dev/null || :\n"
        f"find {quote(layout.secrets)} -type f"
        " -exec stat -c 'file %a %u:%g %n' {} + 2>/dev/null || :\n"
        f"find {quote(layout.releases)} {quote(layout.state)} ! -type l"
        " '(' -perm -020 -o -perm -002 -o ! -user 0 ')'"
        " -exec stat -c 'loose %a %u:%g %n' {} + 2>/dev/null | head -n 50\n"
    )
    return parse_files(run_root(host, script).text)


def _unknown(layout: Layout, error: InstallError) -> CheckResult:
    title = "modes and owners of files on the target are as declared"
    why, where = error.problems[0].summary, layout.install_dir
    problem = Problem("files.unknown", why, Remedy("verify as root or with sudo"), where)
    return CheckResult("HH-13", title, Outcome.UNKNOWN, where, "", why, problem)
