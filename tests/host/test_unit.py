"""The systemd unit: rendered, accepted by its reader, installed with consent; and what it runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from installer.core.host_unit import unit_name, unit_path
from installer.phases.host_changes import unit_step
from tests.host.machine import Machine, carry_out
from tests.host.rendered import make

VARIANTS = ("everything", "no-secret-server", "unsealed-by-another-server", "unsealed-by-aws")


def bundle_file(variant: str, path: str) -> str:
    return make(variant)[1].files[path].data.decode()


def verify_unit(tmp_path: Path, text: str) -> list[str]:
    """What systemd says of a unit; its program and what it needs are put in place."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    (tmp_path / "docker.service").write_text(
        "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
    )
    unit = tmp_path / "devplat.service"
    unit.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True, text=True, check=False,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "devplat.service" in line]
    return said if said else [f"status {done.returncode}"] * bool(done.returncode)


@pytest.mark.parametrize("variant", VARIANTS)
def test_systemd_accepts_the_unit(tmp_path: Path, variant: str) -> None:
    name = "dev-2" if variant == "unsealed-by-another-server" else "devplat"
    assert verify_unit(tmp_path, bundle_file(variant, unit_path(name))) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Type=oneshot", "Type=onceshot"),
        ("UMask=0077", "Umask=0077"),
        ("ExecStart=/bin/sh", "ExecStart=bin/sh"),
        ("[Service]", "[Servcie]"),
    ],
)
def test_a_unit_with_a_mistake_is_not_accepted(tmp_path: Path, before: str, after: str) -> None:
    text = bundle_file("everything", unit_path("devplat"))
    assert before in text
    assert verify_unit(tmp_path, text.replace(before, after)) != []


def test_it_comes_after_the_engine_and_runs_what_the_active_release_has() -> None:
    text = bundle_file("everything", unit_path("devplat"))
    assert "After=docker.service" in text
    assert "ExecStart=/bin/sh /opt/devplat/current/host/start.sh" in text
    assert "WantedBy=multi-user.target" in text
    assert "releases/" not in text


def test_it_is_installed_enabled_and_recorded_and_a_second_run_changes_nothing(
    machine: Machine,
) -> None:
    text = make("everything")[1].files[unit_path("devplat")].data
    name = unit_name("devplat")
    step = unit_step(machine.host, machine.layout, name, text, machine.paths)
    carry_out([step])
    assert (machine.root / "etc/systemd/system" / name).read_bytes() == text
    assert f"systemctl enable {name}" in machine.log()
    assert machine.record["systemd"]["before"] == {name: None}
    before = [line for line in machine.log() if "is-enabled" not in line]
    assert step.check()
    carry_out([step])
    assert [line for line in machine.log() if "is-enabled" not in line] == before
    changed = unit_step(machine.host, machine.layout, name, text + b"#\n", machine.paths)
    assert not changed.check()


def test_one_that_somebody_switched_off_is_switched_on_again(machine: Machine) -> None:
    step = unit_step(machine.host, machine.layout, "x.service", b"[Unit]\n", machine.paths)
    carry_out([step])
    (machine.root / "enabled-x.service").unlink()
    assert not step.check()
    carry_out([step])
    assert step.check()


# the program

CONTAINERS = """#!/bin/sh
case $1 in
  ps)
    for service in {services}; do
      case "$*" in *"compose.service=$service") echo "id-$service" ;; esac
    done ;;
  inspect) if [ -e {root}/up-"${{4#id-}}" ]; then echo true; else echo false; fi ;;
  start)
    service=${{2#id-}}
    if [ -e {root}/broken-"$service" ]; then
      echo 'Error response from daemon: invalid mount config: bind source path does not exist' >&2
      exit 1
    fi
    touch {root}/up-"$service"; echo "$2" ;;
esac
"""


class Boot:
    """A machine that has just come up, and the program that the unit runs there."""

    def __init__(self, machine: Machine, variant: str) -> None:
        self.machine, self.root = machine, machine.root
        plan, bundle = make(variant)
        self.services = plan.services
        script = bundle.files["host/start.sh"].data.decode()
        self.script = script.replace(plan.install_dir, str(self.root / "opt"))
        machine.program(
            "docker-more",
            "",
        )
        more = self.root / "docker-more"
        more.write_text(CONTAINERS.format(services=" ".join(plan.services), root=self.root))
        more.chmod(0o755)

    def run(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", self.script], capture_output=True, text=True, check=False
        )

    def started(self) -> list[str]:
        lines = [line for line in self.machine.log() if line.startswith("docker start ")]
        return [line.rpartition("id-")[2] for line in lines]


@pytest.fixture
def tmpfs_made(machine: Machine) -> Path:
    """Stands in for mount(8): a directory cannot be made a tmpfs on every machine of tests."""
    machine.program("mount", f'#!/bin/sh\necho "mount $*" >>{machine.root}/log\n')
    return machine.root / "opt/secrets"


def test_what_the_engine_has_not_started_is_started_in_order(machine: Machine) -> None:
    boot = Boot(machine, "everything")
    first, *rest = boot.services
    (machine.root / f"up-{first}").touch()
    done = boot.run()
    assert done.returncode == 0, done.stderr
    assert boot.started() == rest


def test_a_sealed_server_is_said_with_what_to_do(machine: Machine) -> None:
    done = Boot(machine, "everything").run()
    assert "devplat-install unseal" in done.stderr
    assert "custodians" in done.stderr


def test_an_auto_unsealed_server_is_said_to_need_no_custodian(machine: Machine) -> None:
    done = Boot(machine, "unsealed-by-aws").run()
    assert "custodians" not in done.stderr


def test_one_that_does_not_start_fails_the_unit_by_name(machine: Machine) -> None:
    boot = Boot(machine, "everything")
    (machine.root / f"broken-{boot.services[-1]}").touch()
    done = boot.run()
    assert done.returncode == 1
    assert re.search(rf"did not start: {boot.services[-1]}$", done.stderr, re.M)


def test_secrets_in_memory_are_gone_and_that_is_said_with_who_waits(
    machine: Machine, tmpfs_made: Path
) -> None:
    boot = Boot(machine, "no-secret-server")
    (machine.root / "broken-postgres").touch()
    done = boot.run()
    assert done.returncode == 0
    assert "devplat-install apply" in done.stderr
    assert "postgres waits" in done.stderr
    assert [line for line in machine.log() if line.startswith("mount -t tmpfs")] == [
        f"mount -t tmpfs -o size=16m,mode=0700,nosuid,nodev,noexec tmpfs {tmpfs_made}"
    ]
    assert tmpfs_made.stat().st_mode & 0o777 == 0o700


def test_with_its_secrets_there_everything_is_started(machine: Machine, tmpfs_made: Path) -> None:
    boot = Boot(machine, "no-secret-server")
    (tmpfs_made / "postgres").mkdir(parents=True)
    (tmpfs_made / "postgres/password").write_text("x")
    done = boot.run()
    assert (done.returncode, done.stdout) == (0, "every service of devplat was started\n")


def test_no_secret_is_in_what_the_release_has_for_the_host() -> None:
    files = {p: f for p, f in make("everything")[1].files.items() if p.startswith("host/")}
    assert set(files) == {"host/devplat.service", "host/start.sh"}
    assert files["host/start.sh"].mode == 0o755
