"""The detector (SE-28, forms of SE-01) and the filter on the way out (SE-24)."""

from __future__ import annotations

import base64
import html
import json
import random
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from installer.core.redaction import MARK, Redactor, find_secrets
from installer.core.secrets import ISSUED, Secret, SecretKind, make_secret

CANARY = make_secret(SecretKind.PASSWORD, random.Random("canary").randbytes).reveal()
TYPED = 'pa$$word <&> "it\'s" \\ /é-16ch'
SECRETS = {"canary": Secret(CANARY), "typed": Secret(TYPED)}
ROOT = Path(__file__).parents[2]


def b64(value: str, before: bytes = b"", after: bytes = b"") -> bytes:
    return base64.b64encode(before + value.encode() + after)


PLANTS: dict[str, Callable[[str], bytes]] = {
    "value": lambda v: v.encode(),
    "base64 first alignment": b64,
    "base64 second alignment": lambda v: b64(v, b"u", b"tail"),
    "base64 third alignment": lambda v: b64(v, b"user:"[:2], b":x"),
    "base64url": lambda v: base64.urlsafe_b64encode(b"\xff\xfe" + v.encode() + b"\xfb"),
    "hex": lambda v: v.encode().hex().encode(),
    "HEX": lambda v: v.encode().hex().upper().encode(),
    "URL-encoded": lambda v: quote(v, safe="").encode(),
    "URL-encoded lower": lambda v: re.sub("%..", lambda m: m[0].lower(), quote(v)).encode(),
    "form-encoded": lambda v: quote_plus(v).encode(),
    "JSON-escaped": lambda v: json.dumps({"a": v}).encode(),
    "JSON-escaped, not ASCII": lambda v: json.dumps({"a": v}, ensure_ascii=False).encode(),
    "JSON in JSON": lambda v: json.dumps({"log": json.dumps({"a": v})}).encode(),
    "YAML folded": lambda v: yaml.dump({"a": "word " * 11 + v}, width=60).encode(),
    "YAML cut": lambda v: f'a: "{v[:20]}\\\n   {v[20:]}"'.encode(),
    "reversed": lambda v: v[::-1].encode(),
    "first half": lambda v: v[: len(v) // 2].encode(),
    "second half": lambda v: v[len(v) // 2 :].encode(),
    "compose": lambda v: v.replace("$", "$$").encode(),
    "HTML": lambda v: html.escape(v).encode(),
    "MIME base64": lambda v: base64.encodebytes(b"x" * 40 + v.encode() + b"y" * 80),
    "hex dump": lambda v: "\n".join(textwrap.wrap(v.encode().hex(), 32)).encode(),
}


@pytest.mark.parametrize("name", ["canary", "typed"])
@pytest.mark.parametrize("form", PLANTS)
def test_se_28_a_planted_secret_is_found(form: str, name: str) -> None:
    planted = PLANTS[form](SECRETS[name].reveal())
    data = b"# a rendered file\nlisten: 443\n" + planted + b"\nend: true\n"
    hits = find_secrets(data, SECRETS)
    assert {hit.name for hit in hits} == {name}
    assert all(0 <= hit.offset < len(data) for hit in hits)
    assert CANARY not in repr(hits)
    assert TYPED not in repr(hits)


@pytest.mark.parametrize("place", ["file", "log", "environment", "argument"])
def test_se_28_the_four_places_of_the_catalogue(place: str) -> None:
    text = {
        "file": f"database:\n  password: {CANARY}\n",
        "log": f'time="x" level=debug msg="connect as u:{CANARY}"\n',
        "environment": f"PATH=/bin\0DB_PASSWORD={CANARY}\0HOME=/\0",
        "argument": f"psql\0--password={CANARY}\0",
    }[place]
    (first, *_) = find_secrets(text.encode(), SECRETS)
    assert (first.name, first.offset) == ("canary", text.index(CANARY[:20]))


def test_se_28_clean_data_is_not_flagged() -> None:
    source = random.Random("clean")
    secrets = {
        f"{kind}-{i}": make_secret(kind, source.randbytes)
        for kind in SecretKind
        if kind not in {SecretKind.PEM, *ISSUED}
        for i in range(10)
    }
    secrets["short"] = Secret("abc")
    files = sorted(ROOT.glob("installer/core/*.py")) + sorted(ROOT.glob("tests/acceptance/*.yaml"))
    assert len(files) > 10
    for file in files:
        assert find_secrets(file.read_bytes(), secrets) == (), file
    noise = random.Random("noise").randbytes(200_000)
    assert find_secrets(noise + base64.b64encode(noise) + noise.hex().encode(), secrets) == ()


def test_a_value_too_short_to_tell_from_words_is_not_looked_for() -> None:
    assert find_secrets(b"the cat sat", {"s": Secret("cat")}) == ()
    assert Redactor([Secret("cat")]).redact("the cat 636174 Y2F0") == "the cat 636174 Y2F0"


def test_the_offset_of_a_folded_secret_is_where_it_begins() -> None:
    data = b"x: >-\n  words and words\n  " + CANARY[:7].encode() + b"\n  " + CANARY[7:].encode()
    folded = [h for h in find_secrets(data, SECRETS) if h.form == "value, folded"]
    assert [h.offset for h in folded] == [data.index(CANARY[:7].encode())]


PEM = "-----BEGIN PRIVATE KEY-----\n{}\n{}\n-----END PRIVATE KEY-----\n"
CERT = PEM.replace("PRIVATE KEY", "CERTIFICATE").format("MIIB" + "public" * 6, "public")


def test_a_line_of_a_private_key_is_found_and_a_public_certificate_beside_it_is_not() -> None:
    line = base64.b64encode(random.Random(5).randbytes(48)).decode()
    secrets = {"key": Secret(PEM.format(line, line[::-1][:40]) + CERT)}
    assert find_secrets(b"log: " + line.encode(), secrets)
    assert find_secrets(CERT.encode(), secrets) == ()
    redacted = Redactor(secrets.values()).redact(f"out: {line} and {CERT}")
    assert line not in redacted
    assert CERT in redacted


ENCODINGS: dict[str, Callable[[str], str]] = {
    "value": lambda v: v,
    "hex": lambda v: v.encode().hex(),
    "base64": lambda v: base64.b64encode(v.encode()).decode(),
    "base64 of a pair": lambda v: base64.b64encode(f"user:{v}".encode()).decode(),
    "base64 in the middle": lambda v: base64.b64encode(f"user{v}!!".encode()).decode(),
    "base64url": lambda v: base64.urlsafe_b64encode(b"\xff\xfb" + v.encode()).decode(),
    "url": lambda v: quote(v, safe=""),
    "form": quote_plus,
    "json": json.dumps,
    "json text": lambda v: json.dumps(v, ensure_ascii=False),
}
values = st.text(st.characters(exclude_categories=["Cs", "Zs", "Cc"]), min_size=6, max_size=60)
around = st.text(st.sampled_from(" abz,.:\n"), max_size=20)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(value=values, before=around, after=around)
def test_no_encoding_of_a_known_secret_passes(
    encoding: str, value: str, before: str, after: str
) -> None:
    assume(value not in MARK)
    assume(value not in before + after)
    encoded = ENCODINGS[encoding](value)
    assume(encoded not in before + after)
    redacted = Redactor([Secret(value)]).redact(f"{before} {encoded} {after}")
    assert MARK in redacted
    assert value not in redacted
    assert encoded not in redacted


@given(st.lists(values, max_size=4), st.text(max_size=200))
def test_redacting_twice_is_redacting_once(known: list[str], text: str) -> None:
    assume(not any(value in MARK for value in known))
    redactor = Redactor(Secret(value) for value in known)
    text = text + "".join(known)
    once = redactor.redact(text)
    assert redactor.redact(once) == once
    assert not any(value in once for value in known)


def test_overlapping_secrets_leave_no_rest() -> None:
    redactor = Redactor([Secret("abcdef1"), Secret("ef1xyz9")])
    assert redactor.redact("<abcdef1xyz9>") == f"<{MARK}>"


def test_base64_leaves_no_bits_of_the_value_at_its_ends() -> None:
    for before in ("", "u", "us", "user:"):
        text = base64.b64encode(f"{before}{CANARY}".encode()).decode()
        left, right = Redactor([Secret(CANARY)]).redact(text).split(MARK)
        clear = base64.b64decode(left + "A" * (-len(left) % 4)).decode("latin-1").rstrip("\0")
        assert CANARY[0] not in clear.removeprefix(before)
        assert right == ""


def test_a_secret_added_later_is_hidden_from_then_on() -> None:
    redactor = Redactor()
    assert redactor.redact(CANARY) == CANARY
    redactor.add(Secret(CANARY))
    assert redactor.redact(CANARY) == MARK


UNKNOWN = {
    "postgres://coder:s3cret@db/coder": f"postgres://coder:{MARK}@db/coder",
    "redis://:p%40ss@cache:6379/0 timed out": f"redis://:{MARK}@cache:6379/0 timed out",
    "https://u:p@ss@host/x?y=1": f"https://u:{MARK}@host/x?y=1",
    "https://0123456789abcdefghij@git.company.com/a.git": f"https://{MARK}@git.company.com/a.git",
    "token hvs.CAESIJ0123456789abcdefghijklmnop.": f"token {MARK}.",
    "hvb.AAAAAQ0123456789abcdefghijklmnop": MARK,
    "VAULT_TOKEN=s.1234567890abcdefghijABCD": f"VAULT_TOKEN={MARK}",
    "root s.1234567890abcdefghijABCD.": f"root {MARK}.",
    "Authorization: Bearer abc.def-123": f"Authorization: Bearer {MARK}",
    '"Authorization": "Basic dTpw"': f'"Authorization": "Basic {MARK}"',
    "X-Vault-Token: abc": f"X-Vault-Token: {MARK}",
    "host=db user=coder password=s3cret sslmode=require": (
        f"host=db user=coder password={MARK} sslmode=require"
    ),
    PEM.format("AAAA", "BBBB"): MARK + "\n",
    "x -----BEGIN RSA PRIVATE KEY-----\nAAAA": f"x {MARK}",
}


@pytest.mark.parametrize("text", UNKNOWN)
def test_se_24_what_looks_like_a_secret_is_hidden_without_being_known(text: str) -> None:
    assert Redactor().redact(text) == UNKNOWN[text]


@pytest.mark.parametrize(
    "text",
    [
        "see https://host.company.com:8443/path and mail admin@company.com",
        "ssh://git@host/repo.git",
        "registry.company.com:5000/coder@sha256:" + "a" * 64,
        "this.s.is and versions.tf",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "password: at least 15 characters",
        "2026-01-01T00:00:00Z level=info msg=ready",
        "",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert Redactor([Secret(CANARY)]).redact(text) == text


@given(st.text(st.sampled_from("abc:/@.s-= \n"), max_size=300))
def test_the_filter_ends_on_any_text(text: str) -> None:
    assert isinstance(Redactor([Secret(CANARY)]).redact(text), str)


def test_long_hostile_lines_are_filtered_in_reasonable_steps() -> None:
    for piece in ("a://", "a.", "a://b:", "-----BEGIN PRIVATE KEY-----", "password="):
        text = piece * (60_000 // len(piece))
        assert len(Redactor([Secret(CANARY)]).redact(text)) <= len(text) + len(MARK) * 60_000
