"""The ceremony: what it leaves behind, and what it does when something fails."""

import subprocess
from itertools import product
from pathlib import Path

import pyrage
import pytest

from installer.adapters.vault_client import Call
from installer.adapters.vault_server import VaultServer
from installer.adapters.vault_session import VaultSession
from installer.adapters.vault_store import VaultStore
from installer.adapters.vault_transport import Address
from installer.core.deployed import Deployed, ServiceChange
from installer.core.errors import Problem, Remedy, SecretStoreError, SshConnectError
from installer.core.proposal import Proposal, ServerState
from installer.core.secrets import Secret, SecretKind, SecretSpec, share_fingerprint
from installer.core.store_rules import consumer_role, secrets_of
from installer.phases.unsealing import refuse_unopenable
from tests.ceremony.rehearsal import LoopbackEngine, perform, set_up
from tests.contract.vault.servers import wait_until


def failure_of(stage):
    with pytest.raises(SecretStoreError) as caught:
        perform(stage)
    return caught.value.problems[0]


def plain_shares(rehearsal):
    files = sorted((rehearsal.folder / "run" / "custody").glob("*-plain.txt"))
    return [Secret(file.read_text().strip()) for file in files]


def test_everything_is_in_the_server_and_nothing_that_opens_it_is_left(rehearse):
    """SE-15, SE-17, SE-18."""
    rehearsal = rehearse()
    stage = set_up(rehearsal)
    revoked = []
    admin = stage.ports.server.admin
    revoke = admin.revoke
    admin.revoke = lambda token: (revoked.append(token), revoke(token))
    perform(stage)

    store = stage.ports.secrets
    wanted = {spec.name for spec in stage.job.plan.secrets}
    assert wanted and wanted <= store.names()
    assert {store.version(name) for name in wanted} == {1}
    assert len(revoked) == 1
    assert not admin.is_valid(revoked[0])
    assert not stage.server.has_answer()
    assert stage.ports.server.courier.names() == {"vault-access", "vault-custody"}
    assert [n for n in store.names() if n.startswith("internal.")]


def test_a_second_run_changes_nothing(rehearse):
    """SE-15: still version 1."""
    rehearsal = rehearse()
    perform(set_up(rehearsal))
    again = set_up(rehearsal)
    events = perform(again)
    changed = [e.step for e in events if getattr(e, "changed", False)]
    assert changed == []
    assert {again.ports.secrets.version(s.name) for s in again.job.plan.secrets} == {1}


def test_secrets_of_an_installation_without_a_server_move_into_it(rehearse):
    """Invariant 3: they stay what they are; the store of the run directory has them no more."""
    rehearsal = rehearse()
    stage = set_up(rehearsal)
    spec = stage.job.plan.secrets[0]
    courier = stage.ports.server.courier
    before = courier.ensure(spec, lambda: Secret("what the running database knows"))
    perform(stage)
    assert stage.ports.secrets.get(spec.name) == before
    assert courier.names() == {"vault-access", "vault-custody"}


def test_a_change_that_seals_the_server_is_refused_where_nobody_can_open_it(rehearse):
    rehearsal = rehearse()
    perform(set_up(rehearsal))
    stage = set_up(rehearsal)
    bundle = stage.job.bundle
    restarted = ServiceChange("vault", "recreated")
    other = ServiceChange("coder", "recreated")
    for server, change, references, refused in (
        (ServerState.READY, restarted, tuple, "vault.would_seal"),
        (ServerState.SEALED, other, tuple, "vault.sealed"),
        (ServerState.READY, other, tuple, None),
        (ServerState.READY, restarted, lambda: plain_shares(rehearsal), None),
        (ServerState.EMPTY, restarted, tuple, None),
    ):
        asked = set_up(rehearsal, references=references)
        proposal = Proposal(
            asked.job.plan, bundle, Deployed(), (), (change,), (), False, server, ()
        )
        found = None
        try:
            refuse_unopenable(asked.server, proposal)
        except SecretStoreError as error:
            found = error.problems[0].code
            assert "nothing was changed" in error.problems[0].summary
        assert found == refused


def test_custodians_get_a_share_each_that_only_they_can_read(rehearse):
    """SE-18."""
    people = {name: pyrage.x25519.Identity.generate() for name in ("ada", "ben", "cleo")}
    rehearsal = rehearse(
        custodians={name: str(key.to_public()) for name, key in people.items()},
        key_shares=3,
        key_threshold=2,
    )
    stage = set_up(rehearsal)
    perform(stage)
    handed = stage.custody.handed_over()
    assert [share.custodian for share in handed] == ["ada", "ben", "cleo"]
    opened = []
    for share in handed:
        sealed = Path(share.place).read_bytes()
        text = pyrage.decrypt(sealed, [people[share.custodian]]).decode().strip()
        assert share_fingerprint(Secret(text)) == share.fingerprint
        others = [key for name, key in people.items() if name != share.custodian]
        with pytest.raises(pyrage.DecryptError):
            pyrage.decrypt(sealed, others)
        opened.append(Secret(text))

    rehearsal.server.restart()
    after = set_up(rehearsal, references=lambda: opened[1:])
    perform(after)
    assert not after.ports.server.admin.status().sealed


def test_nobody_reads_another_consumers_secret(rehearse):
    """SE-16: with each consumer's own login, every path, listing, and the system."""
    rehearsal = rehearse()
    stage = set_up(rehearsal)
    perform(stage)
    admin, own = stage.ports.server.admin, stage.custody.access()
    wanted = secrets_of(stage.job.plan)
    every = sorted({name for names in wanted.values() for name in names})
    for consumer, names in wanted.items():
        admin.log_in_as(own)
        key = admin.issue(consumer_role("devplat", consumer), wrap_s=None)
        session = VaultSession(Address(rehearsal.address, rehearsal.ca_file))
        VaultServer(session).log_in_as(key)
        store = VaultStore(session, mount="secret", prefix="devplat/devplat")
        readable = [name for name in every if may(store.get, name)]
        assert readable == sorted(names), consumer
        spec = SecretSpec(names[0], SecretKind.TOKEN, "an attempt")
        assert not may(store.names)
        assert not may(store.replace, spec, Secret("an attempt of a consumer"))
        assert not may(session.ask, Call("GET", "sys/policies/acl"))
        session.close()


def may(act, *arguments):
    """Whether the server lets the login do it."""
    try:
        act(*arguments)
    except SecretStoreError as error:
        assert error.problems[0].code == "vault.permission", error
        return False
    return True


def test_a_sealed_server_without_shares_stops_the_run(rehearse):
    """F-049."""
    rehearsal = rehearse()
    perform(set_up(rehearsal))
    rehearsal.server.restart()
    problem = failure_of(set_up(rehearsal))
    assert problem.code == "vault.sealed"
    said = f"{problem.summary} {problem.remedy.summary} {problem.remedy.commands}"
    assert "unseal" in said and "threshold" in said


def test_a_server_of_somebody_else_is_left_untouched(rehearse):
    """F-050."""
    rehearsal = rehearse()
    rehearsal.server.initialise()
    before = rehearsal.server.ask("GET", "sys/mounts").data
    problem = failure_of(set_up(rehearsal))
    assert problem.code == "vault.foreign"
    assert "already initialised" in problem.summary and "policy needed" in problem.remedy.summary
    assert rehearsal.server.ask("GET", "sys/mounts").data == before


def test_an_answer_on_a_broken_link_is_fetched_by_the_next_run(rehearse, monkeypatch):
    """F-051."""
    rehearsal = rehearse()
    run = LoopbackEngine.exec

    def cut(self, *args, **named):
        run(self, *args, **named)
        raise SshConnectError(failure("ssh.lost"))

    with monkeypatch.context() as patched:
        patched.setattr(LoopbackEngine, "exec", cut)
        problem = failure_of(set_up(rehearsal))
    assert problem.code == "vault.answer_kept"
    assert "keys were kept at" in problem.summary and "fetch them" in problem.remedy.summary

    stage = set_up(rehearsal)
    perform(stage)
    assert len(plain_shares(rehearsal)) == 5
    assert not stage.server.has_answer()


def test_no_place_to_keep_the_answer_means_no_initialisation(rehearse):
    """F-053, read-only and full; the same for the audit log, without which it answers 400."""
    rehearsal = rehearse()
    data = rehearsal.folder / "target/data/vault"
    for folder, options in product(("ceremony", "logs"), ("ro", "size=16k")):
        place = data / folder
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
        try:
            problem = failure_of(set_up(rehearsal))
        finally:
            subprocess.run(["umount", str(place)], check=True)
        assert problem.code == "vault.keeping_place"
        assert "writable" in problem.summary
        assert not set_up(rehearsal).ports.server.admin.status().initialised
    perform(set_up(rehearsal))


def test_a_wrong_share_is_named_by_its_position_and_the_right_ones_count(rehearse):
    """F-058."""
    rehearsal = rehearse()
    perform(set_up(rehearsal))
    right = plain_shares(rehearsal)
    rehearsal.server.restart()
    wrong = Secret("ab" * 33)
    stage = set_up(rehearsal, references=lambda: [right[0], wrong, right[2]])
    problem = failure_of(stage)
    said = f"{problem.summary} {problem.detail or ''}"
    assert "share" in said and "2" in said
    assert wrong.reveal() not in said
    assert stage.ports.server.admin.status().sealed
    after = set_up(rehearsal, references=lambda: right)
    perform(after)
    assert not after.ports.server.admin.status().sealed


def test_another_key_service_opens_the_server_and_the_shares_are_for_recovery(
    rehearse, launch_vault, vault_program
):
    """Auto-unseal by transit: open again after a restart, without a share."""
    if vault_program.kind != "real":
        pytest.skip("the stand-in has Shamir's seal only; DEVPLAT_TEST_VAULT_BIN is not set")
    keeper = launch_vault().initialise()
    assert keeper.ask("POST", "sys/mounts/transit", {"type": "transit"}).status == 204
    assert keeper.ask("POST", "transit/keys/unseal", {}).status in (200, 204)
    stanza = (
        f'seal "transit" {{\n  address = "{keeper.address}"\n  token = "{keeper.token}"\n'
        f'  mount_path = "transit/"\n  key_name = "unseal"\n  tls_ca_cert = "{keeper.ca_file}"\n}}'
    )
    rehearsal = rehearse(
        server={"extra": stanza},
        waivers=("vault.auto_unseal",),
        seal="transit",
        seal_address="https://keys.company.com:8200",
        seal_key="unseal",
        seal_token="env:SEAL_TOKEN",
    )
    stage = set_up(rehearsal)
    perform(stage)
    assert stage.ports.server.admin.status().seal == "transit"
    assert len(stage.custody.handed_over()) == 5
    rehearsal.server.restart()
    wait_until(lambda: not stage.ports.server.admin.status().sealed, lambda: "it stays sealed")


def test_from_another_run_directory_the_kept_answer_does_not_open(rehearse):
    rehearsal = rehearse()
    stage = set_up(rehearsal)
    stage.server.engine.exec(
        None,
        "vault",
        ["/bin/sh", "/opt/devplat/init.sh", "5", "3"],
        stdin=stage.custody.transport_key().encode(),
    )
    (rehearsal.folder / "run" / "secrets.store").rename(rehearsal.folder / "elsewhere")
    (rehearsal.folder / "run" / "secrets.store.previous").unlink(missing_ok=True)
    problem = failure_of(set_up(rehearsal))
    assert problem.code == "vault.transport_lost"
    assert set_up(rehearsal).server.has_answer()


def failure(code):
    return Problem(code, "the link was cut", Remedy("run again"))
