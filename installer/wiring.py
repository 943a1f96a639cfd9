"""The composition root: which adapter stands behind which port, and what opens and closes it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from installer.adapters.certificates import read_roots
from installer.adapters.clock import SystemClock
from installer.adapters.dns_client import DnsClient
from installer.adapters.docker import ComposeEngine
from installer.adapters.docker_login import OptionalLogin, choose_login
from installer.adapters.issuers import (
    EdgeIssued,
    PrivateAuthority,
    ProvidedFiles,
    check_mac_key,
)
from installer.adapters.local import LocalHost, plain_environment
from installer.adapters.network import SystemResolver, TlsHttpProbe
from installer.adapters.object_store import BucketLister
from installer.adapters.registry import Registry
from installer.adapters.remote_engine import TlsEngineProbe
from installer.adapters.service_authority import ServiceAuthority
from installer.adapters.ssh import SshHost
from installer.adapters.ssh_target import SshTarget, parse_jump
from installer.adapters.tls_scan import TlsScanner
from installer.core.answers import Answers
from installer.core.answers_choices import (
    ACME_CA_FILE,
    ACME_MAC_FILE,
    Acme,
    TlsAcme,
    TlsFiles,
)
from installer.core.answers_sections import Ssh
from installer.core.fields_hosts import BASTION
from installer.core.redaction import Redactor
from installer.core.secretrefs import SecretRef
from installer.core.secrets import Secret
from installer.job import Job
from installer.keeping import Kept, Opening, open_store
from installer.phases.verify_outside import VANTAGE
from installer.ports import CertificateIssuer, Clock, Host, Ports, SecretStore
from installer.secret_reader import KnownStore, SecretReader
from installer.store_access import StoreAccess
from installer.workspace import Workspace


@contextmanager
def open_ports(
    job: Job, workspace: Workspace, redactor: Redactor, reader: SecretReader, access: StoreAccess
) -> Iterator[Ports]:
    """Open everything a run needs, the connection last; close it whatever happens.

    Raises:
        InstallError: of the port that could not be opened.
    """
    answers, clock = job.plan.answers, SystemClock()
    target = ssh_target(answers.ssh, reader)
    host = SshHost(target)
    engine = ComposeEngine(host, login=_registry_login(answers, reader))
    opening = Opening(job, workspace, reader, access, host, engine, clock.now, os.urandom)
    with ExitStack() as stack:
        stack.callback(host.close)
        kept = stack.enter_context(open_store(opening))
        store = KnownStore(kept.store, redactor)
        certificates = _open_issuer(job, store, clock, reader)
        given = _read_given(job, reader)
        host.connect()
        yield Ports(
            host=host,
            engine=engine,
            secrets=store,
            certificates=certificates,
            server=kept.server,
            resolver=SystemResolver(),
            http=TlsHttpProbe(),
            clock=clock,
            entropy=os.urandom,
            given=given,
            tls=TlsScanner(),
            dns=DnsClient(),
            engines=TlsEngineProbe(clock.now),
            buckets=BucketLister(clock.now),
            views=stack.enter_context(_open_views(answers, target)),
            services=ServiceAuthority(
                store,
                job.plan.secrets,
                deployment=job.plan.deployment,
                now=clock.now,
                entropy=os.urandom,
            ),
        )


@contextmanager
def _open_views(answers: Answers, target: SshTarget) -> Iterator[dict[str, Host]]:
    """This machine, and the vantage point, which is connected to when it is used."""
    views: dict[str, Host] = {BASTION: LocalHost("none", environment=plain_environment())}
    vantage = answers.network.vantage
    if vantage is None or vantage == BASTION:
        yield views
        return
    hop = parse_jump(vantage, target.user)
    there = replace(
        target, host=hop.host, port=hop.port, user=hop.user, jumps=(), fingerprint=None,
        become="none", become_password=None,
    )  # fmt: skip
    with closing(SshHost(there)) as host:
        yield {**views, VANTAGE: host}


@dataclass(frozen=True, slots=True)
class Target:
    """A host and the time: for what needs no secret."""

    host: Host
    clock: Clock


@contextmanager
def open_target(job: Job, reader: SecretReader) -> Iterator[Target]:
    """Connect to the target, and open nothing else.

    Raises:
        InstallError: it cannot be reached.
    """
    host = SshHost(ssh_target(job.plan.answers.ssh, reader))
    with closing(host):
        host.connect()
        yield Target(host, SystemClock())


@contextmanager
def open_kept(
    job: Job, workspace: Workspace, reader: SecretReader, access: StoreAccess, host: Host | None
) -> Iterator[Kept | None]:
    """The store alone, for a look at it; none where it would have to be made.

    Args:
        job: Its answers name the store.
        workspace: Has the store's file.
        reader: Reads what the store is opened with.
        access: To a store of somebody else.
        host: Connected, where a store is reached through it; None when it cannot be.

    Raises:
        InstallError: it cannot be opened.
    """
    is_file = job.plan.answers.vault.mode in ("embedded", "bundled")
    if is_file and not workspace.store.exists():
        yield None
        return
    host = host or SshHost(ssh_target(job.plan.answers.ssh, reader))
    clock = SystemClock()
    opening = Opening(
        job, workspace, reader, access, host, ComposeEngine(host), clock.now, os.urandom
    )
    with open_store(opening) as kept:
        yield kept


def open_registry(args: argparse.Namespace) -> Registry:
    """How `images lock` reaches registries."""
    ca_file = Path(args.ca_file) if args.ca_file else None
    return Registry(ca_file=ca_file, connect=args.connect)


def check_provided_files(job: Job, reader: SecretReader) -> None:
    """Read and judge the files that the section `tls` names, before anything is contacted.

    Raises:
        TlsError: with everything that is wrong with them.
        LocalIoError: one cannot be read.
    """
    tls = job.plan.answers.tls
    if isinstance(tls, TlsAcme) and tls.acme.ca_file:
        read_roots(Path(tls.acme.ca_file), "tls.acme.ca_file")
    if isinstance(tls, TlsFiles):
        _provided_files(job, tls, SystemClock(), reader)


def _read_given(job: Job, reader: SecretReader) -> dict[str, Secret]:
    """The secrets that the answers refer to; each reference is followed once."""
    given: dict[str, Secret] = {}
    by_answer: dict[str, Secret] = {}
    for spec in job.plan.secrets:
        reference = job.plan.answers.at(spec.answer) if spec.answer else None
        if spec.answer is None or reference is None:
            continue
        if spec.answer not in by_answer:
            by_answer[spec.answer] = _read_one(reference, spec.answer, reader)
        given[spec.name] = by_answer[spec.answer]
    return given


def _read_one(reference: object, where: str, reader: SecretReader) -> Secret:
    """What a reference names; a path is that of a file with authorities."""
    if isinstance(reference, SecretRef):
        return reader.read(reference, where)
    return Secret(read_roots(Path(str(reference)).expanduser(), where).decode("ascii"))


def _open_issuer(
    job: Job, store: SecretStore, clock: SystemClock, reader: SecretReader
) -> CertificateIssuer:
    tls = job.plan.answers.tls
    if isinstance(tls, TlsAcme):
        return _edge_issued(tls.acme, reader)
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


def _edge_issued(acme: Acme, reader: SecretReader) -> EdgeIssued:
    credentials = {
        name: reader.read(reference, f"tls.acme.credentials.{name}")
        for name, reference in acme.credentials.items()
    }
    if acme.eab_hmac is not None:
        mac = reader.read(acme.eab_hmac, "tls.acme.eab_hmac")
        credentials[ACME_MAC_FILE] = check_mac_key(mac, "tls.acme.eab_hmac")
    roots = read_roots(Path(acme.ca_file), "tls.acme.ca_file") if acme.ca_file else None
    if roots is not None:
        credentials[ACME_CA_FILE] = Secret(roots.decode("ascii"))
    return EdgeIssued(credentials, roots_pem=roots)


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


def _registry_login(answers: Answers, reader: SecretReader) -> OptionalLogin:
    registry = answers.registry
    password = reader.read_optional(registry.password, "registry.password")
    return choose_login(registry.mirror, registry.username, password)


def ssh_target(ssh: Ssh, reader: SecretReader) -> SshTarget:
    """How the target is reached, with the secrets that its answers refer to."""
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
