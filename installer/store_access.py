"""The way to a secret store that somebody else runs: a server that exists already, or AWS.

One login serves a whole run, for references of the answers and for our own secrets alike. A token
that was made for it is revoked on closing; nothing is asked before the first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from installer.adapters.secret_sources import Fetch
from installer.core.answers import Answers
from installer.core.answers_vault import VaultAws, VaultExternal
from installer.core.plan import Plan
from installer.core.secretrefs import SecretSource
from installer.core.secrets import Secret
from installer.core.store_rules import store_prefix
from installer.ports import SecretStore
from installer.secret_reader import SecretReader

if TYPE_CHECKING:
    from installer.adapters.aws_store import AwsStore
    from installer.adapters.vault_session import Login, VaultSession


class StoreAccess:
    """What is opened of the store of `vault.mode`; nothing for the modes that need no way to one.

    Libraries of vendors are brought in when they are needed: they are slow, and one is an extra.
    """

    def __init__(self, answers: Answers, reader: SecretReader) -> None:
        self._answers = answers
        self._reader = reader

    def fetchers(self) -> Mapping[SecretSource, Fetch]:
        """How references to this store are read, by their scheme."""
        vault = self._answers.vault
        if isinstance(vault, VaultExternal):
            return {SecretSource.VAULT: self._fetch_field}
        if isinstance(vault, VaultAws):
            return {SecretSource.AWS: self._fetch_aws}
        return {}

    def open(self, plan: Plan) -> SecretStore:
        """The store of our own secrets, after a look at whether it will do.

        Raises:
            SecretStoreError: it is out of reach, refuses the login, does not serve, or lacks the
                mount or a permission; nothing was written.
            AnswersError, LocalIoError, TerminalError: the login that the answers refer to.
        """
        wanted = frozenset(spec.name for spec in plan.secrets)
        if isinstance(self._answers.vault, VaultAws):
            store: SecretStore = self._aws
            if known := sorted(wanted & store.names()) or sorted(wanted):
                store.get(known[0])  # listing is another permission than reading
            return store
        return self._open_vault(wanted)

    def close(self) -> None:
        """End the login of this run, and the connections."""
        for name in ("_session", "_aws"):
            opened = self.__dict__.pop(name, None)
            if opened is not None:
                opened.close()

    def _open_vault(self, wanted: frozenset[str]) -> SecretStore:
        from installer.adapters.vault_capabilities import require_capabilities  # noqa: PLC0415
        from installer.adapters.vault_store import VaultStore  # noqa: PLC0415

        vault, prefix = self._external, store_prefix(self._answers)
        store = VaultStore(self._session, mount=vault.mount, prefix=prefix)
        known = store.names()
        below = f"{vault.mount}/data/{prefix}"
        require_capabilities(
            self._session,
            {
                f"{below}/{name}": ("read",) if name in known else ("create", "read")
                for name in sorted(wanted)
            },
        )
        return store

    def _fetch_field(self, path: str, field: str) -> Secret:
        from installer.adapters.store_references import read_vault_field  # noqa: PLC0415

        return read_vault_field(self._session, path, field)

    def _fetch_aws(self, name: str, field: str) -> Secret:
        from installer.adapters.store_references import read_aws_secret  # noqa: PLC0415

        return read_aws_secret(self._aws, name, field)

    @property
    def _external(self) -> VaultExternal:
        vault = self._answers.vault
        if not isinstance(vault, VaultExternal):
            raise TypeError(f"vault.mode {vault.mode} has no server of somebody else")
        return vault

    @cached_property
    def _session(self) -> VaultSession:
        from installer.adapters import vault_session as sessions  # noqa: PLC0415
        from installer.adapters.vault_transport import Address  # noqa: PLC0415

        vault = self._external
        ca_file = Path(vault.ca_file).expanduser() if vault.ca_file else None
        # an address in clear is acceptable in the answers on this machine only, and once confirmed
        address = Address(vault.addr, ca_file, vault.namespace, plain_here=True)
        return sessions.VaultSession(address, self._login())

    def _login(self) -> Login:
        from installer.adapters import vault_session as sessions  # noqa: PLC0415

        vault, read = self._external, self._reader.read
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

    @cached_property
    def _aws(self) -> AwsStore:
        vault = self._answers.vault
        if not isinstance(vault, VaultAws):
            raise TypeError(f"vault.mode {vault.mode} keeps nothing in AWS")
        from installer.adapters.aws_store import open_aws_store  # noqa: PLC0415 - an extra

        return open_aws_store(
            region=vault.region,
            prefix=store_prefix(self._answers),
            deployment=self._answers.deployment.name,
            kms_key_id=vault.kms_key_id,
            profile=vault.profile,
            endpoint_url=vault.endpoint_url,
        )
