"""Checks of host names, domains and e-mail addresses.

A name is stored in one form: lower case, ASCII, without a trailing dot (RFC 1035, 2.3; RFC 5891).
Nothing here resolves a name.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Sequence

import idna

from installer.core.fields import (
    Concern,
    FieldError,
    Verdict,
    first_invisible,
    reject,
    trim,
    visible,
    warn,
)

LONGEST_NAME = 253
"""Octets of a name in its text form (RFC 1035, 2.3.4, without the root label)."""
LONGEST_LABEL = 63

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.ASCII)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/+|//")
_PORT = re.compile(r"[^\s:/@]+:[0-9]{1,6}", re.ASCII)
_EMAIL_LIKE = re.compile(r"[^\s@`\"']+@[^\s@`\"']+")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII | re.IGNORECASE)
_SPECIAL_USE = frozenset(
    # RFC 6761, RFC 6762, RFC 7686, RFC 8375, RFC 9476, ICANN's .internal, and what is used as if
    [
        "local",
        "localhost",
        "localdomain",
        "test",
        "example",
        "invalid",
        "onion",
        "alt",
        "internal",
        "intranet",
        "private",
        "corp",
        "home",
        "lan",
        "arpa",
    ]
)
_RESERVED_DOMAINS = ("example.com", "example.net", "example.org")  # RFC 6761, 6.5


def check_base_domain(raw: object) -> Verdict:
    """The domain below which the public names lie; refuses what no certificate can be had for."""
    verdict = check_public_name(raw)
    if not is_reserved(verdict.value):
        return verdict
    concern = warn(
        "domain.not_public",
        f"{verdict.value} is no public domain: no public authority issues a certificate for it",
        "use a domain that you own, or a private CA that your users' browsers trust",
    )
    return Verdict(verdict.value, (*verdict.concerns, concern))


def check_public_name(raw: object) -> Verdict:
    """A fully qualified host name, in its ASCII form."""
    text = trim(str(raw))
    _refuse_other_kinds(text)
    if text.startswith("*"):
        raise reject(
            "domain.wildcard_here",
            f"{visible(text)} has a star, and the star is added where it is needed",
            f"write it without the star: {visible(text.lstrip('*.') or 'company.com')}",
        )
    name, concerns = _to_ascii(text)
    if is_address(name):
        raise _is_ip(text)
    if "." not in name:
        raise reject(
            "domain.single_label",
            f"{visible(text)} has a single label: no certificate can be had for it, and cookies"
            " cannot be scoped to it",
            "write a domain with a dot, as company.com",
        )
    return Verdict(name, concerns)


def check_wildcard(raw: object) -> Verdict:
    """`*.` and a host name; `none` (kept as an empty text) for no such name."""
    text = trim(str(raw))
    if text.lower() in ("", "none"):
        return Verdict("")
    if not text.startswith("*."):
        raise reject(
            "domain.wildcard_form",
            f"{visible(text)} does not begin with '*.'",
            "write '*.' and the host whose sub-names are meant, as *.apps.company.com; or none",
        )
    verdict = check_public_name(text[2:])
    return Verdict(f"*.{verdict.value}", verdict.concerns)


def is_reserved(name: str) -> bool:
    """Whether the name is set aside, so that it exists in no public DNS."""
    within_reserved = any(name == d or name.endswith(f".{d}") for d in _RESERVED_DOMAINS)
    return within_reserved or name.rpartition(".")[2] in _SPECIAL_USE


def is_address(text: str) -> bool:
    """Whether the text is, or would be read as, an IP address (WHATWG URL, 3.5)."""
    bare = text.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        last = text.removesuffix(".").rpartition(".")[2]
        return bool(_NUMERIC_LABEL.fullmatch(last))
    return True


def _refuse_other_kinds(text: str) -> None:
    if not text:
        raise reject("domain.empty", "the name is empty; it is required", "write a domain name")
    if is_address(text):
        raise _is_ip(text)
    if _SCHEME.match(text) or re.fullmatch(r"[^\s/`\"']+/[^\s`\"']*", text):
        raise reject(
            "domain.is_url",
            f"{visible(text)} is a URL",
            "write the name alone, without https:// and without a path",
        )
    if _EMAIL_LIKE.fullmatch(text):
        raise reject(
            "domain.is_email",
            f"{visible(text)} is an e-mail address",
            "write the part after the @ alone",
        )
    if _PORT.fullmatch(text):
        raise reject(
            "domain.has_port",
            f"{visible(text)} has a port",
            "write the name alone; ports are not chosen here",
        )


def _is_ip(text: str) -> FieldError:
    return reject(
        "domain.is_ip",
        f"{visible(text)} is an address, not a name",
        "write a domain name, as company.com; certificates and cookies need one",
    )


def _to_ascii(text: str) -> tuple[str, tuple[Concern, ...]]:
    """The stored form of a name, and whether a look-alike is suspected."""
    if len(text) > LONGEST_NAME * 4:
        raise _too_long(text)
    _refuse_characters(text)
    # the dots of IDNA (RFC 3490, 3.1): ideographic and full-width full stops end a label as well
    folded = re.sub("[\u3002\uff0e\uff61]", ".", unicodedata.normalize("NFC", text))
    labels = folded.removesuffix(".").split(".")
    if not all(labels):
        raise reject(
            "domain.empty_label",
            f"{visible(text)} has an empty label: two dots in a row, or one at the start",
            "write labels with one dot between them, as company.com",
        )
    encoded = [_encode_label(label, text) for label in labels]
    name = ".".join(encoded)
    if len(name) > LONGEST_NAME:
        raise _too_long(text)
    return name, _suspect(encoded, name, text)


def _refuse_characters(text: str) -> None:
    bad = first_invisible(text)
    for char in text:
        if char.isascii() and not (char.isalnum() or char in "-."):
            bad = bad or char
    if bad:
        raise reject(
            "domain.bad_char",
            f"{visible(text)} holds {bad!r}, which is not allowed in host names"
            if len(bad) == 1
            else f"{visible(text)} holds the invisible character {bad}",
            "use letters, digits and hyphens, with dots between labels",
        )


def _encode_label(label: str, text: str) -> str:
    if label.startswith("-") or label.endswith("-"):
        raise reject(
            "domain.hyphen",
            f"{visible(text)} has a label that begins or ends with a hyphen",
            "take the hyphen away",
        )
    encoded = label.lower()
    if not label.isascii() or encoded.startswith("xn--"):
        encoded = _encode_idna(label, text)
    if len(encoded) > LONGEST_LABEL:
        raise reject(
            "domain.label_too_long",
            f"{visible(text)} has a label of {len(encoded)} octets; at most {LONGEST_LABEL} are"
            " possible",
            "shorten that label",
        )
    return encoded


def _encode_idna(label: str, text: str) -> str:
    # the prefix xn-- and the label in Punycode (RFC 3492)
    if len(label) > LONGEST_LABEL or len(label.encode("punycode")) + 4 > LONGEST_LABEL:
        raise reject(
            "domain.label_too_long",
            f"{visible(text)} has a label of more than {LONGEST_LABEL} octets",
            "shorten that label",
        )
    try:
        if label.lower().startswith("xn--"):
            encoded = idna.alabel(idna.ulabel(label.lower())).decode("ascii")
            return encoded if encoded == label.lower() else _bad_idna(text, "is not canonical")
        encoded = idna.encode(label, uts46=True).decode("ascii")
        # a mapping may bring in dots, as that of "…"
        return encoded if _LABEL.fullmatch(encoded) else _bad_idna(text, "is not one label")
    except idna.IDNAError as error:
        return _bad_idna(text, "is not allowed (RFC 5891)", error)
    except UnicodeError as error:
        return _bad_idna(text, "cannot be encoded", error)


def _bad_idna(text: str, why: str, cause: Exception | None = None) -> str:
    raise reject(
        "domain.bad_idna",
        f"{visible(text)} has an internationalised label that {why}",
        "write the name in its own script, or its ASCII form as the registry shows it",
    ) from cause


def _too_long(text: str) -> FieldError:
    return reject(
        "domain.too_long",
        f"{visible(text)} is longer than {LONGEST_NAME} octets",
        f"choose a name that stays within {LONGEST_NAME} octets",
    )


# Letters that most fonts draw like Latin ones (Unicode TR 39, confusables.txt, single letters).
_LATIN_LOOK = frozenset("асԁеһіјӏорԛѕԝхуѵґκονραιυչհոսցօ" + "ѐёїўӧӱӓӑӗ")
_WRITTEN_TOGETHER = (
    # TR 39, 5.2 "highly restrictive", and what needs no second script
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
)


def _suspect(labels: Sequence[str], name: str, text: str) -> tuple[Concern, ...]:
    for label in labels:
        if label.startswith("xn--") and _is_look_alike(idna.ulabel(label)):
            return (
                warn(
                    "domain.mixed_script",
                    f"{visible(text)} is {name} in ASCII: letters of another script look like Latin"
                    " ones",
                    f"confirm that {name} is the domain you own, or write it with Latin letters",
                ),
            )
    return ()


def _is_look_alike(label: str) -> bool:
    letters = [char for char in label if unicodedata.category(char)[0] in "LM"]
    scripts = {unicodedata.name(char, "UNKNOWN").split()[0] for char in letters}
    scripts -= {"COMBINING", "MODIFIER"}
    if len(scripts) > 1:
        return not any(scripts <= together for together in _WRITTEN_TOGETHER)
    return scripts != {"LATIN"} and all(char in _LATIN_LOOK for char in letters)


_LOCAL = re.compile(r"[^\s@\"(),:;<>\[\]\\.]+(?:\.[^\s@\"(),:;<>\[\]\\.]+)*")
_ASCII_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+", re.ASCII)
_LONGEST_LOCAL = 64  # RFC 5321, 4.5.3.1.1
_LONGEST_ADDRESS = 254  # RFC 3696, erratum 1690


def check_email(raw: object) -> Verdict:
    """A plain address `local@domain` (RFC 5321, dot-atom), its domain in the stored form."""
    text = trim(str(raw))
    local, _, domain = text.rpartition("@")
    plain = (
        len(text) <= _LONGEST_ADDRESS
        and len(local.encode("utf-8", "replace")) <= _LONGEST_LOCAL
        and not first_invisible(text)
        and _LOCAL.fullmatch(local)
    )
    if not plain:
        raise _email_form(text)
    try:
        name = check_public_name(domain)
    except FieldError as error:
        raise _email_form(text, error.concerns[0].summary) from error
    if domain.endswith("."):
        raise _email_form(text)
    concerns = name.concerns
    if not _ASCII_LOCAL.fullmatch(local):
        concern = warn(
            "email.non_ascii",
            f"{visible(text)} has letters beyond ASCII before the @; many mail systems cannot"
            " deliver to it, and ACME contacts must be ASCII",
            "use an ASCII address",
        )
        concerns = (*concerns, concern)
    return Verdict(f"{local}@{name.value}", concerns)


def check_admin_email(raw: object) -> Verdict:
    """An address in lower case: identities are matched across services by it."""
    verdict = check_email(raw)
    return Verdict(verdict.value.lower(), verdict.concerns)


def check_acme_email(raw: object) -> Verdict:
    """An address that an ACME authority accepts as a contact."""
    verdict = check_email(raw)
    domain = verdict.value.rpartition("@")[2]
    if is_reserved(domain):
        raise reject(
            "email.reserved",
            f"{visible(verdict.value)} lies in a reserved domain; ACME authorities refuse it",
            "give an address that is read by somebody",
        )
    return verdict


def _email_form(text: str, why: str = "") -> FieldError:
    if not text:
        return reject(
            "email.form", "the address is empty; it is required", "write name@company.com"
        )
    return reject(
        "email.form",
        f"{visible(text)} is not a plain e-mail address{': ' + why if why else ''}",
        "write name@company.com: no display name, no quotes, a domain with a dot",
    )
