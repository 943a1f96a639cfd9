"""Runs that are killed, stopped, or fail half-way, on a real engine (F-034, F-060..F-069, INV-05..INV-09).

The instants are random; the seed is printed, and DEVPLAT_TEST_SEED repeats them.
"""

import json
import os
import random
import signal
import time

import pytest

from installer.adapters.filestore import open_store
from installer.core.secrets import Secret
from tests.integration.operator import CORE_ONLY, PASSPHRASE, make_operator

pytestmark = pytest.mark.engine
KILLS = 4


@pytest.fixture(scope="module")
def operator(tmp_path_factory, module_host, testbed):
    folder = tmp_path_factory.mktemp("interrupted")
    return make_operator(folder, module_host, testbed.lock_file, **CORE_ONLY)


def stored(operator):
    """Every secret that has a value, from the store itself."""
    path = operator.run_dir / "secrets.store"
    if not path.exists():
        return {}
    store = open_store(path, Secret(PASSPHRASE))
    return {name: store.get(name) for name in store.names()}


def test_killed_at_random_instants_a_rerun_ends_like_an_undisturbed_run(operator, module_host):
    seed = int(os.environ.get("DEVPLAT_TEST_SEED") or time.time())
    print(f"DEVPLAT_TEST_SEED={seed}")
    chance = random.Random(seed)
    known = {}
    for _ in range(KILLS):
        process = operator.start("--unattended", "--yes")
        time.sleep(chance.uniform(2, 22))
        process.kill()
        process.wait()
        found = stored(operator)
        assert known.items() <= found.items(), "a secret changed or was lost"
        known = found
    done = operator.install()
    assert done.returncode == 0, done.stderr
    assert known.items() <= stored(operator).items()
    assert leftovers(module_host) == ""
    again = operator.install()
    assert "no changes" in again.stdout, again.stderr


def leftovers(host):
    """Parts of uploads, locks, and releases that are not the active one."""
    return host.ssh(
        "sudo find /opt/devplat -name '*.part' -o -name lock -o -name '*.new'; sudo sh -c '"
        'cd /opt/devplat/releases; for r in *; do [ "releases/$r" = "$(readlink ../current)" ] || echo $r; done\''
    ).strip()


def test_a_run_that_is_asked_to_stop_releases_the_lock_and_says_how_to_go_on(operator, module_host):
    operator.answers["labels"] = {"round": "two"}
    process = operator.start("--unattended", "--yes")
    wait_for_lock(module_host)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert module_host.ssh("sudo ls /opt/devplat/state").split().count("lock") == 0
    done = operator.install()
    assert done.returncode == 0, done.stderr


def wait_for_lock(host):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if "lock" in host.ssh("sudo ls /opt/devplat/state").split():
            return
        time.sleep(0.2)
    raise AssertionError("the run never took the lock")


def test_a_release_that_never_becomes_healthy_gives_way_to_the_one_before(
    operator, module_host, testbed
):
    """F-034, INV-06: the service is named, and the previous release serves."""
    before = module_host.ssh("sudo readlink /opt/devplat/current")
    lock = testbed.lock_file.read_text()
    postgres = next(line for line in lock.splitlines() if "/postgres:" in line)
    key, digest = postgres.strip().rsplit(": ", 1)
    name = key.strip("\"'")
    operator.answers["images"]["gitea"] = f"{name}@{digest.strip(chr(34))}"
    failed = operator.install()
    assert failed.returncode == 15, failed.stderr
    assert "gitea" in failed.stderr
    assert module_host.ssh("sudo readlink /opt/devplat/current") == before
    health = "docker inspect -f '{{.State.Health.Status}} {{.Config.Image}}' trial-gitea-1"
    assert module_host.ssh(health).startswith("healthy docker.io/gitea")
    del operator.answers["images"]["gitea"]
    done = operator.install()
    assert done.returncode == 0, done.stderr
    assert "no changes" in done.stdout


def test_a_lock_of_another_machine_stops_a_run_before_it_writes(operator, module_host):
    """F-078."""
    held = {"run": "r", "user": "alice", "machine": "elsewhere", "process": "1", "since": "today"}
    operator.answers["labels"] = {"round": "three"}
    module_host.ssh(f"echo '{json.dumps(held)}' | sudo tee /opt/devplat/state/lock")
    before = module_host.ssh("sudo find /opt/devplat -type f -exec sha256sum {} + | sort")
    done = operator.install()
    assert done.returncode == 17, done.stderr
    assert "held by alice" in done.stderr
    assert module_host.ssh("sudo find /opt/devplat -type f -exec sha256sum {} + | sort") == before
    module_host.ssh("sudo rm /opt/devplat/state/lock")
