"""A host with an owner: what may be changed of it, and what comes back when it was switched off.

The smallest stack on a real engine, in the order written. The hosts of the test-bed have no systemd:
the unit's program is run by hand. Covers F-025, HH-03, HH-13 and invariants 3 and 4.
"""

import json

import pytest

from tests.integration.operator import CORE_ONLY, make_operator

pytestmark = pytest.mark.engine
START = "sudo sh /opt/devplat/current/host/start.sh"


@pytest.fixture(scope="module")
def operator(tmp_path_factory, module_host, testbed):
    folder = tmp_path_factory.mktemp("operator")
    made = make_operator(folder, module_host, testbed.lock_file, **CORE_ONLY)
    made.answers["host"] = {"apply": ["daemon"]}
    return made


@pytest.fixture(scope="module")
def installed(operator, module_host):
    before = json.loads(module_host.ssh("cat /etc/docker/daemon.json"))
    done = operator.install()
    assert done.returncode == 0, done.stderr[-3000:]
    return {"stderr": done.stderr, "before": before}


def test_a_proposal_names_the_exact_change_and_makes_none(operator, module_host):
    before = module_host.ssh("cat /etc/docker/daemon.json")
    done = operator.run("plan")
    assert done.returncode == 0, done.stderr[-2000:]
    [line] = [line for line in done.stdout.splitlines() if line.startswith("~ host")]
    assert "live-restore=true" in line
    assert "/etc/docker/daemon.json" in line
    assert module_host.ssh("cat /etc/docker/daemon.json") == before


def test_with_consent_the_engine_s_own_program_has_accepted_what_is_written(installed, module_host):
    """HH-03; no service manager starts this engine, so that it waits for its next restart."""
    written = json.loads(module_host.ssh("cat /etc/docker/daemon.json"))
    assert {key: written[key] for key in installed["before"]} == installed["before"]
    assert written["live-restore"] is True
    assert written["log-opts"] == {"max-size": "10m", "max-file": "5"}
    said = module_host.ssh("sudo dockerd --validate --config-file /etc/docker/daemon.json 2>&1")
    assert "configuration OK" in said
    assert "left running with its old settings" in installed["stderr"]
    record = json.loads(module_host.ssh("sudo cat /opt/devplat/state/host.json"))
    assert record["daemon"]["before"]["live-restore"] is None
    kept = module_host.ssh("sudo cat /opt/devplat/state/host/daemon.json.before")
    assert json.loads(kept) == installed["before"]


def test_a_second_run_changes_nothing_of_the_host_either(installed, operator):
    done = operator.install()
    assert done.returncode == 0, done.stderr[-2000:]
    assert "changed     no changes" in done.stdout
    assert not [line for line in operator.run("plan").stdout.splitlines() if "~ host" in line]


def test_after_a_reboot_everybody_is_told_what_waits_for_whom(installed, operator, module_host):
    """F-025: containers have stopped, and what lay in memory is gone."""
    module_host.ssh("docker stop -t 10 $(docker ps -q) >/dev/null", timeout=300)
    module_host.ssh("sudo umount /opt/devplat/secrets")
    assert module_host.ssh("sudo find /opt/devplat/secrets -type f") == ""

    said = module_host.ssh(f"{START} 2>&1", timeout=300)
    assert "devplat-install apply" in said
    assert "postgres" in said
    assert module_host.ssh("sudo stat -f -c %T /opt/devplat/secrets").strip() == "tmpfs"

    status = operator.run("status")
    assert "devplat-install apply" in status.stdout, status.stdout
    assert "these wait for them" in status.stdout
    verified = operator.run("verify")
    assert verified.returncode == 16, verified.stderr[-2000:]
    assert "in memory" in verified.stderr


def test_one_command_brings_it_back_with_the_secrets_it_had(installed, operator, module_host):
    """Invariant 3."""
    done = operator.install()
    assert done.returncode == 0, done.stderr[-3000:]
    assert "waiting" not in operator.run("status").stdout
    assert operator.run("verify").returncode == 0


def test_what_the_engine_did_not_start_by_itself_is_started_by_the_unit_s_program(
    installed, operator, module_host
):
    """The secrets are there; a container was left behind."""
    module_host.ssh("docker stop trial-gitea-1")
    said = module_host.ssh(f"{START} 2>&1", timeout=300)
    assert "every service of trial was started" in said
    assert operator.install().returncode == 0
    assert operator.run("verify").returncode == 0


def test_the_unit_lies_in_the_release_to_be_read_and_installed_by_hand(installed, module_host):
    text = module_host.ssh("sudo cat /opt/devplat/current/host/trial.service")
    assert "ExecStart=/bin/sh /opt/devplat/current/host/start.sh" in text
