"""The keys of the secret server on this machine, between its birth and their custodians.

The private half of the transport key and the installer's own login lie in the sealed courier; the
shares lie encrypted to their custodians, and their fingerprints in the courier. No plain share is
written, unless there are no custodians, which is a waiver of the operator's.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from installer.adapters import openpgp
from installer.adapters.custody_questions import Ask, collect_shares, prove_possession
from installer.adapters.custody_recipients import Custodian, check_custodians
from installer.adapters.custody_record import (
    PLAIN,
    Record,
    format_record,
    parse_record,
    present_files,
    write_files,
)
from installer.adapters.openpgp import DamagedMessageError, OtherKeyError
from installer.core.errors import (
    AnswersError,
    ConflictError,
    IntegrityError,
    Problem,
    Remedy,
    SecretStoreError,
)
from installer.core.secrets import Secret, SecretKind, SecretSpec, share_fingerprint
from installer.core.shares import canonical_share, hex_share
from installer.ports import HandedShare, RoleKey, SecretStore

__all__ = ["ACCESS", "RECORD", "TRANSPORT", "LocalCustody", "check_custodians"]

TRANSPORT = SecretSpec("vault-transport", SecretKind.PEM, "Opens what the server answers at first")
RECORD = SecretSpec("vault-custody", SecretKind.TOKEN, "Who was handed which share")
ACCESS = SecretSpec("vault-access", SecretKind.TOKEN, "The installer's login to the secret server")


class LocalCustody:
    """A `Custody` port over the sealed courier and a directory of this machine."""

    def __init__(
        self,
        courier: SecretStore,
        directory: Path,
        custodians: Mapping[str, str],
        *,
        ask: Ask | None,
        references: Callable[[], Iterable[Secret]],
        now: Callable[[], datetime],
        learn: Callable[[Secret], None] = lambda _: None,
    ) -> None:
        """Nothing is read or written here.

        Args:
            courier: The sealed store of this machine.
            directory: Where custodians fetch their shares; made with mode 0700.
            custodians: As `check_custodians` takes them; empty for plain shares.
            ask: Puts a question without echo; None where nobody can be asked.
            references: Reads the shares that the answers refer to, when they are needed.
            now: Time, aware.
            learn: Told of every secret that comes up here, so that output can be kept free of it.
        """
        self._courier = courier
        self._directory = directory
        self._custodians = custodians
        self._ask = ask
        self._references = references
        self._now = now
        self._learn = learn

    def check(self) -> None:
        """Judge the custodians' keys while their shares are still to be handed over.

        Raises:
            AnswersError: as `check_custodians`.
        """
        if not self._courier.get(RECORD.name):
            check_custodians(self._custodians, self._now())

    def transport_key(self) -> str:
        """Base64 of the public key; the private half is durable before. The same on a rerun.

        Raises:
            ConflictError: `vault.custody_taken`, there are keys of a server here already, and only
                an empty one needs this key.
        """
        if not self._courier.names().isdisjoint((RECORD.name, ACCESS.name)):
            raise ConflictError(self._taken())
        key = self._courier.ensure(
            TRANSPORT, lambda: openpgp.make_private_key("devplat-install transport")
        )
        self._learn(key)
        return b64encode(openpgp.public_half(key)).decode("ascii")

    def open(self, sealed: str) -> Secret:
        """What the server encrypted to the transport key: a token, or a share in hex.

        Raises:
            SecretStoreError: `vault.transport_lost`, the private half is not here.
            IntegrityError: `vault.answer_damaged`, it is no message or was altered.
        """
        key = self._courier.get(TRANSPORT.name)
        if key is None:
            raise SecretStoreError(_transport_lost("has no transport key"))
        try:
            value = openpgp.open_message(b64decode(sealed, validate=True), key).decode("utf-8")
        except OtherKeyError as error:
            raise SecretStoreError(_transport_lost("has another transport key")) from error
        except (DamagedMessageError, ValueError) as error:
            raise IntegrityError(_answer_damaged()) from error
        self._learn_text(value)
        return Secret(value)

    def hand_over(self, shares: Sequence[Secret]) -> tuple[HandedShare, ...]:
        """Encrypt each share to its custodian and keep it durably; the same again on a rerun.

        Raises:
            AnswersError: there are more or fewer custodians than shares, or a key is unusable.
            ConflictError: `vault.custody_taken`, other shares were handed over here.
            LocalIoError: a file cannot be written; run again.
        """
        texts = [_share_text(number, share) for number, share in enumerate(shares, 1)]
        custodians = check_custodians(self._custodians, self._now())
        if custodians and len(custodians) != len(shares):
            raise AnswersError(_other_number(len(custodians), len(shares)))
        wanted = tuple(_name_shares(shares, custodians))
        record = self._begin(wanted)
        if not record.complete:
            files = {
                share.place: custodians[at].seal(texts[at]) if custodians else texts[at]
                for at, share in enumerate(wanted)
            }
            write_files(self._directory, files, record.stale)
            self._keep(record.finished())
        return self._placed(wanted)

    def handed_over(self) -> tuple[HandedShare, ...]:
        """What was handed over; empty before that.

        Empty too when the answers name other custodians now and the shares can still be had, so
        that a key that its custodian cannot use is corrected by another run.
        """
        record = self._record()
        if record is None or not record.complete:
            return ()
        if self._courier.get(TRANSPORT.name) is not None:
            custodians = check_custodians(self._custodians, self._now())
            now = tuple((custodian.name, custodian.recipient) for custodian in custodians)
            if record.recipients != (now or ((PLAIN, PLAIN),) * len(record.shares)):
                return ()
        return self._placed(record.shares)

    def prove(self, shares: Sequence[HandedShare]) -> str | None:
        """Have one custodian type a share back; the custodian, or None when nobody can be asked.

        Raises:
            SecretStoreError: `vault.share_wrong` after three wrong ones.
        """
        if self._ask is None or not shares:
            return None
        return prove_possession(shares, self._ask, self._learn_text)

    def shares(self, wanted: int) -> Iterator[Secret]:
        """Shares in base64: all that the answers refer to, then asked for, up to `wanted`.

        Raises:
            SecretStoreError: as `collect_shares`.
        """
        record = self._record()
        known = record.fingerprints if record else ()
        references = self._references()
        yield from collect_shares(references, self._ask, wanted, known, self._learn_text)

    def can_unseal(self, wanted: int) -> bool:
        """Whether so many shares can be had: by reference, or from somebody at a terminal."""
        return self._ask is not None or len(list(self._references())) >= wanted

    def access(self) -> RoleKey | None:
        """The installer's own login to the server, or None before it was kept.

        Raises:
            IntegrityError: what was kept has another form.
        """
        kept = self._courier.get(ACCESS.name)
        if kept is None:
            return None
        try:
            fields: Mapping[str, str] = json.loads(kept.reveal())
            key = RoleKey(fields["role_id"], Secret(fields["secret_id"]))
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(_access_damaged()) from error
        self._learn(key.secret_id)
        return key

    def keep_access(self, key: RoleKey) -> None:
        """Keep it durably, in place of an earlier one."""
        self._learn(key.secret_id)
        fields = {"role_id": key.role_id, "secret_id": key.secret_id.reveal()}
        self._keep_value(ACCESS, json.dumps(fields, sort_keys=True))

    def holds_transport(self) -> bool:
        """Whether the private half of the transport key is still here."""
        return self._courier.get(TRANSPORT.name) is not None

    def forget_transport(self) -> None:
        """Destroy the private half of the transport key; afterwards the answer opens for nobody."""
        self._courier.remove(TRANSPORT.name)

    def _begin(self, wanted: tuple[HandedShare, ...]) -> Record:
        """The record to work by; durable before the first file is written.

        A complete one is begun anew when a file is missing or a custodian has another key.
        """
        names = [share.place for share in wanted]
        before = self._record()
        if before is None:
            if present_files(self._directory, names):
                raise ConflictError(self._taken())
            record = Record(wanted, complete=False)
        elif before.fingerprints != tuple(share.fingerprint for share in wanted):
            raise ConflictError(self._taken())
        elif before.complete and before.shares == wanted:
            if len(present_files(self._directory, names)) == len(names):
                return before
            record = replace(before, complete=False)
        else:
            record = before.superseded_by(wanted)
        self._keep(record)
        return record

    def _record(self) -> Record | None:
        kept = self._courier.get(RECORD.name)
        return None if kept is None else parse_record(kept.reveal())

    def _keep(self, record: Record) -> None:
        self._keep_value(RECORD, format_record(record))

    def _keep_value(self, spec: SecretSpec, text: str) -> None:
        value = Secret(text)
        if self._courier.ensure(spec, lambda: value) != value:
            self._courier.replace(spec, value)

    def _placed(self, shares: Iterable[HandedShare]) -> tuple[HandedShare, ...]:
        return tuple(replace(s, place=str(self._directory / s.place)) for s in shares)

    def _learn_text(self, text: str) -> None:
        """Tell of a value in every form that it may turn up in."""
        canonical = canonical_share(text)
        forms = {text} if canonical is None else {text, canonical, hex_share(canonical)}
        for form in sorted(forms):
            self._learn(Secret(form))

    def _taken(self) -> Problem:
        return Problem(
            code="vault.custody_taken",
            summary=f"the run directory has the keys of another server of this deployment, in"
            f" {self._directory} and in its sealed store; nothing was written over",
            where=str(self._directory),
            remedy=Remedy(
                "make sure that this is the right target and that its data directory is mounted;"
                " if the other server is another one or gone for good, use another run directory",
                ("devplat-install --run-dir DIR …",),
            ),
        )


def _name_shares(
    shares: Sequence[Secret], custodians: Sequence[Custodian]
) -> Iterator[HandedShare]:
    for at, share in enumerate(shares):
        custodian = custodians[at] if custodians else None
        name = custodian.name if custodian else PLAIN
        recipient = custodian.recipient if custodian else PLAIN
        suffix = custodian.suffix if custodian else "txt"
        place = f"{at + 1}-{name}.{suffix}"
        yield HandedShare(at + 1, name, recipient, place, share_fingerprint(share))


def _share_text(number: int, share: Secret) -> bytes:
    text = share.reveal().strip()
    if canonical_share(text) is None:
        raise IntegrityError(_answer_damaged(f"share {number} in it is no share"))
    return f"{text}\n".encode()


def _other_number(custodians: int, shares: int) -> Problem:
    return Problem(
        code="vault.custodians",
        summary=f"{custodians} custodians are named, and the server has {shares} shares",
        where="vault.custodians",
        remedy=Remedy(f"name {shares} custodians, as when the server was initialised; run again"),
    )


def _transport_lost(what: str) -> Problem:
    return Problem(
        code="vault.transport_lost",
        summary=f"the sealed store of this run directory {what}, so the server's first answer,"
        " which is kept on the target, does not open here",
        where="vault.passphrase",
        remedy=Remedy(
            "run where the installation was begun, or put that run directory back; if it is gone,"
            " no secret is in the server yet: stop it, empty its data directory, and run again"
        ),
    )


def _answer_damaged(what: str = "it is not as the server encrypted it") -> Problem:
    return Problem(
        code="vault.answer_damaged",
        summary=f"the server's first answer is damaged: {what}",
        remedy=Remedy(
            "keep the file on the target and find out what changed it; with no other copy of the"
            " answer the server's data directory has to be emptied and the server initialised anew"
        ),
    )


def _access_damaged() -> Problem:
    return Problem(
        code="store.damaged",
        summary=f"what the sealed store keeps as {ACCESS.name} has another form",
        where=ACCESS.name,
        remedy=Remedy("use the release of the installer that wrote it, or give vault.token"),
    )
