"""Kernel settings: only those that services need, written once, read back from the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from installer.core.errors import PreflightError
from installer.core.host_settings import needed_sysctls, unmet_sysctls
from installer.core.kernel import KernelSetting
from installer.phases.host_changes import sysctl_step
from installer.phases.steps import Step
from tests.host.machine import Machine, carry_out
from tests.host.rendered import make
from tests.stacks.builders import ROOT

WATCHES = KernelSetting(name="fs.inotify.max_user_watches", value=1000, why="files", source="x(7)")
FORKS = KernelSetting(
    name="vm.overcommit_memory", value=1, compare="equal", why="forks", source="its makers"
)
FILE = "etc/sysctl.d/60-devplat.conf"


def step(machine: Machine, *needed: KernelSetting) -> Step:
    return sysctl_step(machine.host, machine.layout, "devplat", needed, machine.paths)


@pytest.fixture
def low(machine: Machine) -> Machine:
    machine.setting(WATCHES.name, 10)
    machine.setting(FORKS.name, 0)
    return machine


def test_what_is_too_low_is_set_for_now_and_for_the_next_boot(low: Machine) -> None:
    carry_out([step(low, WATCHES, FORKS)])
    assert (low.value(WATCHES.name), low.value(FORKS.name)) == (1000, 1)
    text = (low.root / FILE).read_text()
    assert "fs.inotify.max_user_watches = 1000" in text
    assert "# forks (its makers)" in text
    assert (low.root / FILE).stat().st_mode & 0o777 == 0o644


def test_a_second_run_changes_nothing(low: Machine) -> None:
    carry_out([step(low, WATCHES, FORKS)])
    before = low.tree()
    assert step(low, WATCHES, FORKS).check()
    carry_out([step(low, WATCHES, FORKS)])
    assert low.tree() == before


def test_what_is_enough_already_is_left_as_it_is(machine: Machine) -> None:
    machine.setting(WATCHES.name, 9999)
    assert step(machine, WATCHES).check()
    carry_out([step(machine, WATCHES)])
    assert machine.tree() == {}
    machine.setting(FORKS.name, 2)
    carry_out([step(machine, WATCHES, FORKS)])
    assert machine.value(WATCHES.name) == 9999
    assert "inotify" not in (machine.root / FILE).read_text()


def test_a_setting_that_the_kernel_does_not_have_is_not_written(machine: Machine) -> None:
    machine.setting(FORKS.name, 0)
    carry_out([step(machine, WATCHES, FORKS)])
    assert "inotify" not in (machine.root / FILE).read_text()


def test_a_later_file_that_says_otherwise_is_an_error_that_names_it(low: Machine) -> None:
    (low.root / "etc/sysctl.d/99-theirs.conf").write_text("vm.overcommit_memory = 2\n")
    with pytest.raises(PreflightError) as caught:
        carry_out([step(low, FORKS)])
    [problem] = caught.value.problems
    assert (problem.code, problem.where) == ("host.sysctl_overridden", FORKS.name)
    assert low.value(FORKS.name) == 2


def test_how_it_was_before_is_recorded_once(low: Machine) -> None:
    carry_out([step(low, FORKS)])
    low.setting(FORKS.name, 2)
    carry_out([step(low, FORKS)])
    record = low.record["sysctl"]
    assert record["before"] == {FORKS.name: 0}
    assert record["path"].endswith("/60-devplat.conf")


def test_more_is_as_good_only_where_it_is_said_so() -> None:
    assert unmet_sysctls({WATCHES.name: 2000, FORKS.name: 2}, [WATCHES, FORKS]) == [FORKS]
    assert unmet_sysctls({}, [WATCHES, FORKS]) == []


def test_each_setting_of_the_stack_is_needed_by_a_service_and_has_a_reason_and_a_source() -> None:
    plan = make("everything")[0]
    needed = needed_sysctls(plan)
    assert {s.name for s in needed} >= {"vm.overcommit_memory", "fs.inotify.max_user_instances"}
    assert all(s.why and s.source for s in needed)
    fewer = needed_sysctls(make("nothing-optional")[0])
    assert "vm.overcommit_memory" not in {s.name for s in fewer}


def test_a_setting_of_a_container_s_own_is_refused_in_a_manifest() -> None:
    manifests = sorted(Path(ROOT, "stacks/compose").glob("*/service.yaml"))
    names = [
        setting["name"]
        for path in manifests
        for setting in yaml.safe_load(path.read_text()).get("sysctls", ())
    ]
    assert names
    # these are of a network name space: the host's value does not reach a container
    assert [name for name in names if name.startswith("net.")] == []
    with pytest.raises(ValueError, match="name"):
        KernelSetting(name="../../etc/passwd", value=1, why="w", source="s")
