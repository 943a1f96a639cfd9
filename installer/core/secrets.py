"""Secrets: a value that does not print itself, how one is made, and how it gets into a text.

Randomness comes in as an argument, so that all of this is a function of its inputs. Nothing here
stores, prints or sends a value; `redaction` finds and hides the values that got out.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote

from installer.core.errors import InternalError, Problem, Remedy, StackError
from installer.core.scram import parse_scram_verifier, scram_verifier_of

__all__ = [
    "Secret",
    "SecretKind",
    "SecretSpec",
    "expand",
    "make_secret",
    "named_secrets",
    "parse_scram_verifier",
    "scram_verifier",
]


class Secret:
    """A secret value. Only `reveal` gives it away; `repr`, `str` and pickling do not."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that hands it to its consumer."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


class SecretKind(StrEnum):
    """What a generated secret looks like; each kind fits the strictest of its consumers."""

    PASSWORD = "password"  # 40 letters and digits, 238 bits; URL-, shell- and YAML-safe
    TOKEN = "token"  # 64 letters and digits
    HEX16 = "hex16"  # 32 hex digits of 16 random bytes
    HEX32 = "hex32"  # 64 hex digits of 32 random bytes
    BASE64URL32 = "base64url32"  # 43 characters, 32 random bytes, no padding
    SK_TOKEN = "sk-token"  # "sk-" and 48 letters and digits
    PEM = "pem"  # a private key and its certificate; issued, never made by `make_secret`


@dataclass(frozen=True, slots=True)
class SecretSpec:
    """A secret that has to exist: its name in the store, its kind, and why."""

    name: str
    kind: SecretKind
    purpose: str


_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LOWER = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_LETTERS_AND_DIGITS = _UPPER + _LOWER + _DIGITS
_ATTEMPTS = 128
"""Redraws after which the source is taken for broken; a good one needs 2 in 1 run of 1000."""
_NUMBER = re.compile(r"[0-9]+(e[0-9]+)?", re.ASCII)
"""What a YAML reader takes for a number, among texts of hex digits (YAML 1.2.2, 10.3.2)."""


def make_secret(kind: SecretKind, random_bytes: Callable[[int], bytes]) -> Secret:
    """A fresh value of `kind`.

    `random_bytes(n)` gives n bytes of the system's generator. Every character is drawn uniformly by
    rejection. A hex text that a YAML reader would take for a number is drawn again, which costs
    less than 0.00001 bit; a password always has an upper-case letter, a lower-case one and a digit.

    Raises:
        StackError: for a kind that is issued, not made.
        InternalError: the source gives too few bytes, or the same ones over and over.
    """
    makers: Mapping[SecretKind, Callable[[], str]] = {
        SecretKind.PASSWORD: lambda: _draw(_LETTERS_AND_DIGITS, 40, random_bytes),
        SecretKind.TOKEN: lambda: _draw(_LETTERS_AND_DIGITS, 64, random_bytes),
        SecretKind.HEX16: lambda: _read(random_bytes, 16).hex(),
        SecretKind.HEX32: lambda: _read(random_bytes, 32).hex(),
        SecretKind.BASE64URL32: lambda: (
            urlsafe_b64encode(_read(random_bytes, 32)).decode("ascii").rstrip("=")
        ),
        SecretKind.SK_TOKEN: lambda: "sk-" + _draw(_LETTERS_AND_DIGITS, 48, random_bytes),
    }
    if kind not in makers:
        raise StackError(
            Problem(
                code="stack.secret_kind",
                summary=f"a secret of kind {kind.value!r} is issued with its certificate, not made",
                remedy=Remedy(f"declare one of: {', '.join(makers)}"),
            )
        )
    for _ in range(_ATTEMPTS):
        value = makers[kind]()
        if _fits(kind, value):
            return Secret(value)
    raise InternalError(_broken_source("gives the same bytes over and over"))


def _fits(kind: SecretKind, value: str) -> bool:
    if kind is SecretKind.PASSWORD:
        return all(any(c in group for c in value) for group in (_UPPER, _LOWER, _DIGITS))
    return _NUMBER.fullmatch(value) is None


def _draw(alphabet: str, count: int, random_bytes: Callable[[int], bytes]) -> str:
    # Bytes at or above the largest multiple of the alphabet's size would favour its first letters.
    limit = 256 - 256 % len(alphabet)
    chosen: list[str] = []
    for _ in range(_ATTEMPTS):
        drawn = _read(random_bytes, count)
        chosen += [alphabet[byte % len(alphabet)] for byte in drawn if byte < limit]
        if len(chosen) >= count:
            return "".join(chosen[:count])
    raise InternalError(_broken_source("gives no usable bytes"))


def _read(random_bytes: Callable[[int], bytes], count: int) -> bytes:
    data = random_bytes(count)
    if len(data) != count:
        raise InternalError(_broken_source(f"gave {len(data)} bytes instead of {count}"))
    return data


def _broken_source(what: str) -> Problem:
    return Problem(
        code="secret.entropy",
        summary=f"the random source {what}",
        remedy=Remedy("do not use secrets made by this run; check the system's random generator"),
    )


_PLACEHOLDER = re.compile(r"\$\$\{|\$\{([^{}\n]*)\}|\$\{")
_FILTERS: Mapping[str, Callable[[str], str]] = {
    "sha256": lambda value: hashlib.sha256(value.encode()).hexdigest(),
    "url": lambda value: quote(value, safe=""),
    "json": lambda value: json.dumps(value)[1:-1],
}


def expand(template: str, secrets: Mapping[str, Secret]) -> Secret:
    """The text with every placeholder replaced, in one pass: a value is never expanded again.

    `${name}` is the value; `${sha256:name}` its SHA-256 in hex (an access list's `#<hash>`);
    `${url:name}` percent-encoded for any part of a URL; `${json:name}` escaped for the inside of a
    double-quoted JSON or YAML text. `$${` stands for a literal `${`; any other `$` for itself.

    Raises:
        StackError: with every unknown name, unknown filter and unclosed placeholder.
    """
    problems: list[Problem] = []

    def replacement(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        if match[1] is None:
            problems.append(_bad_placeholder("'${' without '}'", "close it, or write '$${'"))
            return ""
        filter_name, _, name = match[1].rpartition(":")
        if filter_name and filter_name not in _FILTERS:
            allowed = ", ".join(_FILTERS)
            problems.append(
                _bad_placeholder(f"unknown filter in ${{{match[1]}}}", f"use {allowed}")
            )
        elif name not in secrets:
            problems.append(
                _bad_placeholder(
                    f"unknown secret in ${{{match[1]}}}",
                    "declare it in a service's manifest, or write '$${' for a literal '${'",
                )
            )
        else:
            value = secrets[name].reveal()
            return _FILTERS[filter_name](value) if filter_name else value
        return ""

    text = _PLACEHOLDER.sub(replacement, template)
    if problems:
        raise StackError(*problems)
    return Secret(text)


def named_secrets(template: str) -> frozenset[str]:
    """The names of the secrets that `expand` would look up in this template."""
    found = (match[1] for match in _PLACEHOLDER.finditer(template))
    return frozenset(inside.rpartition(":")[2] for inside in found if inside is not None)


def scram_verifier(password: Secret, salt: bytes, iterations: int = 4096) -> str:
    """What PostgreSQL stores for this password, so that no SQL text carries the password.

    Raises:
        ValueError: an empty salt, or fewer than 1 iteration.
    """
    return scram_verifier_of(password.reveal(), salt, iterations)


def _bad_placeholder(summary: str, remedy: str) -> Problem:
    return Problem(code="stack.placeholder", summary=summary, remedy=Remedy(remedy))
