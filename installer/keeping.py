"""Opens the secret store that the answers name, and what a server of the platform needs besides.

A store of somebody else is asked at once, before anything is contacted or written. The platform's
own server is not asked before it is used: a platform that is about to be installed has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, cast

from installer.adapters.custody import LocalCustody
from installer.adapters.filestore import FileStore, create_store
from installer.adapters.filestore import open_store as open_file
from installer.adapters.internal_store import InternalStore
from installer.adapters.issuers import PrivateAuthority
from installer.adapters.snapshot_files import SnapshotFiles
from installer.core.answers_vault import VaultAws, VaultBundled, VaultEmbedded, VaultExternal
from installer.core.errors import SecretStoreError
from installer.core.store_rules import store_prefix
from installer.job import Job
from installer.phases.authority import INTERNAL, find_roots
from installer.phases.launch import active_project
from installer.ports import Engine, Entropy, Host, SecretServer, SecretStore, ServerPorts
from installer.secret_reader import KnownStore, SecretReader
from installer.store_access import StoreAccess
from installer.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Opening:
    """What stores are opened with."""

    job: Job
    workspace: Workspace
    reader: SecretReader
    access: StoreAccess
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
    """The store of `vault.mode`; a login to the platform's own server ends with it.

    Raises:
        SecretStoreError: it cannot be opened, or would not do.
    """
    vault = opening.job.plan.answers.vault
    if isinstance(vault, VaultEmbedded):
        yield Kept(_open_file(opening, vault))
    elif isinstance(vault, VaultAws | VaultExternal):
        yield Kept(opening.access.open(opening.job.plan))
    else:
        bundled = _Bundled(opening, vault)
        try:
            yield bundled.kept
        finally:
            bundled.close()


def _open_file(opening: Opening, vault: VaultEmbedded | VaultBundled) -> FileStore:
    passphrase = opening.reader.read(vault.passphrase, "vault.passphrase")
    path = opening.workspace.store
    return open_file(path, passphrase) if path.exists() else create_store(path, passphrase)


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
                certificates=self._authority(
                    lambda: custody.access() is not None or self._was_set_up_elsewhere()
                ),
                courier=self._courier,
                snapshots=SnapshotFiles(self._opening.workspace.root / "snapshots"),
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
        roots = self._find_roots().decode()
        return Tunnel(lambda: engine.dial(project, manifest.name, tunnel), roots, manifest.name)

    def _find_roots(self) -> bytes:
        """Roots of the server; the target's own word for them counts for who has a token."""
        job, has_token = self._opening.job, self._vault.token is not None
        if job.plan.server is None:
            raise ValueError("the plan has no secret server")
        host = self._opening.host if has_token else None
        return find_roots(self._courier, host, job.layout, job.plan.server)

    def _was_set_up_elsewhere(self) -> bool:
        """Whether somebody with a token meets a server that this machine did not set up.

        Its authority's key lies in it then; making another one would cut off all consumers.
        """
        begun_here = any(name.startswith(INTERNAL) for name in self._courier.names())
        if self._vault.token is None or begun_here:
            return False
        try:
            return bool(self._find_roots())
        except SecretStoreError:
            return False

    def _make_store(self) -> SecretStore:
        from installer.adapters.vault_store import VaultStore  # noqa: PLC0415

        prefix = store_prefix(self._opening.job.plan.answers)
        return VaultStore(self._session, mount=self._vault.mount, prefix=prefix)

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
