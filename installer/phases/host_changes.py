"""Changes of the host itself that `host.apply` consents to: kernel settings, and a unit.

What was there before is recorded on the target before anything is changed, so that it can be put
back. Nothing else in a file that is not ours is touched.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from installer.core.errors import PreflightError, Problem, Remedy
from installer.core.events import Run
from installer.core.host_settings import DAEMON_JSON, format_sysctls, names_in
from installer.core.kernel import KernelSetting
from installer.core.layout import Layout
from installer.phases.remote import quote, read_file, replace_file, run_root
from installer.phases.steps import Step, no_effect
from installer.ports import Host


@dataclass(frozen=True, slots=True)
class HostPaths:
    """Where a host has what may be changed."""

    daemon_json: str = DAEMON_JSON
    sysctl_dir: str = "/etc/sysctl.d"
    proc: str = "/proc/sys"
    unit_dir: str = "/etc/systemd/system"


def record_path(layout: Layout) -> str:
    """What was changed of the host, and how it was before; kept for whoever takes it back."""
    return posixpath.join(layout.state, "host.json")


def record_change(host: Host, layout: Layout, kind: str, facts: Mapping[str, Any]) -> None:
    """Record a change before it is made; how the host was before our first one is kept for good.

    Args:
        host: The target.
        layout: Says where.
        kind: One of `host.apply`.
        facts: `path`, and `before`: a mapping from what is changed to its value, None for none;
            `after`, the same with the values that we set, tells later whose the present value is.
    """
    path = record_path(layout)
    content = read_file(host, path)
    known: dict[str, Any] = json.loads(content) if content else {"version": 1}
    first = known.get(kind, {})
    before = {**facts["before"], **first.get("before", {})}
    after = {**first.get("after", {}), **facts.get("after", {})}
    known[kind] = {**facts, **first, "before": before, "after": after}
    run_root(host, f"umask 022\nmkdir -p {quote(layout.state)}")
    replace_file(host, path, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())


def sysctl_step(
    host: Host,
    layout: Layout,
    deployment: str,
    needed: Sequence[KernelSetting],
    paths: HostPaths | None = None,
) -> Step:
    """The kernel settings that services need are in force, and come back after a reboot."""
    at = paths or HostPaths()
    path = posixpath.join(at.sysctl_dir, f"60-{deployment}.conf")

    def wanted() -> tuple[str, dict[str, int]]:
        """The file as it should be, and the settings as they are."""
        content = read_file(host, path)
        values = _read_settings(host, at.proc, needed)
        ours = names_in(content.decode("utf-8", "replace")) if content else frozenset()
        lines = [
            s
            for s in needed
            if s.name in values and (s.name in ours or not s.is_met(values[s.name]))
        ]
        return format_sysctls(lines) if lines or content else "", values

    def is_right() -> bool:
        text, values = wanted()
        content = read_file(host, path)
        met = all(s.is_met(values[s.name]) for s in needed if s.name in values)
        return met and (content or b"").decode("utf-8", "replace") == text

    def write() -> Run[None]:
        text, values = wanted()
        before: dict[str, Any] = {name: value for name, value in values.items() if name in text}
        after = {s.name: s.value for s in needed if s.name in before}
        record_change(host, layout, "sysctl", {"path": path, "before": before, "after": after})
        run_root(host, f"mkdir -p {quote(at.sysctl_dir)}")
        replace_file(host, path, text.encode(), mode="0644")
        # a file of somebody else may be at fault; what counts is what is read back
        run_root(host, "sysctl --system >/dev/null 2>&1 || :")
        found = _read_settings(host, at.proc, needed)
        if unmet := [s for s in needed if s.name in found and not s.is_met(found[s.name])]:
            raise PreflightError(*(_not_in_force(s, found[s.name], path) for s in unmet))
        return no_effect()

    names = ", ".join(f"{s.name}={s.value}" for s in needed)
    return Step("host.sysctl", f"set {names} in {path}", is_right, write, is_right)


def unit_step(
    host: Host, layout: Layout, name: str, text: bytes, paths: HostPaths | None = None
) -> Step:
    """The unit that starts the platform after a reboot is there and enabled."""
    at = paths or HostPaths()
    path = posixpath.join(at.unit_dir, name)

    def is_there() -> bool:
        enabled = run_root(host, f"systemctl is-enabled {quote(name)} 2>/dev/null || :").text
        return read_file(host, path) == text and enabled.strip() == "enabled"

    def install() -> Run[None]:
        if read_file(host, path) is None:
            record_change(host, layout, "systemd", {"path": path, "before": {name: None}})
        replace_file(host, path, text, mode="0644")
        run_root(
            host,
            f"systemctl daemon-reload\nsystemctl enable {quote(name)} >/dev/null 2>&1",
        )
        return no_effect()

    return Step("host.systemd", f"install and enable {path}", is_there, install, is_there)


def _read_settings(host: Host, proc: str, needed: Sequence[KernelSetting]) -> dict[str, int]:
    """Those that the host has, as whole numbers."""
    lines = [
        f'if [ -r {quote(file)} ]; then echo {quote(s.name)} "$(head -n 1 {quote(file)})"; fi'
        for s in needed
        for file in [posixpath.join(proc, *s.name.split("."))]
    ]
    pairs = (line.split() for line in run_root(host, "\n".join(lines)).text.splitlines())
    return {p[0]: int(p[1]) for p in pairs if len(p) == 2 and p[1].lstrip("-").isdigit()}


def _not_in_force(setting: KernelSetting, found: int, path: str) -> Problem:
    return Problem(
        "host.sysctl_overridden",
        f"{setting.name} is {found} although {path} says {setting.value}",
        Remedy(
            "a file that is read later says otherwise, or the kernel does not let it be set here;"
            " look for it, or take sysctl out of host.apply",
            (f"sudo grep -rs {setting.name} /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d",),
        ),
        where=setting.name,
    )
