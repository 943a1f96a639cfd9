"""What the answers about the secret store say of each other.

A rule sees the values that were acceptable by themselves and says nothing where one of its values
is missing. No message holds a secret or a custodian's key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from installer.core.answers_findings import AnswersRule, Finding, Values
from installer.core.fields import Concern, warn
from installer.core.fields_stores import is_kms_key
from installer.core.secretrefs import SecretRef, SecretSource

POSSESSION = "vault.possession_unproven"
"""The warning that is none where somebody is there to type a share back."""


def _threshold_fits(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    shares, threshold = values.get("vault.key_shares"), values.get("vault.key_threshold")
    if shares is None or threshold is None:
        return
    if threshold > shares or (threshold == 1 and shares > 1):
        concern = Concern(
            "vault.threshold",
            f"a threshold of {threshold} does not fit {shares} key shares; allowed:"
            f" {min(2, shares)} to {shares}",
            f"write a threshold from {min(2, shares)} to {shares}",
        )
        yield Finding("vault.key_threshold", concern, ("vault.key_shares",))


def _every_share_has_a_custodian(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    custodians, shares = values.get("vault.custodians"), values.get("vault.key_shares")
    if not custodians or shares is None:
        return
    if len(custodians) != shares:
        concern = Concern(
            "vault.custodians",
            f"there are {shares} key shares and {len(custodians)} custodians; each share has one",
            f"name {shares} custodians, or write key_shares: {len(custodians)}",
        )
        yield Finding("vault.custodians", concern, ("vault.key_shares",))
    if twice := _holder_of_two(custodians):
        concern = Concern(
            "vault.custodians",
            f"{twice[0]} and {twice[1]} have the same key: one person would hold two shares",
            "give every custodian a key of their own",
        )
        yield Finding("vault.custodians", concern)


def _holder_of_two(custodians: Values) -> tuple[str, str] | None:
    seen: dict[str, str] = {}
    for name, key in custodians.items():
        # what follows an SSH key is a comment
        bare = " ".join(key.split()[:2]) if key.startswith("ssh-") else key
        if bare in seen:
            return seen[bare], name
        seen[bare] = name
    return None


def _shares_are_encrypted(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    custodians, seal = _answer(values, "custodians"), _answer(values, "seal")
    if _is_bundled(values) and custodians == {} and seal == "shamir":
        concern = warn(
            "vault.plain_shares",
            "no custodian is named, so the key shares come out in clear, all in one place",
            "name a custodian with a public key for each share in vault.custodians",
        )
        yield Finding("vault.custodians", concern)


def _possession_is_proven(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    if _is_bundled(values):
        concern = warn(
            POSSESSION,
            "nobody is there to type a key share back, so it stays unproven that the custodians"
            " can open what was handed over",
            "run the first installation at a terminal, with a custodian",
        )
        yield Finding("vault.mode", concern)


def _seal_is_a_decision(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    seal = values.get("vault.seal")
    if seal and seal != "shamir":
        concern = warn(
            "vault.auto_unseal",
            f"with seal {seal} nobody is needed to unseal: whoever holds the host and may use that"
            " key reads every secret",
            "write seal: shamir, so that people with key shares are needed",
        )
        yield Finding("vault.seal", concern)


_SEALS: dict[str, tuple[str, ...]] = {
    "shamir": (),
    "transit": ("seal_address", "seal_key", "seal_token"),
    "awskms": ("seal_key", "seal_region"),
}
"""What each seal cannot do without."""
_SAYS_NOTHING = (None, "transit")
"""Defaults of fields of a seal: a file that was written from complete answers has them."""
_SEAL_FIELDS = ("seal_address", "seal_key", "seal_mount", "seal_token", "seal_region")


def _seal_has_what_it_needs(values: Values, given: Collection[str]) -> Iterator[Finding]:
    seal = values.get("vault.seal")
    if seal is None:
        return
    taken = {*_SEALS[seal], *(("seal_mount",) if seal == "transit" else ())}
    for name in _SEAL_FIELDS:
        path = f"vault.{name}"
        if name not in taken and path in given and values.get(path) not in _SAYS_NOTHING:
            owners = [s for s, names in _SEALS.items() if name in names] or ["transit"]
            yield _about_seal(
                path,
                f"{name} has no meaning with seal {seal}",
                f"delete it, or write seal: {' or '.join(owners)}",
            )
        elif name in _SEALS[seal] and path in values and values[path] is None:
            yield _about_seal(path, f"seal {seal} needs {name}", f"write {path}")


def _seal_is_supported(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    flavor, seal, key = (_answer(values, name) for name in ("flavor", "seal", "seal_key"))
    if seal != "awskms":
        return
    if flavor == "openbao":
        yield _about_seal(
            "vault.seal",
            "the flavor openbao has the seal awskms only as a plugin that is not part of its image",
            "write flavor: vault, or seal: transit",
            "vault.flavor",
        )
    if key is not None and not is_kms_key(key):
        yield _about_seal(
            "vault.seal_key",
            "the key has none of the forms of a key of AWS KMS: an id, an alias/NAME, or an ARN",
            "copy the key's ARN, or write alias/devplat-unseal",
        )


def _about_seal(where: str, summary: str, remedy: str, involved: str = "vault.seal") -> Finding:
    return Finding(where, Concern("vault.seal", summary, remedy), (involved,))


def _references_unseal(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    references = values.get("vault.unseal_shares")
    shares, threshold = values.get("vault.key_shares"), values.get("vault.key_threshold")
    if not references or shares is None or threshold is None:
        return
    where = ("vault.key_shares", "vault.key_threshold")
    if len(references) > shares:
        summary = f"there are {len(references)} references to {shares} key shares"
        yield _about_unsealing(summary, f"give at most {shares}", where)
    elif len(references) < threshold <= shares:
        summary = f"{len(references)} of {threshold} key shares do not unseal"
        yield _about_unsealing(summary, f"give {threshold}, or none to have them asked for", where)
    if len(set(references)) < len(references):
        yield _about_unsealing("one key share is given twice", "give different ones", where)
    seal = _answer(values, "seal") or "shamir"
    if seal != "shamir":
        summary = f"seal {seal} unseals without key shares"
        yield _about_unsealing(summary, "delete unseal_shares, or write seal: shamir", where)


def _about_unsealing(summary: str, remedy: str, involved: tuple[str, ...]) -> Finding:
    return Finding("vault.unseal_shares", Concern("vault.unseal_shares", summary, remedy), involved)


_LOGINS: dict[str, tuple[str, ...]] = {
    "token": ("token",),
    "AppRole": ("role_id", "secret_id"),
    "JWT": ("jwt", "jwt_role"),
}
_LOGIN_FIELDS = tuple(name for names in _LOGINS.values() for name in names)
_LOGIN_REMEDY = "give one of: token; role_id and secret_id; jwt and jwt_role"


def _there_is_one_login(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    paths = tuple(f"vault.{name}" for name in _LOGIN_FIELDS)
    if _answer(values, "mode") != "external" or any(path not in values for path in paths):
        return
    begun = {
        login: [name for name in names if values[f"vault.{name}"] is not None]
        for login, names in _LOGINS.items()
    }
    chosen = [login for login, names in begun.items() if names]
    if len(chosen) != 1:
        summary = (
            f"there are {len(chosen)} ways to log in: {', '.join(chosen)}; exactly one is needed"
            if chosen
            else "there is no way to log in; exactly one is needed"
        )
        # what comes last is blamed, as the one that is too much
        where = begun[chosen[-1]][0] if chosen else "token"
        yield _about_login(where, summary, _LOGIN_REMEDY, paths)
        return
    for name in _LOGINS[chosen[0]]:
        if name not in begun[chosen[0]]:
            summary = f"{begun[chosen[0]][0]} is no login without {name}"
            yield _about_login(name, summary, f"write vault.{name} too", paths)
    if chosen[0] == "token" and _answer(values, "auth_mount"):
        summary = "auth_mount has no meaning with a token"
        yield _about_login("auth_mount", summary, "delete it", ("vault.token",))


def _login_comes_from_elsewhere(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    if _answer(values, "mode") != "external":
        return
    for name in ("token", "secret_id", "jwt"):
        if _is_in_vault(values.get(f"vault.{name}")):
            yield _about_login(
                name,
                f"{name} is in the very store that it is to open",
                "refer to it elsewhere: env:NAME, file:/path or prompt",
                ("vault.mode",),
            )


def _is_in_vault(reference: Any) -> bool:
    return isinstance(reference, SecretRef) and reference.source is SecretSource.VAULT


def _about_login(name: str, summary: str, remedy: str, involved: tuple[str, ...]) -> Finding:
    return Finding(f"vault.{name}", Concern("vault.login", summary, remedy), involved)


def _is_bundled(values: Values) -> bool:
    return bool(_answer(values, "mode") == "bundled")


def _answer(values: Values, name: str) -> Any:
    """A value of the section; None where this alternative has no such field, or it failed."""
    return values.get(f"vault.{name}")


VAULT_RULES: tuple[AnswersRule, ...] = (
    _threshold_fits,
    _every_share_has_a_custodian,
    _shares_are_encrypted,
    _possession_is_proven,
    _seal_is_a_decision,
    _seal_has_what_it_needs,
    _seal_is_supported,
    _references_unseal,
    _there_is_one_login,
    _login_comes_from_elsewhere,
)
