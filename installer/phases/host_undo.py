"""Takes back changes of the host, by our record of them: as it was before our first one.

What somebody else has changed since is left as it is and told; nothing is restarted for it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from installer.core.events import CheckFinished, CheckResult, Outcome, Run
from installer.core.host_settings import format_config
from installer.phases.engine_settings import RELOAD, read_config, write_config
from installer.phases.host_changes import HostPaths
from installer.phases.remote import quote, read_file, run_root
from installer.phases.steps import Step
from installer.ports import Host

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unmerged:
    """A configuration without our settings; `left` are keys that somebody has changed since."""

    settings: dict[str, Any]
    left: tuple[str, ...]


def undo_unit_step(host: Host, record: Record) -> Step:
    """The unit that started the platform is disabled and gone."""
    path = str(record["path"])
    name = quote(posixpath.basename(path))

    def is_gone() -> bool:
        return read_file(host, path) is None

    def remove() -> Run[None]:
        run_root(
            host,
            f"systemctl disable {name} >/dev/null 2>&1 || :\nrm -f {quote(path)}\n"
            f"systemctl daemon-reload >/dev/null 2>&1 || :\n"
            f"systemctl reset-failed {name} >/dev/null 2>&1 || :",
        )
        yield from ()

    return Step("uninstall.systemd", f"remove {path}", is_gone, remove, is_gone)


def undo_sysctl_step(host: Host, record: Record, paths: HostPaths | None = None) -> Step:
    """Our file of kernel settings is gone, and each has its value from before, where it is ours."""
    at = paths or HostPaths()
    path = str(record["path"])
    before, after = record.get("before", {}), record.get("after", {})

    def is_gone() -> bool:
        return read_file(host, path) is None

    def remove() -> Run[None]:
        # the values first: with the file gone, a second run would find nothing to do
        for name, old in before.items():
            file = quote(posixpath.join(at.proc, *str(name).split(".")))
            ours = f'[ "$(cat {file} 2>/dev/null)" = {quote(str(after[name]))} ]'
            mine = ours if name in after else ":"
            others = (
                f"grep -rlsF -- {quote(str(name))} /etc/sysctl.conf {quote(at.sysctl_dir)}"
                f" /run/sysctl.d /usr/lib/sysctl.d | grep -vxF {quote(path)} | head -n 1"
            )
            # a file of somebody else decides it: then it is not ours to set
            value = quote(str(old))
            script = (
                f'if {mine} && [ -z "$({others})" ] && [ -e {file} ]; then'
                f" printf '%s\\n' {value} >{file} || :; fi"
            )
            run_root(host, script)
            found = run_root(host, f"cat {file} 2>/dev/null || :").text.strip()
            if found != str(old):
                yield _told("sysctl", f"{name} stays {found or 'unset'}; it was {old} before us")
        run_root(host, f"rm -f {quote(path)}")

    return Step("uninstall.sysctl", f"remove {path}", is_gone, remove, is_gone)


def undo_daemon_step(host: Host, record: Record) -> Step:
    """The engine's configuration has what it had, in each setting that is still as we set it."""
    path = str(record["path"])

    def is_undone() -> bool:
        current = read_config(host, path)[1]
        return unmerge(current, record).settings == current

    def put_back() -> Run[None]:
        undone = unmerge(read_config(host, path)[1], record)
        if not undone.settings and not record.get("existed", True):
            run_root(host, f"rm -f {quote(path)}")
        else:
            write_config(host, path, format_config(undone.settings).encode())
        run_root(host, RELOAD)
        yield _told("daemon", f"{path} is as before; the engine takes it over when it restarts")
        for key in undone.left:
            yield _told("daemon", f"{key} in {path} was changed by somebody since; it stays")

    return Step("uninstall.daemon", f"put {path} back", is_undone, put_back, is_undone)


def unmerge(current: Mapping[str, Any], record: Record) -> Unmerged:
    """A configuration as it was before us.

    A record without `after` does not say what we set: then the key is put back as it was.
    """
    settings, left = dict(current), []
    before, after = record.get("before", {}), record.get("after", {})
    for key, old in before.items():
        if key in after and current.get(key) not in (after[key], old):
            left.append(key)
        elif old is None:
            settings.pop(key, None)
        else:
            settings[key] = old
    return Unmerged(settings, tuple(left))


def _told(kind: str, text: str) -> CheckFinished:
    step = f"uninstall.{kind}"
    return CheckFinished(step, CheckResult(step, text, Outcome.WARN, where="host"))
