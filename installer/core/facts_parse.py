"""Makes `HostFacts` from the output of the probe script; pure, and never fails on a missing tool.

What a host does not tell is None in the facts; only a script that did not run to its end is an
error.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from installer.core.facts import (
    Account,
    ClockReading,
    Dns,
    HostFacts,
    Installation,
    Memory,
    OsRelease,
    PathFacts,
    PathKind,
)
from installer.core.facts_engine import parse_engine, parse_images
from installer.core.facts_host import parse_upkeep
from installer.core.facts_network import parse_container_names, parse_names, parse_network
from installer.core.probe import ProbeOutput, Section, read_output


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of /proc/mounts."""

    device: str
    point: str
    fs_type: str
    options: tuple[str, ...]


def parse_facts(text: str, host: str, *, sent: datetime, received: datetime) -> HostFacts:
    """Read the whole output of the probe script.

    Args:
        text: Standard output of the script.
        host: Name of the host, for messages.
        sent: This machine's time just before the script was started.
        received: This machine's time just after it ended.

    Raises:
        PreflightError: the script did not run to its end.
    """
    output = read_output(text, host)
    kernel = (*output.get("kernel").lines, "", "", "")
    mounts = parse_mounts(output.get("mounts"))
    install = _install_dir(output)
    return HostFacts(
        os=parse_os_release(output.get("os").text),
        kernel=kernel[0].strip(),
        release=kernel[1].strip(),
        machine=kernel[2].strip(),
        cpus=_number(output.get("cpus")),
        memory=parse_memory(output.get("memory")),
        cgroup=_number(output.get("cgroup")),
        systemd=output.get("systemd").status == 0,
        clock=parse_clock(output, sent, received),
        account=parse_account(output.get("account")),
        paths={
            section.argument: facts
            for section in output.named("path")
            if (facts := parse_path(section, output.get("entries", section.argument), mounts))
        },
        network=parse_network(output),
        engine=parse_engine(output),
        images=parse_images(output.named("image")),
        installation=parse_installation(output, mounts, install),
        dns=Dns(
            host=(names := parse_names(output.named("name"))),
            container=parse_container_names(output.get("container-dns"), tuple(names)),
        ),
        unfinished=output.unfinished,
        upkeep=parse_upkeep(output),
    )


def parse_os_release(text: str) -> OsRelease:
    """Read os-release(5): shell assignments, values perhaps quoted."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if not equals or key.startswith("#"):
            continue
        try:
            words = shlex.split(value)
        except ValueError:
            words = [value]
        values[key] = words[0] if words else ""
    return OsRelease(
        id=values.get("ID", "linux"),
        version=values.get("VERSION_ID", ""),
        title=values.get("PRETTY_NAME", "Linux"),
        like=tuple(values.get("ID_LIKE", "").split()),
    )


def parse_memory(section: Section) -> Memory | None:
    """Read /proc/meminfo, which counts in KiB."""
    kib = {
        match[1]: int(match[2])
        for line in section.lines
        if (match := re.match(r"(\w+):\s+(\d+) kB", line))
    }
    if "MemTotal" not in kib:
        return None
    available = kib.get("MemAvailable", kib.get("MemFree"))
    return Memory(
        total_mib=kib["MemTotal"] // 1024,
        available_mib=None if available is None else available // 1024,
        swap_mib=kib.get("SwapTotal", 0) // 1024,
    )


def parse_clock(output: ProbeOutput, sent: datetime, received: datetime) -> ClockReading | None:
    """Offset and its bound from four time stamps, as NTP does it (RFC 5905, section 8)."""
    first, last = (_seconds(text) for text in output.clock)
    if first is None or last is None:
        return None
    before, after = sent.timestamp(), received.timestamp()
    resolution = max(first[1], last[1])
    elapsed = (after - before) - (last[0] - first[0])
    return ClockReading(
        skew_s=((first[0] - before) + (last[0] - after)) / 2,
        uncertainty_s=max(elapsed, 0.0) / 2 + resolution,
        synchronised=_synchronised(output.get("synchronised")),
    )


def parse_account(section: Section) -> Account:
    """Read who runs the probe."""
    words = section.words()
    return Account(
        user=words.get("user", "?"),
        uid=int(words["uid"]) if words.get("uid", "").isdigit() else -1,
        groups=tuple(words.get("groups", "").split()),
        sudo=words.get("sudo", "absent"),
        login=words.get("login"),
        login_groups=tuple(words.get("login_groups", "").split()),
        client=next(iter(words.get("client", "").split()), None),
    )


def parse_mounts(section: Section) -> tuple[Mount, ...]:
    """Read /proc/mounts, in mount order; spaces in it are written as octal escapes."""
    found = []
    for line in section.lines:
        words = [re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), w) for w in line.split(" ")]
        if len(words) >= 4:
            found.append(Mount(words[0], words[1], words[2], tuple(words[3].split(","))))
    return tuple(found)


def parse_path(section: Section, entries: Section, mounts: Sequence[Mount]) -> PathFacts | None:
    """Read what is known of one directory and its file system."""
    words = section.words()
    if "existing" not in words:
        return None
    owner = words.get("owner", "").split()
    mount = find_mount(words.get("real", words["existing"]), mounts)
    size, available, inodes, inodes_free = _space(section)
    return PathFacts(
        path=words.get("path", words["existing"]),
        existing=words["existing"],
        kind=PathKind(words.get("kind", "absent")),
        writable=words.get("writable") == "yes",
        mode=int(owner[2], 8) if len(owner) == 3 else None,
        owner=(int(owner[0]), int(owner[1])) if len(owner) == 3 else None,
        mount=mount.point,
        device=mount.device,
        fs_type=mount.fs_type,
        read_only="ro" in mount.options,
        size=size,
        available=available,
        inodes=inodes,
        inodes_free=inodes_free,
        entries=tuple(entries.lines) if entries.status == 0 else (),
        options=mount.options,
    )


def find_mount(path: str, mounts: Sequence[Mount]) -> Mount:
    """The mount that a physical path lies on: the longest mount point, the last one of equals."""
    best = Mount("", "/", "", ())
    for mount in mounts:
        point = mount.point.rstrip("/") or "/"
        inside = point in ("/", path) or path.startswith(point + "/")
        if inside and len(point) >= len(best.point.rstrip("/") or "/"):
            best = mount
    return best


def parse_installation(
    output: ProbeOutput, mounts: Sequence[Mount], install_dir: str
) -> Installation:
    """Read what an earlier run left on the host."""
    section, data = output.get("installation"), output.get("data")
    words = section.words()
    secrets = posixpath.join(install_dir, "secrets")
    lock = output.get("lock")
    return Installation(
        current=words.get("current"),
        releases=section.all("release"),
        state_files=section.all("state"),
        lock=lock.text if any(lock.lines) else None,
        data={
            **dict.fromkeys(data.all("filled"), True),
            **dict.fromkeys(data.all("empty"), False),
        },
        markers=data.all("marker"),
        secrets_on_tmpfs=bool(install_dir)
        and any(m.point == secrets and m.fs_type in ("tmpfs", "ramfs") for m in mounts),
    )


def _install_dir(output: ProbeOutput) -> str:
    return output.get("path", "install").words().get("path", "")


def _space(section: Section) -> tuple[int | None, int | None, int | None, int | None]:
    """Size, available bytes, inodes, free inodes; from `stat -f`, or bytes alone from `df -Pk`."""
    numbers = section.words().get("space", "").split()[:5]
    if len(numbers) == 5 and all(n.isdigit() for n in numbers):
        block, size, available, inodes, free = map(int, numbers)
        return size * block, available * block, inodes, free
    for line in section.lines:
        match = re.search(r"\s(\d+)\s+\d+\s+(\d+)\s+\d+%\s", line)
        if match:
            return int(match[1]) * 1024, int(match[2]) * 1024, None, None
    return None, None, None, None


def _seconds(text: str) -> tuple[float, float] | None:
    """Unix time and its uncertainty; a clock of whole seconds is read in the middle of one."""
    if not text.strip().isdigit():
        return None
    value = int(text)
    if value > 10**14:
        return value / 1e9, 0.0
    return value + 0.5, 0.5


def _synchronised(section: Section) -> bool | None:
    """Of `timedatectl` (yes or no) or `chronyc tracking` (its leap status)."""
    text = section.text.strip().lower()
    if text in ("yes", "no"):
        return text == "yes"
    match = re.search(r"leap status\s*:\s*(.+)", text)
    return None if match is None else match[1].strip() == "normal"


def _number(section: Section) -> int | None:
    text = section.text.strip().split("\n")[0].strip()
    return int(text) if text.isdigit() else None
