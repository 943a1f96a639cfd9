"""Administration of the Vault-compatible server that is a part of the platform.

Unsealing, logins, and the wanted state of audit devices, mount, policies and roles; what is there
already is left alone. Shares and tokens pass through and are kept nowhere.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, VaultError

from installer.adapters.vault_client import Call
from installer.adapters.vault_problems import (
    broken_snapshot,
    no_vault,
    not_initialised,
    shares_refused,
)
from installer.adapters.vault_rules import VaultRules
from installer.adapters.vault_session import RoleLogin, TokenLogin, VaultSession
from installer.adapters.vault_sign_in import VaultSignIn
from installer.core.errors import IntegrityError, SecretStoreError
from installer.core.secrets import Secret
from installer.core.store_rules import StoreRules
from installer.ports import RoleKey, SealStatus

_POLL_S = 0.25
_GZIP = 16 + zlib.MAX_WBITS


class VaultServer:
    """A `SecretServer` port. Every method raises `SecretStoreError`."""

    def __init__(self, session: VaultSession) -> None:
        self._session = session
        self._rules = VaultRules(session)
        self.sign_in = VaultSignIn(session)
        self._given: list[int] = []
        self._others = 0

    def status(self) -> SealStatus:
        """Needs no login."""
        return self._status_of(self._ask_anyone(Call("GET", "sys/seal-status")))

    def unseal(self, share: Secret) -> SealStatus:
        """Give one share; once it opens the server, wait until it serves.

        Raises:
            SecretStoreError: `vault.share_refused`, with the positions of the shares that the
                server refused: of this one when it cannot be a share at all, of all those given
                when they do not fit together, which the server finds out with the last one.
        """
        before = self.status()
        if not before.initialised:
            raise SecretStoreError(not_initialised(self._session.server))
        if not before.sealed:
            return before
        self._note_progress(before.progress)
        position = before.progress + 1
        call = Call("PUT", "sys/unseal", {"key": share.reveal()})
        try:
            answer = self._session.client.send(call, None)
        except InvalidRequest as error:
            raise self._refuse(position, error, call) from error
        except SecretStoreError as error:
            # Some releases answer 500 where others answer 400; sealed it is either way.
            if error.problems[0].code != "vault.sealed":
                raise
            raise self._refuse(position, None, call) from error
        after = self._status_of(answer)
        if after.sealed:
            if after.progress > before.progress:
                self._given.append(position)
            return after
        self._given, self._others = [], 0
        self._wait_until_active()
        return after

    def forget_shares(self) -> SealStatus:
        """Discard the shares given so far, after a wrong one."""
        self._given, self._others = [], 0
        return self._status_of(self._ask_anyone(Call("PUT", "sys/unseal", {"reset": True})))

    def log_in(self, token: Secret) -> None:
        """Act with this token from now on.

        Raises:
            SecretStoreError: `vault.token_refused`.
        """
        self._session.log_in(TokenLogin(token))

    def log_in_as(self, key: RoleKey) -> None:
        """Log in as a machine; the token is renewed, or fetched anew when it has ended.

        Raises:
            SecretStoreError: `vault.token_refused`.
        """
        self._session.log_in(RoleLogin(key.role_id, key.secret_id))

    def lacks(self, rules: StoreRules) -> tuple[str, ...]:
        """What of the rules is not there, in words; empty when everything is.

        Raises:
            SecretStoreError: `vault.kv_version`, the mount is taken by another version.
        """
        return self._rules.lacks(rules)

    def configure(self, rules: StoreRules) -> None:
        """Make audit devices, the KV mount, policies and roles as the rules say.

        Raises:
            SecretStoreError: `vault.kv_version`; `vault.no_mount`, the path is taken by an engine
                of another type.
        """
        self._rules.configure(rules)

    def issue(self, role: str, *, wrap_s: int | None) -> RoleKey:
        """A fresh login for a role; wrapped for one use within `wrap_s` seconds when given."""
        path = f"auth/approle/role/{role}"
        asked = Call("GET", f"{path}/role-id")
        made = Call("POST", f"{path}/secret-id", {}, wrap_s)
        try:
            role_id = _part(self._session.ask(asked), "data").get("role_id")
            answer = self._session.ask(made)
        except (InvalidPath, InvalidRequest) as error:
            raise self._session.client.rejected(error, made) from error
        if wrap_s is None:
            secret_id = _part(answer, "data").get("secret_id")
        else:
            secret_id = _part(answer, "wrap_info").get("token")
        if not role_id or not secret_id:
            raise SecretStoreError(no_vault(self._session.server, f"{path} gives no login"))
        return RoleKey(str(role_id), Secret(str(secret_id)))

    def is_valid(self, token: Secret) -> bool:
        """Whether the server knows this token."""
        return self._session.is_valid(token)

    def revoke(self, token: Secret) -> None:
        """End a token and what came from it; no error when it has ended already."""
        call = Call("POST", "auth/token/revoke-self")
        try:
            self._session.client.send(call, token)
        except (InvalidPath, InvalidRequest) as error:
            raise self._session.client.rejected(error, call) from error
        except Forbidden as error:
            if self._session.is_valid(token):
                raise self._session.client.rejected(error, call) from error

    def log_out(self) -> None:
        """End the token of a machine's login; forget one that was given."""
        self._session.log_out()

    def snapshot(self) -> Iterator[bytes]:
        """The storage as the server exports it (encrypted by its barrier), in pieces.

        Raises:
            SecretStoreError: the server refuses or stops.
            IntegrityError: `vault.snapshot`, its compression does not come to an end.
        """
        unpacked = zlib.decompressobj(_GZIP)
        path = "sys/storage/raft/snapshot"
        try:
            for piece in self._session.download(path):
                unpacked.decompress(piece)
                yield piece
        except zlib.error as error:
            why = "it is no gzip data"
            raise IntegrityError(broken_snapshot(self._session.server, why)) from error
        except (InvalidPath, InvalidRequest) as error:
            raise self._session.client.rejected(error, Call("GET", path)) from error
        if not unpacked.eof:
            raise IntegrityError(broken_snapshot(self._session.server, "it was cut off"))

    def close(self) -> None:
        """Log out and close the connection."""
        self._session.close()

    def _ask_anyone(self, call: Call) -> dict[str, Any]:
        try:
            return self._session.client.send(call, None)
        except (Forbidden, InvalidPath, InvalidRequest) as error:
            raise self._session.client.rejected(error, call) from error

    def _status_of(self, answer: Mapping[str, Any]) -> SealStatus:
        try:
            return SealStatus(
                initialised=bool(answer["initialized"]),
                sealed=bool(answer["sealed"]),
                shares=int(answer["n"]),
                threshold=int(answer["t"]),
                progress=int(answer["progress"]),
                seal=str(answer["type"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            why = "its seal status has another form"
            raise SecretStoreError(no_vault(self._session.server, why)) from error

    def _note_progress(self, progress: int) -> None:
        """Tell the shares given here from those that somebody else gave."""
        if progress < len(self._given):
            self._given = []  # discarded meanwhile
        self._others = progress - len(self._given)

    def _refuse(self, position: int, error: VaultError | None, call: Call) -> SecretStoreError:
        """Whose fault it is: of this share alone when those before it still count."""
        said = self._session.client.words_of(error, call.body) if error else ""
        kept = self.status().progress
        alone = kept == position - 1
        positions = [position] if alone else [*self._given, position]
        others = 0 if alone else self._others
        if not alone:
            self._given, self._others = [], 0
        why = said or "they do not fit together"
        return SecretStoreError(shares_refused(self._session.server, positions, others, why))

    def _wait_until_active(self) -> None:
        """A server that was just unsealed is a standby until it has elected itself."""
        pace = self._session.pace
        end = pace.monotonic() + pace.patience_s
        while self._session.client.health().get("standby") is not False:
            if pace.monotonic() + _POLL_S > end:
                return  # the next request says what is the matter
            pace.sleep(_POLL_S)


def _part(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = answer.get(name)
    return part if isinstance(part, Mapping) else {}
