"""How verify probes: one command for the host, and what it says when it cannot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from installer.adapters.local import LocalHost
from installer.adapters.ssh import SshHost
from installer.adapters.ssh_target import SshHop, SshTarget
from installer.core.errors import PrivilegeError, Problem, Remedy
from installer.core.events import Outcome
from installer.core.segmentation.probed import judge_reach
from installer.core.segmentation.reach import Reach
from installer.phases.verify_outside import VANTAGE
from installer.phases.verify_reach import ReachAudit, judge_seen, look_around
from installer.ports import Command, Completed
from installer.wiring import _open_views
from tests.reach.world import SERVICES, rules, sound

AUDIT = ReachAudit(b"the script", lambda seen: tuple(judge_reach(seen, rules(), SERVICES)))


@dataclass
class Host:
    """Answers one command."""

    answer: Completed | PrivilegeError
    name: str = "target"
    asked: list[Command] = field(default_factory=list)

    def run(self, command: Command) -> Completed:
        self.asked.append(command)
        if isinstance(self.answer, PrivilegeError):
            raise self.answer
        return self.answer

    def probe(self) -> Reach | str:
        host: Any = self
        return look_around(AUDIT.script, host, "p")


def test_one_privileged_command_looks_at_the_whole_host() -> None:
    host = Host(Completed(0, sound().text().encode(), b""))
    results = list(judge_seen(AUDIT, host.probe()))
    assert {r.outcome for r in results} == {Outcome.PASS}
    [command] = host.asked
    assert command.script == "exec bash -s -- p 1.3"
    assert (command.privileged, b"".join(command.stdin)) == (True, b"the script")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Completed(127, b"", b"sh: bash: not found\n"), "status 127: sh: bash: not found"),
        (Completed(1, b"@devplat begin 1\n|1\n", b"nsenter is missing\n"), "nsenter is missing"),
        (Completed(1, b"", b""), "did not run to its end"),
        (PrivilegeError(Problem("become.refused", "sudo asks for a password", Remedy("x"))),
         "sudo asks for a password"),
    ],
    ids=["no bash", "no nsenter", "silence", "no root"],
)  # fmt: skip
def test_what_cannot_be_probed_is_unknown_and_not_passed(
    answer: Completed | PrivilegeError, why: str
) -> None:
    [only] = judge_seen(AUDIT, Host(answer).probe())
    assert (only.id, only.outcome) == ("segmentation.reach", Outcome.UNKNOWN)
    assert why in only.found
    assert only.problem is not None


TARGET = SshTarget(
    "10.0.0.5", "ops", key_file="~/k", fingerprint="SHA256:x", jumps=(SshHop("gate", 22, "ops"),)
)


@dataclass
class _Network:
    vantage: str | None


@dataclass
class _Answers:
    network: _Network


@pytest.mark.parametrize("vantage", [None, "bastion"])
def test_without_another_machine_only_the_bastion_looks(vantage: str | None) -> None:
    answers: Any = _Answers(_Network(vantage))
    with _open_views(answers, TARGET) as views:
        assert list(views) == ["bastion"]
        assert isinstance(views["bastion"], LocalHost)


def test_a_vantage_point_is_reached_directly_with_the_same_key_and_no_root() -> None:
    answers: Any = _Answers(_Network("probe@out.example.com:2222"))
    with _open_views(answers, TARGET) as views:
        host = views[VANTAGE]
        assert isinstance(host, SshHost)
        there = host._target
    assert (there.host, there.port, there.user) == ("out.example.com", 2222, "probe")
    assert (there.key_file, there.jumps, there.fingerprint) == ("~/k", (), None)
    assert there.become == "none"
