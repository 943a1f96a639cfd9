"""Checks of secrets: the references in the answers, and the values they lead to.

No message made here holds a value or a part of one (BR-03). A value is taken byte for byte: it is
never trimmed, folded or expanded.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, urlsplit

from installer.core.errors import Problem, Remedy
from installer.core.fields import Check, FieldError, Verdict, as_items, check_each, reject
from installer.core.fields_engines import check_certificate_pem, check_key_pem
from installer.core.secretrefs import (
    SECRET_FORMS,
    SecretRef,
    SecretSource,
    literal,
    parse_secret_ref,
)
from installer.core.secrets import Secret

ValueCheck = Callable[[str], None]
SHORTEST_PASSWORD = 15
"""Characters of the administrator's password (NIST SP 800-63B-4, 3.1.1.2, single factor)."""
LONGEST_PASSWORD = 72
"""Bytes that every consumer's hash function takes into account; bcrypt ignores what follows."""
_LONGEST_SECRET = 4096


def check_reference(value_check: ValueCheck, *, generated: bool = False) -> Check:
    """A check for a field that holds a secret by reference.

    Args:
        value_check: Judges a value that is given instead of a reference.
        generated: The product may make the value.
    """

    def check(raw: object) -> Verdict:
        if isinstance(raw, SecretRef):
            return Verdict(raw)
        reference = _read_reference(str(raw))
        if reference.source is SecretSource.GENERATE and not generated:
            raise reject(
                "secret.not_generated",
                "this secret exists elsewhere already and cannot be generated",
                "refer to it: env:NAME, file:/path or prompt",
            )
        if reference.value is not None:
            value = reference.value.reveal()
            if not str(raw).startswith("literal:"):
                refuse_expansion(value)
            value_check(value)
        return Verdict(reference)

    return check


def check_references(value_check: ValueCheck) -> Check:
    """A check for a list of secrets by reference."""
    check = check_reference(value_check)
    return lambda raw: check_each(as_items(raw), check)


def _read_reference(text: str) -> SecretRef:
    if not text:
        raise reject("secret.empty", "the secret is empty", f"refer to it: {SECRET_FORMS}")
    try:
        return parse_secret_ref(text) or literal(text)
    except ValueError as error:
        raise reject("secret.ref_form", str(error), f"write one of {SECRET_FORMS}") from error


_EXPANSION = re.compile(
    r"\$\{[^{}]*\}|\$[A-Za-z_]\w*|\$\([^()]*\)|\{\{[^{}]*\}\}|%[A-Za-z_]\w*%|<[A-Za-z][\w -]*>"
)


def refuse_expansion(value: str) -> None:
    """Refuse a value that is nothing but a variable or placeholder; nothing expands it here."""
    if len(value) <= 200 and _EXPANSION.fullmatch(value.strip()):
        raise reject(
            "secret.looks_like_reference",
            "the value is a bare variable or placeholder, and nothing would replace it",
            "write env:NAME to read a variable; if it is the value itself, mark it literal:",
        )


def check_secret_text(value: str) -> None:
    """What every secret has to be: one line of characters that programs can be given."""
    if not value:
        raise reject("secret.empty", "the secret is empty", "give it a value")
    if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in value):
        raise reject(
            "password.control_char",
            "the value holds a line break, a NUL or another control character, which programs"
            " cut off or reject",
            "use visible characters and blanks; check how the value was copied",
        )
    if len(value) > _LONGEST_SECRET:
        raise reject(
            "password.too_long",
            f"the value is longer than {_LONGEST_SECRET} characters, the longest that is possible",
            "choose a shorter value",
        )


def check_admin_password(value: str) -> None:
    """The administrator's password: long, unguessable, and kept whole by every consumer."""
    check_secret_text(value)
    if len(value) < SHORTEST_PASSWORD:
        raise reject(
            "password.too_short",
            f"the password has fewer than {SHORTEST_PASSWORD} characters",
            f"choose one of at least {SHORTEST_PASSWORD} characters, or write generate",
        )
    if len(value.encode()) > LONGEST_PASSWORD:
        raise reject(
            "password.too_long",
            f"the password has more than {LONGEST_PASSWORD} bytes, the longest that every service"
            " takes whole",
            f"choose one of at most {LONGEST_PASSWORD} bytes, or write generate",
        )
    if _is_guessable(value):
        raise reject(
            "password.common",
            "the password is made of common words, rows and repetitions: it is on the lists that"
            " are tried first",
            "choose several words that do not belong together, or write generate",
        )


_LEET = str.maketrans("013457@$!|", "oieastasil")
_WORDS = """
administrator password passwort passw passwd princess sunshine football baseball superman iloveyou
trustno welcome letmein whatever computer internet starwars pokemon michael charlie jordan monkey
dragon master shadow secret summer winter spring autumn qwerty qwertz azerty changeme default
testing devplat company login admin hello guest love root test user pass abc
"""
_ROWS = (
    "01234567890123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "qwertzuiop", "azertyuiop",
    "asdfghjkl", "zxcvbnm", "yxcvbnm",
)  # fmt: skip
_LEAST_REST = 5
"""Characters that must be left when everything guessable is taken away."""


def _is_guessable(value: str) -> bool:
    lower = value.lower()
    if len(set(lower)) < 5:
        return True
    period = (lower + lower).find(lower, 1)
    if period <= len(lower) // 2 and period < 8:
        return True
    rest = min((_without_common(form) for form in (lower, lower.translate(_LEET))), key=len)
    return len(rest) < _LEAST_REST


def _without_common(text: str) -> str:
    """The text without rows of keys or digits, common words, and years."""
    for row in (*_ROWS, *(row[::-1] for row in _ROWS)):
        for length in range(len(row), 2, -1):
            for start in range(len(row) - length + 1):
                text = text.replace(row[start : start + length], "\0")
    for word in _WORDS.split():
        text = text.replace(word, "\0")
    text = re.sub(r"(.)\1{2,}", "\0", text)
    return re.sub(r"(?:19|20)[0-9]{2}|\0", "", text)


_VAULT_TOKEN = re.compile(r"[A-Za-z0-9_.-]{20,2048}", re.ASCII)


def check_vault_token(value: str) -> None:
    """A token of the secret store: at least as long as the shortest form that is issued."""
    if not _VAULT_TOKEN.fullmatch(value):
        raise reject(
            "vault.token_form",
            "the value is no token: at least 20 letters, digits, dots, - and _",
            "copy the whole token, as hvs.…",
        )


_SHARE = re.compile(
    r"(?:[0-9a-fA-F]{2}){17,33}"
    r"|(?=.{24,44}\Z)(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
    re.ASCII,
)


def check_unseal_share(value: str) -> None:
    """A key share as the server issues it: hex digits or Base64 of a key and one byte more."""
    if not _SHARE.fullmatch(value):
        raise reject(
            "vault.share_form",
            "the value is no key share: hex digits or Base64 of 17 to 33 bytes",
            "give the share alone, decrypted by its custodian",
        )


_JWT = re.compile(r"[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}", re.ASCII)
_LONGEST_JWT = 16 * 1024


def check_jwt(value: str) -> None:
    """A signed JSON Web Token in its compact form (RFC 7515, 7.1)."""
    if len(value) > _LONGEST_JWT or not _JWT.fullmatch(value):
        raise reject(
            "vault.jwt_form",
            "the value is no signed token of three parts with dots between them",
            "give the whole token as its issuer made it, as eyJ….….…",
        )


_VERIFIED = ("verify-full",)
_DATABASE_EXAMPLE = "postgres://user@host:5432/name?sslmode=verify-full"


def check_database_url(value: str) -> None:
    """The URL of an external database (libpq, 32.1.1.2) with TLS that verifies the server."""
    check_secret_text(value)
    if not _is_database_url(value):
        raise reject(
            "database.url_form",
            "the value is no URL of a database, written as text and without a password",
            f"write it as {_DATABASE_EXAMPLE}",
        )
    modes = parse_qs(urlsplit(value).query, keep_blank_values=True).get("sslmode", [])
    if len(modes) != 1 or modes[0] not in _VERIFIED:
        seen = f"sslmode={modes[0][:20]}" if modes and modes[0].isalpha() else "no single sslmode"
        raise reject(
            "database.tls_off",
            f"the URL has {seen}; without sslmode=verify-full the server is not verified",
            "add sslmode=verify-full",
        )


def _is_database_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return False
    plain = parts.netloc.count("@") <= 1 and not re.search(r"[\s\"'`\\<>{}]", value)
    name = parts.path.removeprefix("/")
    known = parts.scheme in {"postgres", "postgresql"}
    return bool(
        known and plain and parts.hostname and port != 0 and name and "/" not in name
        and not parts.fragment
    )  # fmt: skip


def check_database_address(raw: object) -> Verdict:
    """A database's URL as text: it is rendered, so it holds no password."""
    text = str(raw).strip()
    check_database_url(text)
    if urlsplit(text).password is not None:
        raise reject(
            "database.url_secret",
            "the URL holds a password",
            "write it without, and refer to the password in database.password",
        )
    return Verdict(text)


VALUE_CHECKS: Mapping[str, ValueCheck] = {
    "admin.password": check_admin_password,
    "vault.jwt": check_jwt,
    "vault.seal_token": check_vault_token,
    "vault.token": check_vault_token,
    "vault.unseal_shares": check_unseal_share,
    "workspaces.certificate": check_certificate_pem,
    "workspaces.key": check_key_pem,
}
"""Answer path to the check of its value; every other secret is judged by `check_secret_text`."""


def check_secret_value(path: str, secret: Secret) -> tuple[Problem, ...]:
    """What is wrong with the value that the reference at `path` led to; empty when nothing is.

    Called wherever a reference is resolved (a variable, a file, a prompt). An element of a list
    has its number in `path`, as `vault.unseal_shares[1]`. No problem holds the value.
    """
    value = secret.reveal()
    try:
        refuse_expansion(value)
        VALUE_CHECKS.get(path.partition("[")[0], check_secret_text)(value)
    except FieldError as error:
        return tuple(
            Problem(c.code, c.summary, Remedy(c.remedy), where=path) for c in error.concerns
        )
    return ()
