"""A run of the test-bed on a real engine: hosts, pulls by real names, names, faults, teardown."""

from __future__ import annotations

import pytest
import yaml

from tests.testbed import bed, faults
from tests.testbed.commands import TestbedError, attempt, docker
from tests.testbed.places import LABEL

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def locked(testbed):
    document = yaml.safe_load(testbed.lock_file.read_text())
    assert document["version"] == 1
    return document["images"]


def test_the_operator_has_an_engine_compose_and_sudo(module_host):
    assert module_host.ssh("docker compose version --short").startswith("2.")
    assert module_host.ssh("sudo -n id -un") == "root\n"


def test_every_image_is_pulled_by_tag_and_by_digest_under_its_real_name(module_host, locked):
    for reference, digest in locked.items():
        repository = reference.rpartition(":")[0]
        module_host.ssh(f"docker pull -q {reference} && docker pull -q {repository}@{digest}")
        found = module_host.ssh(
            f"docker image inspect -f '{{{{join .RepoDigests \" \"}}}}' {reference}"
        )
        assert digest in found


def test_an_image_that_nobody_has_is_refused_by_the_registry(module_host):
    with pytest.raises(TestbedError, match="manifest unknown"):
        module_host.ssh("docker pull -q ghcr.io/nobody/nothing:1")


def test_names_are_what_the_test_says_on_the_host_and_in_containers(testbed, module_host, locked):
    image = next(name for name in locked if "postgres" in name)
    inside = f"docker run --rm --entrypoint getent {image} hosts"
    testbed.set_names({"coder.devplat.test": module_host.address})
    assert module_host.address in module_host.ssh("getent hosts coder.devplat.test")
    assert module_host.address in module_host.ssh(f"{inside} coder.devplat.test")
    testbed.set_names({})
    with pytest.raises(TestbedError, match="status 2"):
        module_host.ssh("getent hosts git.devplat.test")


def test_a_host_has_no_way_out_of_its_network(module_host):
    with pytest.raises(TestbedError):
        module_host.ssh("timeout 2 bash -c '</dev/tcp/192.0.2.1/80'")


@pytest.mark.parametrize("how", faults.WAYS)
def test_a_cut_off_host_is_back_after_the_block(module_host, cut, how):
    assert attempt(module_host.ssh_argv("true"))[0] == 0
    with cut(module_host, how):
        status, _, error = attempt(module_host.ssh_argv("true"), timeout=4)
        assert status in (255, 124)
        assert ("Connection refused" in error) == (how == "refuse")
    assert attempt(module_host.ssh_argv("true"), timeout=20)[0] == 0


def test_a_reset_host_keeps_its_address_and_key_and_nothing_else(testbed, testbed_host):
    testbed_host.ssh("touch ~/was-here")
    again = testbed.reset_host(testbed_host.name)
    assert again == testbed_host
    assert "was-here" not in again.ssh("ls -A ~")


def test_the_state_file_gives_the_run_back(testbed, module_host):
    again = bed.load(testbed.run_id)
    assert again.hosts[module_host.name] == module_host
    assert again.as_json() == testbed.as_json()
    assert bed.load("no-such-run") is None


def test_a_state_file_of_another_version_is_no_run(testbed, monkeypatch):
    monkeypatch.setattr(bed, "STATE_VERSION", bed.STATE_VERSION + 1)
    assert bed.load(testbed.run_id) is None


def test_removing_a_run_leaves_nothing_that_carries_its_label(testbed):
    run_id = testbed.run_id + "x"
    made = bed.up(run_id, 1)
    assert made.hosts["h1"].ssh("true") == ""
    bed.down(run_id)
    label = f"label={LABEL}={run_id}"
    assert docker("ps", "-aq", "--filter", label) == ""
    assert docker("network", "ls", "-q", "--filter", label) == ""
    assert not made.folder.exists()
    assert bed.load(testbed.run_id) is not None
