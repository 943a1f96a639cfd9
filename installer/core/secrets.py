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
from installer.core.shares import canonical_share

__all__ = [
    "Secret",
    "SecretKind",
    "SecretSpec",
    "expand",
    "make_secret",
    "map_placeholders",
    "named_secrets",
    "parse_scram_verifier",
    "scram_verifier",
    "share_fingerprint",
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
    CERTIFICATE = "certificate"  # the same, of a server inside the platform; renewed in time
    ROOTS = "roots"  # what certificates of that kind are verified by; public


ISSUED = frozenset({SecretKind.CERTIFICATE, SecretKind.ROOTS})
"""Kinds that come from the authority of the platform's own servers and are renewed."""


@dataclass(frozen=True, slots=True)
class SecretSpec:
    """A secret that has to exist: its name in the store, its kind, and why.

    `answer` is the answer path that refers to its value, where one does; else it is made. `hosts`
    are the names that a certificate is for.
    """

    name: str
    kind: SecretKind
    purpose: str
    answer: str | None = None
    hosts: tuple[str, ...] = ()


def certificate_hosts(service: str, kind: SecretKind) -> tuple[str, ...]:
    """Names that a secret of this kind is for: the service's, and those of its own loopback."""
    return (service, "localhost", "127.0.0.1") if kind is SecretKind.CERTIFICATE else ()


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


_SEPARATORS = str.maketrans({"\u2028": "\\u2028", "\u2029": "\\u2029"})
"""JSON allows these two as they are, JavaScript did not; Go's encoder always escapes them."""


def _json_text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1].translate(_SEPARATORS)


_PLACEHOLDER = re.compile(r"\$\$\{|\$\{([^{}\n]*)\}|\$\{")
_FILTERS: Mapping[str, Callable[[str], str]] = {
    "id": lambda value: hashlib.sha256(value.encode()).hexdigest()[:8],
    "json": _json_text,
    "sha256": lambda value: hashlib.sha256(value.encode()).hexdigest(),
    "url": lambda value: quote(value, safe=""),
}


def expand(template: str, secrets: Mapping[str, Secret]) -> Secret:
    """The text with every placeholder replaced, in one pass: a value is never expanded again.

    `${name}` is the value; `${sha256:name}` its SHA-256 in hex (an access list's `#<hash>`);
    `${id:name}` the first 8 digits of that, which tell values apart in names;
    `${url:name}` percent-encoded for any part of a URL; `${json:name}` escaped for the inside of a
    double-quoted JSON or YAML text. `$${` stands for a literal `${`; any other `$` for itself.

    Raises:
        StackError: with every unknown name, unknown filter and unclosed placeholder.
    """

    def value(filter_name: str, name: str) -> str | Problem:
        if name not in secrets:
            return _bad_placeholder(
                f"unknown secret in ${{{filter_name + ':' if filter_name else ''}{name}}}",
                "declare it in a service's manifest, or write '$${' for a literal '${'",
            )
        value = secrets[name].reveal()
        return _FILTERS[filter_name](value) if filter_name else value

    return Secret(map_placeholders(template, literal=str, placeholder=value))


def map_placeholders(
    template: str,
    *,
    literal: Callable[[str], str],
    placeholder: Callable[[str, str], str | Problem],
) -> str:
    """The template with each literal part and each placeholder replaced by what a function makes.

    Args:
        template: As `expand` takes it.
        literal: Gets what stands between two placeholders, `$${` already turned into `${`.
        placeholder: Gets the filter, empty when there is none, and the name.

    Raises:
        StackError: with every unknown filter, unclosed placeholder and problem of `placeholder`.
    """
    made: list[str] = []
    problems: list[Problem] = []
    text, end = "", 0
    for match in _PLACEHOLDER.finditer(template):
        text, end = text + template[end : match.start()], match.end()
        if match[0] == "$${":
            text += "${"
            continue
        found = _read_placeholder(match[1])
        outcome = found if isinstance(found, Problem) else placeholder(*found)
        if isinstance(outcome, Problem):
            problems.append(outcome)
        else:
            made += (literal(text), outcome)
            text = ""
    if problems:
        raise StackError(*problems)
    return "".join((*made, literal(text + template[end:])))


def _read_placeholder(inside: str | None) -> tuple[str, str] | Problem:
    if inside is None:
        return _bad_placeholder("'${' without '}'", "close it, or write '$${'")
    filter_name, _, name = inside.rpartition(":")
    if filter_name and filter_name not in _FILTERS:
        return _bad_placeholder(
            f"unknown filter in ${{{inside}}}", f"use {', '.join(sorted(_FILTERS))}"
        )
    return filter_name, name


def share_fingerprint(share: Secret) -> str:
    """What a share may be known by: 16 hex digits of the SHA-256 of its base64 text.

    The same for its hex form.
    """
    text = canonical_share(share.reveal()) or share.reveal()
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
