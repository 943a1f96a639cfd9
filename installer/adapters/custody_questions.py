"""Questions to people who hold a share: to unseal with it, or to prove that they can read it.

An answer is taken in base64 or hex, blanks left out, and is never shown again. A wrong one can be
corrected; nothing is sent anywhere from here.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from shlex import quote

from installer.adapters.custody_record import PLAIN
from installer.core.errors import Problem, Remedy, SecretStoreError
from installer.core.secrets import Secret, share_fingerprint
from installer.core.shares import canonical_share
from installer.ports import HandedShare

Ask = Callable[[str], str]
"""Puts a question without echo; raises `TerminalError` when nobody is there any more."""
TRIES = 3
_UNSEAL = ("devplat-install unseal",)


def prove_possession(shares: Sequence[HandedShare], ask: Ask, learn: Callable[[str], None]) -> str:
    """Have one custodian, chosen freely, type their decrypted share; who it was.

    Raises:
        SecretStoreError: `vault.share_wrong` after three wrong answers.
    """
    chosen = _choose(shares, ask)
    whose = f"share {chosen.number} of {chosen.custodian}"
    holder = chosen.custodian
    if chosen.custodian == PLAIN:
        whose, holder = f"share {chosen.number}", f"the holder of share {chosen.number}"
    question = f"{whose}, as it is decrypted from {chosen.place}: "
    for _ in range(TRIES):
        text = canonical_share(ask(question))
        if text is not None:
            learn(text)
            if hmac.compare_digest(share_fingerprint(Secret(text)), chosen.fingerprint):
                return holder
        question = f"that is not {whose}; once more: "
    raise SecretStoreError(
        Problem(
            code="vault.share_wrong",
            summary=f"{whose} was typed wrong {TRIES} times; nothing was closed",
            where=f"vault.custodians.{chosen.custodian}",
            remedy=Remedy(
                "decrypt the file and type the share it holds; if its custodian cannot, correct"
                " their key in the answers; then run again, and the share is encrypted anew",
                (_decryption(chosen),),
            ),
        )
    )


def collect_shares(
    references: Iterable[Secret],
    ask: Ask | None,
    wanted: int,
    known: Collection[str],
    learn: Callable[[str], None],
) -> Iterator[Secret]:
    """Shares in base64: each of the references, then asked for until there are `wanted`.

    Args:
        references: Shares that the answers refer to.
        ask: None where nobody can be asked.
        wanted: Shares that are still missing.
        known: Fingerprints of the server's shares; empty when they are not known.
        learn: Told of every share that was typed.

    Raises:
        SecretStoreError: `vault.share_refused`, a reference is no share; `vault.sealed`, there are
            too few and nobody can be asked; `vault.share_wrong`, typed wrong three times.
    """
    given: set[str] = set()
    for position, reference in enumerate(references, 1):
        text = canonical_share(reference.reveal())
        if text is None:
            raise SecretStoreError(_no_share(position))
        if text not in given:
            given.add(text)
            learn(text)
            yield Secret(text)
    while len(given) < wanted:
        if ask is None:
            raise SecretStoreError(_sealed(len(given), wanted))
        share = _ask_share(ask, f"unseal share {len(given) + 1} of {wanted}", given, known)
        learn(share.reveal())
        given.add(share.reveal())
        yield share


def _ask_share(ask: Ask, which: str, given: Collection[str], known: Collection[str]) -> Secret:
    question = f"{which}: "
    wrong = ""
    for _ in range(TRIES):
        text = canonical_share(ask(question))
        wrong = _judge(text, given, known)
        if text is not None and not wrong:
            return Secret(text)
        question = f"{wrong}; {which} once more: "
    raise SecretStoreError(
        Problem(
            code="vault.share_wrong",
            summary=f"{which} was not given in {TRIES} tries: {wrong}",
            where="vault.unseal_shares",
            remedy=Remedy("ask its custodian again; the shares before it still count", _UNSEAL),
        )
    )


def _judge(text: str | None, given: Collection[str], known: Collection[str]) -> str:
    if text is None:
        return "that is no share, neither base64 nor hex"
    if text in given:
        return "that share was given already"
    if known and share_fingerprint(Secret(text)) not in known:
        return "that is none of this server's shares"
    return ""


def _choose(shares: Sequence[HandedShare], ask: Ask) -> HandedShare:
    if len(shares) == 1:
        return shares[0]
    listed = ", ".join(f"{share.number} {share.custodian}" for share in shares)
    question = f"who types their share back, by number or name ({listed})? "
    for _ in range(TRIES):
        answer = ask(question).strip()
        for share in shares:
            if answer and answer in (str(share.number), share.custodian):
                return share
        question = f"that is none of them; number or name ({listed})? "
    raise SecretStoreError(
        Problem(
            code="vault.share_wrong",
            summary=f"no custodian of a share was chosen in {TRIES} tries",
            where="vault.custodians",
            remedy=Remedy(f"run again and choose one of: {listed}"),
        )
    )


def _decryption(share: HandedShare) -> str:
    place = quote(share.place)
    if share.place.endswith(".asc"):
        return f"gpg --decrypt {place}"
    return f"age --decrypt -i KEY {place}" if share.place.endswith(".age") else f"cat {place}"


def _no_share(position: int) -> Problem:
    return Problem(
        code="vault.share_refused",
        summary=f"unseal share {position} is no share, neither base64 nor hex; it was not sent",
        where="vault.unseal_shares",
        remedy=Remedy(f"correct what reference {position} leads to: one decrypted share"),
    )


def _sealed(given: int, wanted: int) -> Problem:
    shares = "share" if wanted == 1 else "shares"
    return Problem(
        code="vault.sealed",
        summary=f"the secret server is sealed: it takes {wanted} {shares} to reach its threshold,"
        f" and {given or 'none'} of them can be had here",
        where="vault.unseal_shares",
        remedy=Remedy(
            f"run this on a terminal with the custodians of {wanted} {shares}, or refer to their"
            " decrypted shares in vault.unseal_shares",
            _UNSEAL,
        ),
    )
