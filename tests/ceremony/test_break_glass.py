"""A token in `vault.token`: on a machine that has never seen the platform, and with a lost login.

The store, the courier and the logins are opened as the command line opens them; the stream that
leads to the server through the engine is a connection of loopback.
"""

import os
import secrets
import socket
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from installer import stages
from installer.adapters.clock import SystemClock
from installer.adapters.local import LocalHost
from installer.core.errors import SecretStoreError
from installer.core.proposal import ServerState
from installer.core.redaction import Redactor
from installer.core.secrets import Secret
from installer.keeping import Opening, open_store
from installer.phases import ceremony
from installer.phases.authority import move_step
from installer.phases.journal import TargetJournal, TargetLock
from installer.phases.steps import run_steps
from installer.secret_reader import SecretReader
from installer.store_access import StoreAccess
from installer.workspace import Workspace
from tests.ceremony.rehearsal import ANSWERS, LoopbackEngine, perform, set_up

VARIABLE = "BREAK_GLASS_TOKEN_OF_A_TEST"
NAMES = ("vault", "localhost", "127.0.0.1")


class Engine(LoopbackEngine):
    """Leads to the server over a connection of this machine."""

    def dial(self, project, service, argv):
        del project, service, argv
        parts = urlsplit(self._rehearsal.address)
        return socket.create_connection((parts.hostname, parts.port))


@pytest.fixture
def installed(rehearse):
    """A platform whose ceremony is over; `root` is a root token that somebody has made since."""
    rehearsal = rehearse()
    stage = set_up(rehearsal)
    admin = stage.ports.server.admin
    revoke = admin.revoke

    def keep_another(token):
        body = {"policies": ["root"], "no_parent": True}
        made = rehearsal.server.ask("POST", "auth/token/create", body, token=token.reveal())
        rehearsal.root = made.body["auth"]["client_token"]
        revoke(token)

    admin.revoke = keep_another
    perform(stage)
    roots = rehearsal.folder / "target/data/vault/tls"
    roots.mkdir()
    (roots / "ca.pem").write_bytes(rehearsal.ca_file.read_bytes())
    return rehearsal


@contextmanager
def opened(rehearsal, root, *, token):
    """The ports of a run from this run directory, and the platform's server as its steps see it."""
    plain = {**ANSWERS["vault"], "passphrase": "env:STORE_PASSPHRASE_OF_A_TEST"}
    vault = {**plain, **({"token": f"env:{VARIABLE}"} if token else {})}
    rehearsal.save({**ANSWERS, "vault": vault})
    job = rehearsal.job()
    folders = {"install_dir": rehearsal.layout.install_dir, "data_dir": rehearsal.layout.data_dir}
    target = job.plan.answers.target.model_copy(update=folders)
    answers = job.plan.answers.model_copy(update={"target": target})
    job = replace(job, plan=replace(job.plan, answers=answers))
    workspace = Workspace(root, "run")
    workspace.prepare()
    reader = SecretReader(Redactor(), None)
    access = StoreAccess(job.plan.answers, reader)
    host, clock, engine = LocalHost(), SystemClock(), Engine(rehearsal, job)
    opening = Opening(job, workspace, reader, access, host, engine, clock.now, os.urandom)
    with open_store(opening) as kept:
        ports = SimpleNamespace(
            host=host, engine=engine, secrets=kept.store, server=kept.server, clock=clock
        )
        yield SimpleNamespace(job=job, ports=ports, store=kept.store, server=kept.server)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty run directory of another machine."""
    monkeypatch.setenv("STORE_PASSPHRASE_OF_A_TEST", "another passphrase of the rehearsal 9!")
    return tmp_path / "elsewhere"


def installers_token(rehearsal):
    """Of the installer's own policy, as its machine login gives it."""
    stage = set_up(rehearsal)
    access = stage.custody.access()
    body = {"role_id": access.role_id, "secret_id": access.secret_id.reveal()}
    made = rehearsal.server.ask("POST", "auth/approle/login", body, token="")
    return made.body["auth"]["client_token"]


def work(run):
    """The steps that open the server and set it up; the names of those that changed something."""
    server, layout, host = stages._server(run.job, run.ports), run.job.layout, run.ports.host
    lock = TargetLock(host, layout, run.job.owner, run.ports.clock, lambda _: True)
    journal = TargetJournal(host, layout, lock, run.job.bundle.release)

    def steps():
        yield from ceremony.opening_steps(server)
        yield move_step(run.job.plan, run.server.courier, run.store)
        yield ceremony.close_step(server)

    return [e.step for e in run_steps(steps(), journal) if getattr(e, "changed", False)]


@pytest.mark.parametrize("of", ["root", "the installer"])
def test_from_a_new_run_directory_a_token_is_enough(installed, root, monkeypatch, of):
    first = set_up(installed)
    first.ports.server.admin.log_in_as(first.custody.access())
    before = {name: first.ports.secrets.get(name) for name in first.ports.secrets.names()}
    material = first.ports.server.certificates.current(("vault",))
    token = installed.root if of == "root" else installers_token(installed)
    monkeypatch.setenv(VARIABLE, token)

    with opened(installed, root, token=True) as run:
        state = stages.observe_server(run.job, run.ports)
        assert state is ServerState.READY
        assert stages.lacks_login(run.job, run.ports, state)
        assert run.server.certificates.current(("vault",)) == material  # no new authority
        assert work(run) == ["vault.configure"]
        assert run.server.courier.names() == {"vault-access", "vault-roots"}
        assert {name: run.store.get(name) for name in run.store.names()} == before
        assert run.server.admin.is_valid(Secret(token))  # it is its owner's to end it
        kept = run.server.custody.access()
        assert kept != first.custody.access()

    monkeypatch.delenv(VARIABLE)
    with opened(installed, root, token=False) as run:
        state = stages.observe_server(run.job, run.ports)
        assert state is ServerState.READY
        assert not stages.lacks_login(run.job, run.ports, state)
        assert work(run) == []
        assert run.server.custody.access() == kept
        assert {name: run.store.get(name) for name in run.store.names()} == before


def test_without_a_token_a_new_run_directory_is_told_where_to_run(installed, root):
    with opened(installed, root, token=False) as run, pytest.raises(SecretStoreError) as caught:
        stages.observe_server(run.job, run.ports)
    problem = caught.value.problems[0]
    assert problem.code == "vault.no_access"
    assert "run directory" in problem.remedy.summary
    assert "vault.token" in problem.remedy.summary


def test_a_token_that_is_wrong_is_refused_and_nothing_is_kept(installed, root, monkeypatch):
    monkeypatch.setenv(VARIABLE, f"s.{secrets.token_hex(12)}")
    with opened(installed, root, token=True) as run:
        with pytest.raises(SecretStoreError) as caught:
            stages.observe_server(run.job, run.ports)
        assert caught.value.problems[0].code == "vault.token_refused"
        assert run.server.custody.access() is None


def test_a_login_that_is_lost_on_the_server_is_made_anew_with_a_token(installed, root, monkeypatch):
    monkeypatch.setenv(VARIABLE, installed.root)
    with opened(installed, root, token=True) as run:
        stages.observe_server(run.job, run.ports)
        work(run)
        lost = run.server.custody.access()
    body = {"secret_id": lost.secret_id.reveal()}
    path = "auth/approle/role/devplat-installer/secret-id/destroy"
    destroyed = installed.server.ask("POST", path, body, token=os.environ[VARIABLE])
    assert destroyed.status == 204, destroyed

    with (
        opened(installed, root, token=False) as run,
        pytest.raises(SecretStoreError) as caught,
    ):
        stages.observe_server(run.job, run.ports)
    problem = caught.value.problems[0]
    assert problem.code == "vault.token_refused"

    with opened(installed, root, token=True) as run:
        state = stages.observe_server(run.job, run.ports)
        assert stages.lacks_login(run.job, run.ports, state)
        assert work(run) == ["vault.configure"]
        assert run.server.custody.access() != lost
    with opened(installed, root, token=False) as run:
        assert stages.observe_server(run.job, run.ports) is ServerState.READY


def test_a_token_opens_nothing_that_is_sealed(installed, root, monkeypatch):
    monkeypatch.setenv(VARIABLE, installed.root)
    installed.server.restart()
    with opened(installed, root, token=True) as run:
        assert stages.observe_server(run.job, run.ports) is ServerState.SEALED
        assert not stages.lacks_login(run.job, run.ports, ServerState.SEALED)
        with pytest.raises(SecretStoreError) as caught:
            work(run)
        assert caught.value.problems[0].code == "vault.sealed"
        assert run.server.courier.names() == {"vault-roots"}
