"""Modes and owners of what lies on a host (HH-13): parsed from `stat`, judged against the plan.

Paths and modes only: no content of a file is ever here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from installer.core.errors import Problem, Remedy
from installer.core.events import CheckResult, Outcome
from installer.core.layout import Layout

ROOT = "0:0"
OTHERS, WRITABLE = 0o007, 0o022
SECRET_MODES = frozenset({0o400, 0o600})
_MODE = re.compile(r"[0-7]{1,4}", re.ASCII)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file or directory: permission bits, `uid:gid`."""

    mode: int
    owner: str

    def __str__(self) -> str:
        return f"{self.mode:04o} {self.owner}"


@dataclass(frozen=True, slots=True)
class HostFiles:
    """What was found.

    Attributes:
        files: Path → facts, of the directories and of every secret file.
        loose: What in the releases and the state somebody else than root may write.
        secrets_type: File system of the directory of secrets.
    """

    files: Mapping[str, FileFacts]
    loose: Mapping[str, FileFacts] = field(default_factory=dict)
    secrets_type: str = ""


def parse_files(text: str) -> HostFiles:
    """Read lines `file|loose MODE UID:GID PATH` and `type NAME`; others are left out."""
    found: dict[str, dict[str, FileFacts]] = {"file": {}, "loose": {}}
    secrets_type = ""
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "type":
            secrets_type = rest.strip()
        mode, owner, path = (*rest.split(" ", 2), "", "", "")[:3]
        if kind in found and path and _MODE.fullmatch(mode):
            found[kind][path] = FileFacts(int(mode, 8) & 0o7777, owner)
    return HostFiles(found["file"], found["loose"], secrets_type)


def judge_files(
    seen: HostFiles,
    layout: Layout,
    data: Mapping[str, str],
    secrets: Mapping[str, str] | None,
) -> Iterator[CheckResult]:
    """The install directory, what is in it, the secrets, and the data.

    Args:
        seen: What was found.
        layout: Where it should be.
        data: `<service>/<name>` → `mode uid:gid` (octal, without a leading 0).
        secrets: `<service>/<file>` → `uid:gid`; None where agents render them in memory volumes.
    """
    yield _judge_install(seen, layout)
    yield _result(
        "HH-13.releases", "nobody but root can change releases and state", layout.install_dir,
        [f"{path} {facts}" for path, facts in seen.loose.items()], "no file that others may write",
        Remedy("restore the release", ("devplat-install apply --repair",)),
    )  # fmt: skip
    if secrets is not None:
        yield _result(
            "HH-13.secrets", "secret files are in memory, each for its consumer alone",
            layout.secrets, list(_wrong_secrets(seen, layout, secrets)),
            f"tmpfs 0700, {len(secrets)} files 0400 or 0600 of their consumer",
            Remedy("deliver them again; nothing is made anew", ("devplat-install apply",)),
        )  # fmt: skip
    yield _result(
        "HH-13.data", "data directories belong to their services", layout.data_dir,
        list(_wrong_data(seen, layout, data)), f"{len(data)} directories as declared",
        Remedy("set owner and mode as declared; apply does so", ("devplat-install apply",)),
    )  # fmt: skip


def _judge_install(seen: HostFiles, layout: Layout) -> CheckResult:
    path = layout.install_dir
    facts = seen.files.get(path)
    title = "the install directory is root's, and closed to others"
    wrong = ["absent"] if facts is None else []
    if facts is not None and (facts.owner.partition(":")[0] != "0" or facts.mode & WRITABLE):
        wrong = [str(facts)]
    result = _result(
        "HH-13.install", title, path, wrong, "0750 or stricter, of root",
        Remedy("give it back to root", (f"chown 0:0 {path}", f"chmod 0750 {path}")),
    )  # fmt: skip
    if wrong or facts is None or not facts.mode & OTHERS:
        return result
    return _result(
        "HH-13.install", title, path, [f"{facts}: others may look into it"], result.expected,
        Remedy(
            "there are no secrets in what they can read; close it if other people have accounts",
            (f"chmod 0750 {path}",),
        ),
        worst=Outcome.WARN,
    )  # fmt: skip


def _wrong_secrets(seen: HostFiles, layout: Layout, secrets: Mapping[str, str]) -> Iterable[str]:
    top = seen.files.get(layout.secrets)
    if top is None or top.mode & 0o077 or top.owner != ROOT:
        yield f"{layout.secrets} {top or 'absent'}"
    if seen.secrets_type not in ("tmpfs", "ramfs"):
        yield f"{layout.secrets} on {seen.secrets_type or 'an unknown file system'}"
    prefix = f"{layout.secrets}/"
    there = {p.removeprefix(prefix): f for p, f in seen.files.items() if p.startswith(prefix)}
    for path, owner in secrets.items():
        facts = there.get(path)
        if facts is None or facts.mode not in SECRET_MODES or facts.owner != owner:
            yield f"{path} {facts or 'absent'}, where 0400 {owner} is right"
    for path in sorted(there.keys() - secrets.keys()):
        yield f"{path} {there[path]}, which nobody declared"


def _wrong_data(seen: HostFiles, layout: Layout, data: Mapping[str, str]) -> Iterable[str]:
    top = seen.files.get(layout.data_dir)
    if top is None or top.mode & WRITABLE or top.owner.partition(":")[0] != "0":
        yield f"{layout.data_dir} {top or 'absent'}"
    for path, wanted in data.items():
        mode, _, owner = wanted.partition(" ")
        facts = seen.files.get(f"{layout.data_dir}/{path}")
        if facts is None or facts.owner != owner or facts.mode & ~int(mode, 8):
            yield f"{path} {facts or 'absent'}, where {int(mode, 8):04o} {owner} is right"


def _result(
    check: str,
    title: str,
    where: str,
    wrong: list[str],
    expected: str,
    remedy: Remedy,
    *,
    worst: Outcome = Outcome.FAIL,
) -> CheckResult:
    if not wrong:
        return CheckResult(check, title, Outcome.PASS, where, expected, "as expected")
    more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
    found = "; ".join(wrong[:5]) + more
    problem = Problem("files.mode", f"{title}: {found}", remedy, where)
    return CheckResult(check, title, worst, where, expected, found, problem)
