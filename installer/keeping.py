"""Opens the secret store that the answers name, and what a server of the platform needs besides.

Nothing is asked of a server before it is used: a platform that is about to be installed has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from installer.adapters.custody import LocalCustody
from installer.adapters.filestore import FileStore, create_store
from installer.adapters.filestore import open_store as open_file
from installer.adapters.internal_store import InternalStore
from installer.adapters.issuers import PrivateAuthority
from installer.adapters.secret_sources import Fetch
from installer.core.answers import Answers
from installer.core.answers_vault import VaultAws, VaultBundled, VaultEmbedded, VaultExternal
from installer.core.secretrefs import SecretSource
from installer.core.secrets import Secret
from installer.core.store_rules import store_prefix
from installer.job import Job
from installer.phases.authority import INTERNAL, find_roots
from installer.phases.launch import active_project
from installer.ports import Engine, Entropy, Host, SecretServer, SecretStore, ServerPorts
from installer.secret_reader import KnownStore, SecretReader
from installer.workspace import Workspace

if TYPE_CHECKING:
    from installer.adapters.aws_store import AwsStore
    from installer.adapters.vault_session import Login, VaultSession


@dataclass(frozen=True, slots=True)
class Opening:
    """What stores are opened with."""

    job: Job
    workspace: Workspace
    reader: SecretReader
    host: Host
    engine: Engine
    now: Callable[[], datetime]
    entropy: Entropy


@dataclass(frozen=True, slots=True)
class Kept:
    """An opened store; `server` is set when the store is a service of the platform."""

    store: SecretStore
    server: ServerPorts | None = None


@contextmanager
def open_store(opening: Opening) -> Iterator[Kept]:
    """The store of `vault.mode`; a login that was made for this run ends with it.

    Raises:
        SecretStoreError: it cannot be opened.
    """
    vault = opening.job.plan.answers.vault
    if isinstance(vault, VaultEmbedded):
        yield Kept(_open_file(opening, vault))
    elif isinstance(vault, VaultAws):
        yield Kept(_open_aws(opening.job.plan.answers, vault))
    elif isinstance(vault, VaultExternal):
        session = _external_session(vault, opening.reader)
        try:
            yield Kept(_vault_store(opening, session, vault))
        finally:
            session.close()
    else:
        bundled = _Bundled(opening, vault)
        try:
            yield bundled.kept
        finally:
            bundled.close()


def reference_stores(answers: Answers, reader: SecretReader) -> Mapping[SecretSource, Fetch]:
    """How references `vault:…` and `aws:…` of the answers are read, where the mode has a store."""
    vault = answers.vault
    if isinstance(vault, VaultExternal):

        def fetch(path: str, key: str) -> Secret:
            from installer.adapters.store_references import read_vault_field  # noqa: PLC0415

            with closing(_external_session(vault, reader)) as session:
                return read_vault_field(session, path, key)

        return {SecretSource.VAULT: fetch}
    if isinstance(vault, VaultAws):

        def fetch_aws(name: str, key: str) -> Secret:
            from installer.adapters.store_references import read_aws_secret  # noqa: PLC0415

            return read_aws_secret(_open_aws(answers, vault), name, key)

        return {SecretSource.AWS: fetch_aws}
    return {}


def _open_file(opening: Opening, vault: VaultEmbedded | VaultBundled) -> FileStore:
    passphrase = opening.reader.read(vault.passphrase, "vault.passphrase")
    path = opening.workspace.store
    return open_file(path, passphrase) if path.exists() else create_store(path, passphrase)


def _open_aws(answers: Answers, vault: VaultAws) -> AwsStore:
    from installer.adapters.aws_store import open_aws_store  # noqa: PLC0415 - an extra

    return open_aws_store(
        region=vault.region,
        prefix=store_prefix(answers),
        deployment=answers.deployment.name,
        kms_key_id=vault.kms_key_id,
        profile=vault.profile,
        endpoint_url=vault.endpoint_url,
    )


def _external_session(vault: VaultExternal, reader: SecretReader) -> VaultSession:
    from installer.adapters import vault_session as sessions  # noqa: PLC0415 - hvac is slow
    from installer.adapters.vault_transport import Address  # noqa: PLC0415

    ca_file = Path(vault.ca_file).expanduser() if vault.ca_file else None
    address = Address(vault.addr, ca_file, vault.namespace)
    return sessions.VaultSession(address, _external_login(vault, reader))


def _external_login(vault: VaultExternal, reader: SecretReader) -> Login:
    from installer.adapters import vault_session as sessions  # noqa: PLC0415

    read = reader.read
    if vault.token is not None:
        token = vault.token
        return sessions.TokenLogin(
            read(token, "vault.token"), again=lambda: read(token, "vault.token")
        )
    if vault.role_id is not None and vault.secret_id is not None:
        secret_id = read(vault.secret_id, "vault.secret_id")
        return sessions.RoleLogin(vault.role_id, secret_id, vault.auth_mount or "approle")
    if vault.jwt is None:
        raise ValueError("the rules of the answers ask for one login")
    jwt = vault.jwt
    return sessions.JwtLogin(
        vault.jwt_role or "",
        read(jwt, "vault.jwt"),
        vault.auth_mount or "jwt",
        again=lambda: read(jwt, "vault.jwt"),
    )


def _vault_store(
    opening: Opening, session: Any, vault: VaultBundled | VaultExternal
) -> SecretStore:
    from installer.adapters.vault_store import VaultStore  # noqa: PLC0415

    return VaultStore(session, mount=vault.mount, prefix=store_prefix(opening.job.plan.answers))


class _Bundled:
    """The server of the platform, reached through the target's engine."""

    def __init__(self, opening: Opening, vault: VaultBundled) -> None:
        self._opening = opening
        self._vault = vault
        self._opened: Any = None
        redactor = opening.reader.redactor
        self._courier = KnownStore(_open_file(opening, vault), redactor)
        self._store = cast(SecretStore, _Deferred(self._make_store))
        self._admin = cast(SecretServer, _Deferred(self._make_admin))

    @property
    def kept(self) -> Kept:
        """Its store, and what administers it."""
        read = self._opening.reader.read_optional
        custody = self._custody()
        custody.check()
        return Kept(
            self._store,
            ServerPorts(
                admin=self._admin,
                custody=custody,
                certificates=self._authority(lambda: custody.access() is not None),
                courier=self._courier,
                token=read(self._vault.token, "vault.token"),
                seal_token=read(self._vault.seal_token, "vault.seal_token"),
            ),
        )

    def close(self) -> None:
        """End the login of this run."""
        if self._opened is not None:
            self._opened.close()

    @property
    def _session(self) -> Any:
        if self._opened is None:
            from installer.adapters import vault_session as sessions  # noqa: PLC0415

            self._opened = sessions.VaultSession(self._tunnel())
        return self._opened

    def _tunnel(self) -> Any:
        from installer.adapters.vault_transport import Tunnel  # noqa: PLC0415

        job, engine = self._opening.job, self._opening.engine
        manifest = job.plan.server
        if manifest is None or manifest.server is None:
            raise ValueError("the plan has no secret server")
        project, tunnel = active_project(job.plan, job.layout), manifest.server.tunnel
        has_token = self._vault.token is not None
        roots = find_roots(
            self._courier, self._opening.host if has_token else None, job.layout, manifest
        )
        return Tunnel(
            lambda: engine.dial(project, manifest.name, tunnel), roots.decode(), manifest.name
        )

    def _make_store(self) -> SecretStore:
        return _vault_store(self._opening, self._session, self._vault)

    def _make_admin(self) -> SecretServer:
        from installer.adapters.vault_server import VaultServer  # noqa: PLC0415

        return VaultServer(self._session)

    def _custody(self) -> LocalCustody:
        reader, vault = self._opening.reader, self._vault
        return LocalCustody(
            self._courier,
            self._opening.workspace.root / "custody",
            vault.custodians,
            ask=reader.ask,
            references=lambda: (
                reader.read(reference, f"vault.unseal_shares[{number}]")
                for number, reference in enumerate(vault.unseal_shares)
            ),
            now=self._opening.now,
            learn=reader.redactor.add,
        )

    def _authority(self, is_open: Callable[[], bool]) -> PrivateAuthority:
        job = self._opening.job
        server = job.plan.server
        return PrivateAuthority(
            InternalStore(self._courier, self._store, INTERNAL, is_open),
            deployment=job.plan.deployment,
            domain=server.name if server else job.plan.base_domain,
            profile="modern",
            now=self._opening.now,
            entropy=self._opening.entropy,
        )


class _Deferred:
    """Stands for what `make` makes, which is made when it is first used."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> object:
        return self._make()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)
