"""Changes of the host are taken back to what was before the first of ours, and no further."""

from __future__ import annotations

import json
from typing import Any

import pytest

from installer.core.host_settings import EngineSetting
from installer.core.kernel import KernelSetting
from installer.phases.engine_settings import daemon_step
from installer.phases.host_changes import sysctl_step, unit_step
from installer.phases.host_undo import (
    undo_daemon_step,
    undo_sysctl_step,
    undo_unit_step,
    unmerge,
)
from tests.host.machine import Machine, carry_out, findings

SHARE = KernelSetting(name="fs.test_share", value=1000, why="files", source="x(7)")
OTHER = KernelSetting(name="fs.test_other", value=2000, why="files", source="x(7)")
ICC = EngineSetting("icc", False, "apart", "CIS")
LOGS = EngineSetting("log-opts", {"max-size": "10m"}, "bounded", "CIS")


@pytest.fixture
def low(machine: Machine) -> Machine:
    machine.setting(SHARE.name, 10)
    machine.setting(OTHER.name, 20)
    carry_out([sysctl_step(machine.host, machine.layout, "trial", (SHARE, OTHER), machine.paths)])
    assert machine.value(SHARE.name) == 1000
    return machine


def undo_sysctl(machine: Machine) -> list[Any]:
    step = undo_sysctl_step(machine.host, machine.record["sysctl"], machine.paths)
    return findings(carry_out([step]))


def test_kernel_settings_have_their_values_from_before_and_our_file_is_gone(low: Machine) -> None:
    assert undo_sysctl(low) == []
    assert (low.value(SHARE.name), low.value(OTHER.name)) == (10, 20)
    assert low.tree() == {}


def test_a_setting_that_somebody_changed_since_stays_and_is_told(low: Machine) -> None:
    low.setting(SHARE.name, 5000)
    told = undo_sysctl(low)
    assert (low.value(SHARE.name), low.value(OTHER.name)) == (5000, 20)
    assert [r.title for r in told] == ["fs.test_share stays 5000; it was 10 before us"]


def test_a_setting_that_another_file_decides_is_not_ours_to_set(low: Machine) -> None:
    theirs = low.root / "etc/sysctl.d/99-theirs.conf"
    theirs.write_text(f"{SHARE.name} = 1000\n")
    undo_sysctl(low)
    assert (low.value(SHARE.name), low.value(OTHER.name)) == (1000, 20)
    assert theirs.exists()


def test_the_unit_is_disabled_and_gone(machine: Machine) -> None:
    carry_out(
        [unit_step(machine.host, machine.layout, "trial.service", b"[Unit]\n", machine.paths)]
    )
    step = undo_unit_step(machine.host, machine.record["systemd"])
    assert not step.check()
    carry_out([step])
    assert step.check()
    assert "systemctl disable trial.service" in machine.log()
    assert machine.tree() == {}


def configure(machine: Machine, *settings: EngineSetting) -> None:
    machine.containers(1)  # so that the engine is not restarted
    carry_out([daemon_step(machine.host, machine.layout, settings, machine.paths)])


def undo_daemon(machine: Machine) -> list[Any]:
    step = undo_daemon_step(machine.host, machine.record["daemon"])
    return findings(carry_out([step]))


def test_a_configuration_that_was_not_there_is_gone(machine: Machine) -> None:
    configure(machine, ICC, LOGS)
    told = undo_daemon(machine)
    assert not machine.daemon_json.exists()
    assert "when it restarts" in told[0].title
    assert undo_daemon_step(machine.host, machine.record["daemon"]).check()


def test_each_key_has_its_value_from_before_and_the_others_are_as_they_are(
    machine: Machine,
) -> None:
    before = {"debug": True, "log-opts": {"labels": "team"}}
    machine.daemon_json.write_text(json.dumps(before))
    configure(machine, ICC, LOGS)
    changed = json.loads(machine.daemon_json.read_text())
    assert changed["log-opts"] == {"labels": "team", "max-size": "10m"}
    machine.daemon_json.write_text(json.dumps({**changed, "storage-driver": "overlay2"}))
    undo_daemon(machine)
    found = json.loads(machine.daemon_json.read_text())
    assert found == {**before, "storage-driver": "overlay2"}


def test_a_key_that_somebody_changed_since_stays_and_is_told(machine: Machine) -> None:
    configure(machine, ICC, LOGS)
    document = json.loads(machine.daemon_json.read_text())
    machine.daemon_json.write_text(json.dumps({**document, "log-opts": {"max-size": "50m"}}))
    told = undo_daemon(machine)
    assert json.loads(machine.daemon_json.read_text()) == {"log-opts": {"max-size": "50m"}}
    assert any("log-opts" in result.title and "stays" in result.title for result in told)


def test_a_record_that_does_not_say_what_was_set_puts_the_old_value_back() -> None:
    assert unmerge({"icc": True, "a": 1}, {"before": {"icc": None}}).settings == {"a": 1}
    assert unmerge({"icc": True}, {"before": {"icc": False}}).settings == {"icc": False}
