"""After a reboot: what waits for whom, and who can help, in `status` and in `verify`. F-025."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from installer.core.deployed import Deployed
from installer.core.errors import ContainerRuntimeError, Problem, Remedy
from installer.core.events import Outcome
from installer.core.proposal import ServerState
from installer.output.proposal import format_status
from installer.phases.waiting import describe_waiting, judge_delivered
from installer.ports import Container, Project
from tests.host.machine import Machine
from tests.host.rendered import make

PROJECT = Project("devplat", "/opt/devplat/current")


@dataclass
class Engine:
    """Every service of a plan, but for those that are sick or gone."""

    services: tuple[str, ...]
    sick: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    fault: ContainerRuntimeError | None = None

    def containers(self, project: Project) -> tuple[Container, ...]:
        if self.fault:
            raise self.fault
        return tuple(
            Container(s, "running", "starting" if s in self.sick else "healthy", {})
            for s in self.services
            if s not in self.gone
        )


def waiting(variant: str, server: ServerState | None, *, delivered: bool, **how: Any) -> list[str]:
    plan = make(variant)[0]
    engine = Engine(plan.services, **how)
    return list(describe_waiting(plan, PROJECT, cast(Any, engine), server, delivered=delivered))


def test_nothing_waits_when_everything_is_healthy() -> None:
    assert waiting("everything", ServerState.READY, delivered=True) == []
    assert waiting("no-secret-server", None, delivered=True) == []


def test_a_sealed_server_waits_for_its_custodians_and_services_for_it() -> None:
    first, second = waiting(
        "everything", ServerState.SEALED, delivered=True, sick={"coder", "vault-agent-coder"}
    )
    assert "custodians" in first
    assert "devplat-install unseal" in first
    assert second == "these wait for it: coder"


def test_agents_that_lost_their_logins_wait_for_unseal_also_with_a_server_that_is_open() -> None:
    first, second = waiting(
        "unsealed-by-aws", ServerState.READY, delivered=True, sick={"coder", "vault-agent-coder"}
    )
    assert first.startswith("1 agents wait for logins")
    assert "devplat-install unseal" in first
    assert second.endswith("coder")


def test_delivered_secrets_that_are_gone_wait_for_apply() -> None:
    first, second = waiting("no-secret-server", None, delivered=False, gone={"coder"})
    assert "devplat-install apply" in first
    assert second == "these wait for them: coder"


def test_what_has_its_secrets_and_is_sick_is_said_without_a_guess() -> None:
    [line] = waiting("no-secret-server", None, delivered=True, sick={"gitea"})
    assert "gitea" in line
    assert "logs" in line


def test_an_engine_that_does_not_answer_is_said() -> None:
    fault = ContainerRuntimeError(Problem("engine.stopped", "it is stopped", Remedy("start it")))
    assert waiting("everything", None, delivered=True, fault=fault) == [
        "the engine does not answer: it is stopped"
    ]


def test_status_shows_each_line() -> None:
    lines = list(format_status(Deployed(release="1"), ("the server is sealed", "others wait")))
    assert lines[-2:] == ["waiting     the server is sealed", "waiting     others wait"]


@pytest.fixture
def delivered(machine: Machine) -> Machine:
    plan = make("no-secret-server")[0]
    for name in plan.services:
        for file in plan.manifest(name).secret_files:
            path = machine.root / "opt/secrets" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
    return machine


def test_files_that_are_there_pass(delivered: Machine) -> None:
    result = judge_delivered(delivered.host, delivered.layout, make("no-secret-server")[0])
    assert result is not None
    assert result.outcome is Outcome.PASS


@pytest.mark.parametrize("how", ["one", "all"])
def test_files_that_a_reboot_took_away_fail_with_what_to_do(delivered: Machine, how: str) -> None:
    root = delivered.root / "opt/secrets"
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for path in files[:1] if how == "one" else files:
        path.unlink()
    result = judge_delivered(delivered.host, delivered.layout, make("no-secret-server")[0])
    assert result is not None
    assert (result.outcome, result.problem and result.problem.code) == (
        Outcome.FAIL,
        "secrets.gone",
    )
    assert result.problem is not None
    assert result.problem.remedy.commands == ("devplat-install apply",)


def test_with_agents_there_is_nothing_that_the_installer_delivers(machine: Machine) -> None:
    assert judge_delivered(machine.host, machine.layout, make("everything")[0]) is None
