"""The engine's configuration file is changed key by key, and never left worse than it was."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from installer.core.errors import ContainerRuntimeError, InstallError, PreflightError
from installer.core.facts_host import EngineConfig
from installer.core.host_settings import EngineSetting, engine_changes, merge_config
from installer.phases import engine_settings
from installer.phases.engine_settings import daemon_step
from tests.host.machine import SERVICE, Machine, carry_out, findings
from tests.preflight.builders import sound_facts, sound_needs, sound_upkeep

THEIRS = {"debug": True, "log-opts": {"labels": "team"}, "insecure-registries": ["10.0.0.0/8"]}


def proposed(config: EngineConfig | None = None, **facts: Any) -> tuple[EngineSetting, ...]:
    upkeep = sound_upkeep(config=config or EngineConfig())
    return engine_changes(sound_facts(upkeep=upkeep, **facts), sound_needs())


def keys(changes: tuple[EngineSetting, ...]) -> set[str]:
    return {change.key for change in changes}


def fails(machine: Machine, changes: tuple[EngineSetting, ...]) -> InstallError:
    with pytest.raises(InstallError) as caught:
        carry_out([daemon_step(machine.host, machine.layout, changes, machine.paths)])
    return caught.value


def set_up(machine: Machine, changes: tuple[EngineSetting, ...]) -> list[Any]:
    return carry_out([daemon_step(machine.host, machine.layout, changes, machine.paths)])


def test_hh_01_hh_03_hh_05_hh_06_are_met_by_what_is_proposed() -> None:
    merged = merge_config({}, proposed())
    assert merged["live-restore"] is True
    assert merged["log-opts"]["max-size"]
    assert (merged["icc"], merged["userland-proxy"]) == (False, False)
    assert merged["no-new-privileges"] is True


def test_only_what_differs_is_proposed_and_what_else_is_there_stays() -> None:
    config = EngineConfig({"icc": False, "log-opts": {"labels": "team"}, "live-restore": True})
    changes = proposed(config)
    assert not {"icc", "live-restore"} & keys(changes)
    merged = merge_config(THEIRS, changes)
    assert merged["log-opts"] == {"labels": "team", "max-size": "10m", "max-file": "5"}
    assert {k: merged[k] for k in ("debug", "insecure-registries")} == {
        k: THEIRS[k] for k in ("debug", "insecure-registries")
    }


@pytest.mark.parametrize("flag", ["icc", "live-restore", "log-opt", "default-ulimit"])
def test_a_key_that_the_command_line_decides_is_not_proposed(flag: str) -> None:
    """The engine does not start with both."""
    changes = proposed(EngineConfig(flags=frozenset({flag})))
    taken = {"log-opt": {"log-opts", "log-driver"}, "default-ulimit": {"default-ulimits"}}
    assert not keys(changes) & taken.get(flag, {flag})
    assert keys(changes) < keys(proposed())


def test_pools_of_the_engine_collide_neither_with_ours_nor_with_what_the_host_uses() -> None:
    [change] = [c for c in proposed() if c.key == "default-address-pools"]
    assert change.value == [{"base": "172.31.0.0/16", "size": 24}]
    wide = EngineConfig({"default-address-pools": [{"base": "172.16.0.0/12", "size": 20}]})
    [change] = [c for c in proposed(wide) if c.key == "default-address-pools"]
    assert change.value == [{"base": "172.31.0.0/16", "size": 24}]
    both = [{"base": "172.30.0.0/17", "size": 24}, {"base": "10.99.0.0/16", "size": 24}]
    [change] = [
        c
        for c in proposed(EngineConfig({"default-address-pools": both}))
        if c.key == "default-address-pools"
    ]
    assert change.value == both[1:]


def test_it_is_written_and_the_engine_restarted_when_nothing_runs(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.restartable(monkeypatch)
    machine.daemon_json.write_text(json.dumps(THEIRS))
    machine.daemon_json.chmod(0o600)
    events = set_up(machine, proposed())
    assert json.loads(machine.daemon_json.read_text()) == merge_config(THEIRS, proposed())
    assert stat.S_IMODE(machine.daemon_json.stat().st_mode) == 0o600
    assert machine.log() == ["service docker restart"]
    assert findings(events) == []


def test_a_second_run_changes_nothing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.restartable(monkeypatch)
    set_up(machine, proposed())
    before, log = machine.tree(), machine.log()
    step = daemon_step(machine.host, machine.layout, proposed(), machine.paths)
    assert step.check()
    carry_out([step])
    assert (machine.tree(), machine.log()) == (before, log)
    written = json.loads(machine.daemon_json.read_text())
    assert proposed(EngineConfig(written)) == ()


def test_what_was_there_before_is_kept_so_that_it_can_be_taken_back(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.restartable(monkeypatch)
    text = json.dumps(THEIRS)
    machine.daemon_json.write_text(text)
    set_up(machine, proposed())
    set_up(machine, (EngineSetting("debug", False, "why", "who"),))
    record = machine.record["daemon"]
    assert record["existed"] is True
    assert record["before"]["live-restore"] is None
    assert (record["before"]["log-opts"], record["before"]["debug"]) == ({"labels": "team"}, True)
    kept = machine.root / "opt/state/host/daemon.json.before"
    assert kept.read_text() == text
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["{", "[]", '{"icc": }', "\xff", '"text"'])
def test_a_bad_file_is_an_error_and_nothing_is_written(machine: Machine, content: str) -> None:
    machine.daemon_json.write_bytes(content.encode("latin-1"))
    before = machine.tree()
    error = fails(machine, proposed())
    assert (type(error), error.problems[0].code) == (PreflightError, "host.daemon_json")
    assert machine.tree() == before
    assert not (machine.root / "opt/state/host.json").exists()


def test_what_the_engine_refuses_is_not_written(machine: Machine) -> None:
    machine.daemon_json.write_text(json.dumps({**THEIRS, "of-another-version": 1}))
    before = machine.tree()
    error = fails(machine, proposed())
    assert error.problems[0].code == "host.daemon_refused"
    assert "of-another-version" in (error.problems[0].detail or "")
    assert machine.tree() == before


def test_without_the_program_that_tries_it_nothing_is_written(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine.programs / "dockerd").unlink()
    monkeypatch.setenv("PATH", f"{machine.programs}:/bin")
    if Path("/bin/dockerd").exists():
        pytest.skip("this machine has a dockerd in /bin")
    error = fails(machine, proposed())
    assert error.problems[0].code == "host.daemon_refused"
    assert not machine.daemon_json.exists()


@pytest.mark.parametrize("content", [None, json.dumps(THEIRS)])
def test_an_engine_that_does_not_come_back_gets_its_old_file_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    machine.restartable(monkeypatch)
    if content is not None:
        machine.daemon_json.write_text(content)
    before = machine.tree()
    machine.spoil("no-new-privileges")
    error = fails(machine, proposed())
    assert (type(error), error.problems[0].code) == (ContainerRuntimeError, "host.engine_gone")
    assert "runs again" in error.problems[0].summary
    assert machine.tree() == before
    assert (machine.root / "engine-up").exists()
    assert machine.log() == ["service docker restart"] * 2


def test_containers_that_it_would_stop_keep_the_engine_from_being_restarted(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.restartable(monkeypatch)
    machine.containers(2)
    [told] = findings(set_up(machine, proposed()))
    assert told.problem is not None
    assert told.problem.code == "host.restart_pending"
    assert "2 containers run" in told.found
    assert machine.log() == []
    assert json.loads(machine.daemon_json.read_text())["icc"] is False


def test_containers_that_outlive_it_do_not(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.restartable(monkeypatch)
    machine.containers(2)
    machine.live(on=True)
    assert findings(set_up(machine, proposed())) == []
    assert machine.log() == ["service docker restart"]


def test_a_host_where_nothing_known_starts_the_engine_is_told_so(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = engine_settings._RESTART.replace("/run/systemd/system", "/nowhere")
    monkeypatch.setattr(engine_settings, "_RESTART", text.replace("/etc/init.d/docker", "/nowhere"))
    [told] = findings(set_up(machine, proposed()))
    assert told.problem is not None
    assert told.problem.code == "host.restart_pending"
    assert machine.log() == []


def test_a_restart_that_leaves_the_same_process_is_none(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service manager that did not start the engine says that it has restarted it."""
    machine.restartable(monkeypatch)
    pid = machine.root / "docker.pid"
    pid.write_text("4711")
    [told] = findings(set_up(machine, proposed()))
    assert told.problem is not None
    assert told.problem.code == "host.restart_pending"
    machine.program("service", f"{SERVICE.format(root=machine.root)}echo 4712 >{pid}\n")
    debug = (EngineSetting("debug", True, "why", "who"),)
    assert findings(set_up(machine, debug)) == []
