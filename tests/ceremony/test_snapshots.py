"""Snapshots of a server that the ceremony has set up: taken with our own login, and restored.

Restoring is tried on a real server only: the stand-in exports its state and takes none back.
"""

import gzip
from pathlib import Path

import pytest

from installer.core.errors import BackupError
from installer.core.secrets import Secret
from installer.phases.snapshots import snapshot_step
from installer.phases.steps import run_steps
from tests.ceremony.rehearsal import perform, set_up
from tests.ceremony.test_ceremony import plain_shares
from tests.phases.test_steps import Journal


def take(stage):
    """The step, and the only file that it leaves."""
    list(run_steps([snapshot_step(stage.server)], Journal()))
    return sorted(Path(stage.server.ports.snapshots.place).glob("*.snap"))[-1]


def values_of(stage):
    names = [spec.name for spec in stage.job.plan.secrets]
    return {name: stage.ports.secrets.get(name) for name in names}


def test_our_own_login_takes_a_snapshot_in_which_no_secret_can_be_read(rehearse):
    """SE-26 in part: encrypted before it leaves the server; its key is not beside it."""
    rehearsal = rehearse()
    stage = set_up(rehearsal)
    perform(stage)
    path = take(stage)
    unpacked = gzip.decompress(path.read_bytes())
    for name, value in values_of(stage).items():
        assert value.reveal().encode() not in unpacked, name
    for share in plain_shares(rehearsal):
        assert share.reveal().encode() not in unpacked
    assert b"state.bin" in unpacked


def test_a_sealed_server_gives_none_and_the_run_says_what_to_do(rehearse):
    rehearsal = rehearse()
    perform(set_up(rehearsal))
    rehearsal.server.restart()
    stage = set_up(rehearsal)
    with pytest.raises(BackupError) as caught:
        take(stage)
    assert "unseal" in str(caught.value.problems[0].remedy)


def test_a_snapshot_of_one_server_brings_its_secrets_back_in_another(rehearse, launch_vault):
    """SE-26, the drill: a fresh server, the same shares, the same secrets, the same logins."""
    rehearsal = rehearse()
    if rehearsal.server.kind != "real":
        pytest.skip("the stand-in takes no snapshot back; give DEVPLAT_TEST_VAULT_BIN")
    stage = set_up(rehearsal)
    perform(stage)
    wanted, path = values_of(stage), take(stage)
    lost = rehearsal.server
    lost.stop()

    # its audit log has to lie where the configuration of the lost one says
    fresh = launch_vault(audit={"file": f"{lost.folder}/audit.log"}).initialise(1, 1)
    words = ("operator", "raft", "snapshot", "restore")
    refused = fresh.run(*words, str(path))
    assert refused.status != 0 and "different set of unseal keys" in refused.err
    done = fresh.run(*words, "-force", "/dev/stdin", stdin=path.read_bytes())
    assert done.status == 0, done.err
    fresh.restart()  # it asks for the shares of the server before that until then

    rehearsal.address, rehearsal.server = fresh.address, fresh
    after = set_up(rehearsal, references=lambda: plain_shares(rehearsal)[2:])
    assert after.ports.server.admin.status().threshold == 3
    events = perform(after)
    assert [e.step for e in events if getattr(e, "changed", False)] == ["vault.unseal"]
    assert values_of(after) == wanted
    assert not after.ports.server.admin.is_valid(Secret(fresh.token))
