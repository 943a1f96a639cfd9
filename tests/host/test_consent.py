"""`host.apply`: nothing of a host is changed unless it is named, and the proposal shows what is."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from installer import stages
from installer.core.answers_host import HOST_CHANGES, check_host_changes
from installer.core.bundle import Bundle
from installer.core.deployed import Deployed
from installer.core.errors import InstallError
from installer.core.fields import FieldError
from installer.core.host_settings import EngineSetting
from installer.core.kernel import KernelSetting
from installer.core.layout import Layout
from installer.core.proposal import Proposal
from installer.core.requirements import Requirements
from installer.output.proposal import format_proposal
from tests.host.machine import Machine
from tests.host.rendered import make

LIVE = EngineSetting("live-restore", True, "they run on", "CIS")
FORKS = KernelSetting(name="vm.overcommit_memory", value=1, why="forks", source="x")


@pytest.mark.parametrize(
    ("raw", "taken"),
    [
        ([], ()),
        (None, ()),
        ("", ()),
        ("sysctl", ("sysctl",)),
        (["systemd", "daemon", "daemon"], ("daemon", "systemd")),
        (list(HOST_CHANGES), HOST_CHANGES),
    ],
)
def test_what_may_be_changed_is_taken_in_one_order(raw: object, taken: tuple[str, ...]) -> None:
    assert check_host_changes(raw).value == taken


@pytest.mark.parametrize("raw", [["all"], "everything", ["daemon", "firewall"], [True], ["*"]])
def test_what_is_no_change_of_a_host_is_refused_with_what_there_is(raw: object) -> None:
    with pytest.raises((FieldError, InstallError)) as caught:
        check_host_changes(raw)
    assert "daemon, sysctl, systemd" in f"{caught.value.__dict__} {caught.value}"


def job_with(machine: Machine, *agreed: str) -> Any:
    plan, bundle = make("everything")
    needs = Requirements(
        deployment="devplat", install_dir="/x", data_dir="/y", sysctls=(FORKS,), host_apply=agreed
    )
    layout = Layout(machine.layout.install_dir, machine.layout.data_dir)
    return SimpleNamespace(plan=plan, bundle=bundle, layout=layout, requirements=needs)


@pytest.mark.parametrize("agreed", [(), ("daemon",), ("sysctl", "systemd"), HOST_CHANGES])
def test_a_step_is_made_for_what_is_named_and_for_nothing_else(
    machine: Machine, agreed: tuple[str, ...]
) -> None:
    steps = stages.host_steps(job_with(machine, *agreed), machine.host, (LIVE,))
    assert [step.id for step in steps] == [f"host.{name}" for name in agreed]


def test_nothing_to_set_is_no_step(machine: Machine) -> None:
    assert stages.host_steps(job_with(machine, "daemon"), machine.host, ()) == []


def proposal(**changes: Any) -> Proposal:
    plan, bundle = make("everything")
    made = Proposal(
        plan=plan,
        bundle=cast(Bundle, bundle),
        deployed=Deployed(release=bundle.release, verified=bundle.release),
        files=(),
        services=(),
        new_secrets=(),
        redeliver=False,
        server=None,
        findings=(),
    )
    return replace(made, **changes)


def test_a_change_of_the_host_is_a_change_and_is_shown_before_anybody_consents() -> None:
    assert proposal().is_noop
    changed = proposal(host=("set live-restore=true in /etc/docker/daemon.json",))
    assert not changed.is_noop
    lines = list(format_proposal(changed, {"sizing": "s", "cost": "c"}))
    assert "~ host    set live-restore=true in /etc/docker/daemon.json" in lines
    unchanged = format_proposal(proposal(), {"sizing": "s", "cost": "c"})
    assert not [line for line in unchanged if line.startswith("~ host")]


def test_services_that_are_restarted_for_a_new_value_are_named_too() -> None:
    lines = list(
        format_proposal(proposal(redeliver=True, restarts=("a", "b")), {"sizing": "", "cost": ""})
    )
    assert "~ secrets have new values; restarted with them: a, b" in lines
