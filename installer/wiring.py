"""The composition root: which adapter stands behind which port, and what opens and closes it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from installer.adapters.clock import SystemClock
from installer.adapters.docker import ComposeEngine
from installer.adapters.filestore import create_store, open_store
from installer.adapters.issuers import EdgeIssued, PrivateAuthority, ProvidedFiles
from installer.adapters.network import SystemResolver, TlsHttpProbe
from installer.adapters.registry import Registry
from installer.adapters.secret_sources import ask_terminal, resolve_secret
from installer.adapters.ssh import SshHost
from installer.adapters.ssh_target import SshTarget, parse_jump
from installer.core.answers import Answers
from installer.core.answers_choices import TlsAcme, TlsFiles, VaultEmbedded
from installer.core.errors import AnswersError, Problem, Remedy, SecretStoreError
from installer.core.fields_secrets import check_secret_value
from installer.core.redaction import Redactor
from installer.core.secretrefs import SecretRef
from installer.core.secrets import Secret, SecretSpec
from installer.pipeline import Job
from installer.ports import CertificateIssuer, Ports, SecretStore
from installer.workspace import Workspace


@contextmanager
def open_ports(
    job: Job, workspace: Workspace, redactor: Redactor, reader: SecretReader
) -> Iterator[Ports]:
    """Open everything a run needs, the connection last; close it whatever happens.

    Raises:
        InstallError: of the port that could not be opened.
    """
    answers, clock = job.plan.answers, SystemClock()
    store = KnownStore(_open_store(answers, workspace, reader), redactor)
    certificates = _open_issuer(job, store, clock, reader)
    host = SshHost(_ssh_target(answers, reader))
    try:
        host.connect()
        yield Ports(
            host=host,
            engine=ComposeEngine(host),
            secrets=store,
            certificates=certificates,
            resolver=SystemResolver(),
            http=TlsHttpProbe(),
            clock=clock,
            entropy=os.urandom,
        )
    finally:
        host.close()


def open_registry(args: argparse.Namespace) -> Registry:
    """How `images lock` reaches registries."""
    ca_file = Path(args.ca_file) if args.ca_file else None
    return Registry(ca_file=ca_file, connect=args.connect)


def check_provided_files(job: Job, reader: SecretReader) -> None:
    """Read and judge the files of `tls.mode: files`, before anything is contacted.

    Raises:
        TlsError: with everything that is wrong with them.
        LocalIoError: one cannot be read.
    """
    tls = job.plan.answers.tls
    if isinstance(tls, TlsFiles):
        _provided_files(job, tls, SystemClock(), reader)


class KnownStore:
    """A store that tells the redactor every value it gives out."""

    def __init__(self, store: SecretStore, redactor: Redactor) -> None:
        self._store = store
        self._redactor = redactor

    def get(self, name: str) -> Secret | None:
        """The current value, or None."""
        value = self._store.get(name)
        if value is not None:
            self._redactor.add(value)
        return value

    def ensure(self, spec: SecretSpec, make: Callable[[], Secret]) -> Secret:
        """The stored value; made when absent."""
        value = self._store.ensure(spec, make)
        self._redactor.add(value)
        return value

    def names(self) -> frozenset[str]:
        """The names that have a value."""
        return self._store.names()


def _open_store(answers: Answers, workspace: Workspace, reader: SecretReader) -> SecretStore:
    if not isinstance(answers.vault, VaultEmbedded):
        raise SecretStoreError(
            Problem(
                "vault.mode",
                f"vault.mode {answers.vault.mode} is not part of this release",
                Remedy("use vault.mode: embedded, the encrypted store in the run directory"),
                where="vault.mode",
            )
        )
    passphrase = reader.read(answers.vault.passphrase, "vault.passphrase")
    if workspace.store.exists():
        return open_store(workspace.store, passphrase)
    return create_store(workspace.store, passphrase)


def _open_issuer(
    job: Job, store: SecretStore, clock: SystemClock, reader: SecretReader
) -> CertificateIssuer:
    tls = job.plan.answers.tls
    if isinstance(tls, TlsAcme):
        return EdgeIssued(
            {
                name: reader.read(reference, f"tls.acme.credentials.{name}")
                for name, reference in tls.acme.credentials.items()
            }
        )
    if isinstance(tls, TlsFiles):
        return _provided_files(job, tls, clock, reader)
    return PrivateAuthority(
        store,
        deployment=job.plan.deployment,
        domain=job.plan.base_domain,
        profile=tls.profile,
        now=clock.now,
        entropy=os.urandom,
    )


def _provided_files(
    job: Job, tls: TlsFiles, clock: SystemClock, reader: SecretReader
) -> ProvidedFiles:
    return ProvidedFiles(
        Path(tls.certificate_file).expanduser(),
        Path(tls.key_file).expanduser(),
        Path(tls.chain_file).expanduser() if tls.chain_file else None,
        reader.read_optional(tls.key_passphrase, "tls.key_passphrase"),
        names=job.plan.public_names,
        profile=tls.profile,
        now=clock.now(),
    )


def _ssh_target(answers: Answers, reader: SecretReader) -> SshTarget:
    ssh = answers.ssh
    return SshTarget(
        host=ssh.host,
        user=ssh.user,
        port=ssh.port,
        key_file=ssh.key_file,
        passphrase=reader.read_optional(ssh.passphrase, "ssh.passphrase"),
        use_agent=ssh.agent,
        known_hosts_file=ssh.known_hosts_file,
        fingerprint=ssh.host_key_fingerprint,
        jumps=tuple(parse_jump(jump, ssh.user) for jump in ssh.jump),
        become=ssh.become,
        become_password=reader.read_optional(ssh.become_password, "ssh.become_password"),
    )


class SecretReader:
    """Reads the secrets that answers refer to, checks them, and tells the redactor."""

    def __init__(self, redactor: Redactor, *, may_ask: bool) -> None:
        self._redactor = redactor
        self._ask = ask_terminal if may_ask else None

    def read(self, reference: SecretRef, where: str) -> Secret:
        """The secret, byte for byte.

        Raises:
            InstallError: it is not there, or not acceptable for the answer at `where`.
        """
        value = resolve_secret(reference, where, ask=self._ask)
        self._redactor.add(value)
        if problems := check_secret_value(where, value):
            raise AnswersError(*problems)
        return value

    def read_optional(self, reference: SecretRef | None, where: str) -> Secret | None:
        """The secret, or None where no reference was given."""
        return None if reference is None else self.read(reference, where)
