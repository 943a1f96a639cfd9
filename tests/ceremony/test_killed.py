"""F-052, SE-21 for a first install: SIGKILL at random instants, then the same command again."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from installer.core.secrets import Secret
from tests.ceremony.rehearsal import set_up

SEED = int(os.environ.get("DEVPLAT_TEST_SEED") or random.SystemRandom().randrange(10**6))
KILLS = 20


def start(rehearsal):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.ceremony.rehearsal", str(rehearsal.folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finish(rehearsal):
    done = start(rehearsal)
    out = done.communicate(timeout=120)[0].decode()
    assert done.returncode == 0, out


@pytest.fixture(scope="module")
def took():
    """Seconds of a run that nobody kills; the first one that a worker makes."""
    return {}


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_anywhere_it_goes_on_and_loses_no_share_and_no_secret(rehearse, took, number):
    chance = random.Random(SEED * 1000 + number)
    rehearsal = rehearse()
    if not took:
        began = time.monotonic()
        finish(rehearse())
        took["seconds"] = time.monotonic() - began
    instant = chance.uniform(0.15, 1.0) * took["seconds"]
    print(f"seed {SEED}, kill {number} after {instant:.2f} s of {took['seconds']:.2f}")

    process = start(rehearsal)
    try:
        process.wait(instant)
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()
    before = seen(rehearsal)
    finish(rehearsal)

    after = seen(rehearsal)
    assert before.items() <= after.items()
    stage = set_up(rehearsal)
    assert {spec.name for spec in stage.job.plan.secrets} <= after.keys()
    handed = stage.custody.handed_over()
    assert len(handed) == 5
    rehearsal.server.restart()
    for share in handed[:3]:
        stage.ports.server.admin.unseal(Secret(Path(share.place).read_text().strip()))
    assert not stage.ports.server.admin.status().sealed


def seen(rehearsal):
    """Every secret that the server holds now, read with what the installer has left behind."""
    stage = set_up(rehearsal)
    access = stage.custody.access()
    if access is None:
        return {}
    stage.ports.server.admin.log_in_as(access)
    values = {name: stage.ports.secrets.get(name) for name in stage.ports.secrets.names()}
    stage.session.close()
    return {name: value.reveal() for name, value in values.items()}
