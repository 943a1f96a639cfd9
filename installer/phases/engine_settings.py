"""The engine's configuration file: changed key by key, tried first, put back if the engine fails.

Written only with the consent of `host.apply`. Containers that would be stopped by it keep the
engine from being restarted: then the change waits for the next restart, and that is said.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Sequence
from typing import Any

from installer.core.errors import ContainerRuntimeError, PreflightError, Problem, Remedy
from installer.core.events import CheckFinished, CheckResult, Outcome, Run, StepProgress
from installer.core.host_settings import EngineSetting, format_config, merge_config
from installer.core.layout import Layout
from installer.phases.host_changes import HostPaths, record_change
from installer.phases.remote import quote, read_file, run_root
from installer.phases.steps import Step
from installer.ports import Host

DAEMON = "host.daemon"
BACK_S = 60
"""Seconds that the engine gets to answer after it was restarted."""

_RESTART = """\
pid() {{ cat /run/docker.pid 2>/dev/null || cat /var/run/docker.pid 2>/dev/null || :; }}
before=$(pid)
if [ -d /run/systemd/system ]; then systemctl reset-failed docker.service 2>/dev/null || :
  systemctl restart docker.service && how=systemd
elif [ -x /etc/init.d/docker ] && command -v service >/dev/null 2>&1; then
  service docker restart >/dev/null && how=service
fi || how=failed
waited=0
until timeout 10 docker info >/dev/null 2>&1; do
  case ${{how:-none}} in none | failed) break ;; esac
  [ $waited -lt {limit} ] || break
  sleep 1
  waited=$((waited + 1))
done
if timeout 10 docker info >/dev/null 2>&1; then answers=yes; else answers=no; fi
# whatever a service manager says of itself: the same process has read no new settings
if [ -n "$before" ] && [ "$before" = "$(pid)" ]; then how=same; fi
echo "${{how:-none}} $answers"
"""
RELOAD = "if [ -d /run/systemd/system ]; then systemctl reload docker.service || :; fi"
"""Takes over what can be changed while it runs: live-restore is among it."""
_LOOK = (
    "echo \"$(docker ps -q | wc -l) $(docker info --format '{{.LiveRestoreEnabled}}' 2>/dev/null)\""
)


def daemon_step(
    host: Host,
    layout: Layout,
    changes: Sequence[EngineSetting],
    paths: HostPaths | None = None,
) -> Step:
    """The engine's configuration has these settings, and whatever else it had."""
    path = (paths or HostPaths()).daemon_json

    def is_set() -> bool:
        current = read_config(host, path)[1]
        return merge_config(current, changes) == current

    def change() -> Run[None]:
        before, current = read_config(host, path)
        merged = merge_config(current, changes)
        old = {c.key: current.get(c.key) for c in changes}
        new = {c.key: merged[c.key] for c in changes}
        facts = {"path": path, "existed": before is not None, "before": old, "after": new}
        record_change(host, layout, "daemon", facts)
        _keep(host, layout, before)
        write_config(host, path, format_config(merged).encode())
        yield StepProgress(DAEMON, 1, 2, "written; the engine accepts it")
        yield from _restart(host, path, before)

    text = ", ".join(f"{c.key}={json.dumps(c.value, separators=(',', ':'))}" for c in changes)
    return Step(DAEMON, f"set {text} in {path}", is_set, change, is_set)


def read_config(host: Host, path: str) -> tuple[bytes | None, dict[str, Any]]:
    """The file and what it says.

    Raises:
        PreflightError: it is no JSON object; nothing is written over it.
    """
    content = read_file(host, path)
    if content is None or not content.strip():
        return content, {}
    try:
        document = json.loads(content)
    except ValueError as error:
        raise PreflightError(_unreadable(path, "is not JSON")) from error
    if not isinstance(document, dict):
        raise PreflightError(_unreadable(path, "is not a JSON object"))
    return content, document


def _keep(host: Host, layout: Layout, before: bytes | None) -> None:
    """The file from before our first change, for good."""
    if before is None:
        return
    directory = posixpath.join(layout.state, "host")
    kept = quote(posixpath.join(directory, "daemon.json.before"))
    script = (
        f"umask 077\nmkdir -p {quote(directory)}\n[ ! -e {kept} ] || exit 0\n"
        f"cat > {kept}.part\nsync {kept}.part 2>/dev/null || sync\nmv -f {kept}.part {kept}"
    )
    run_root(host, script, stdin=(before,))


def write_config(host: Host, path: str, data: bytes) -> None:
    """Tried by the engine's own program before it takes the place of the old one.

    Raises:
        PreflightError: it is refused; the file is as it was.
    """
    target, part = quote(path), quote(f"{path}.devplat")
    script = (
        f"umask 022\nmkdir -p {quote(posixpath.dirname(path))}\n"
        f"trap 'rm -f {part}' EXIT\ncat > {part}\n"
        "command -v dockerd >/dev/null || { echo absent; exit 0; }\n"
        f"if said=$(dockerd --validate --config-file {part} 2>&1); then\n"
        f"if [ -e {target} ]; then chown --reference={target} {part}\n"
        f"chmod --reference={target} {part}; fi\n"
        f"sync {part} 2>/dev/null || sync\nmv -f {part} {target}\necho written\n"
        "else printf 'refused %s\\n' \"$said\"; fi"
    )
    word, _, said = run_root(host, script, stdin=(data,)).text.strip().partition(" ")
    if word != "written":
        raise PreflightError(_refused(path, said if word == "refused" else "there is no dockerd"))


def _restart(host: Host, path: str, before: bytes | None) -> Run[None]:
    """Restart the engine if no container is stopped by that; go back if it does not come back."""
    running, _, live = run_root(host, _LOOK).text.strip().partition(" ")
    if running != "0" and live != "true":
        run_root(host, RELOAD)
        yield CheckFinished(DAEMON, _pending(f"{running} containers run, and live-restore is off"))
        return
    how, answers = _restart_engine(host)
    if how in ("none", "same"):
        yield CheckFinished(DAEMON, _pending("nothing that is known here starts it anew"))
        return
    yield StepProgress(DAEMON, 2, 2, "the engine was restarted")
    if how != "failed" and answers == "yes":
        return
    _put_back(host, path, before)
    _, again = _restart_engine(host)
    raise ContainerRuntimeError(_not_back(path, is_back=again == "yes"))


def _restart_engine(host: Host) -> tuple[str, str]:
    """How the engine was restarted, and whether it answers; `none` and `same`: it was not."""
    done = run_root(host, _RESTART.format(limit=BACK_S), timeout_s=4 * BACK_S)
    how, _, answers = done.text.strip().rpartition("\n")[2].partition(" ")
    return how, answers


def _put_back(host: Host, path: str, before: bytes | None) -> None:
    target, part = quote(path), quote(f"{path}.devplat")
    if before is None:
        run_root(host, f"rm -f {target}")
        return
    script = (
        f"umask 077\ncat > {part}\nchown --reference={target} {part}\n"
        f"chmod --reference={target} {part}\nsync {part} 2>/dev/null || sync\nmv -f {part} {target}"
    )
    run_root(host, script, stdin=(before,))


def _pending(why: str) -> CheckResult:
    problem = Problem(
        "host.restart_pending",
        f"the engine's new settings take effect when it is restarted: {why}",
        Remedy(
            "restart it when its containers may stop for a moment",
            ("sudo systemctl restart docker",),
        ),
        where="engine",
    )
    title = "the engine is left running with its old settings"
    return CheckResult(DAEMON, title, Outcome.WARN, where="engine", found=why, problem=problem)


def _unreadable(path: str, what: str) -> Problem:
    return Problem(
        "host.daemon_json",
        f"{path} {what}; it was not touched",
        Remedy(
            "correct it by hand: the engine will not start with it again",
            (f"dockerd --validate --config-file {path}",),
        ),
        where=path,
    )


def _refused(path: str, said: str) -> Problem:
    lines = said.strip().splitlines() or ["no message"]
    return Problem(
        "host.daemon_refused",
        f"the engine's program refuses the settings for {path}; the file is as it was",
        Remedy("take daemon out of host.apply, and make the change by hand"),
        where=path,
        detail="\n".join(lines[-5:]),
    )


def _not_back(path: str, *, is_back: bool) -> Problem:
    state = "runs again" if is_back else "does not answer yet"
    return Problem(
        "host.engine_gone",
        f"the engine did not come back with the new settings; {path} was put back, and the engine"
        f" {state}",
        Remedy(
            "look at its log for the setting that it did not bear",
            ("sudo journalctl -u docker -n 50", "sudo systemctl status docker"),
        ),
        where=path,
    )
