"""Generated secrets: strength and form (SE-11, SE-12, SE-13), templates, PostgreSQL verifiers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import pickle
import random
import re
import string
from collections import Counter
from urllib.parse import unquote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from installer.core.errors import InternalError, StackError
from installer.core.secrets import (
    ISSUED,
    Secret,
    SecretKind,
    expand,
    make_secret,
    named_secrets,
    parse_scram_verifier,
    scram_verifier,
)

MADE = [kind for kind in SecretKind if kind not in {SecretKind.PEM, *ISSUED}]
ALNUM = string.ascii_letters + string.digits
FORMS = {
    SecretKind.PASSWORD: (r"[A-Za-z0-9]{40}", 40, ALNUM),
    SecretKind.TOKEN: (r"[A-Za-z0-9]{64}", 64, ALNUM),
    SecretKind.HEX16: (r"[0-9a-f]{32}", 32, "0123456789abcdef"),
    SecretKind.HEX32: (r"[0-9a-f]{64}", 64, "0123456789abcdef"),
    SecretKind.BASE64URL32: (r"[A-Za-z0-9_-]{43}", 42, ALNUM + "-_"),
    SecretKind.SK_TOKEN: (r"sk-[A-Za-z0-9]{48}", 48, ALNUM),
}


def chi_square(texts: list[str], alphabet: str) -> float:
    """Deviations from a uniform draw, in standard deviations of chi-square."""
    counts = Counter("".join(texts))
    expected = sum(counts.values()) / len(alphabet)
    statistic = sum((counts[c] - expected) ** 2 / expected for c in alphabet)
    freedom = len(alphabet) - 1
    return (statistic - freedom) / (2 * freedom) ** 0.5


@pytest.mark.parametrize("kind", MADE)
def test_se_11_ten_thousand_of_a_kind_never_repeat_and_show_no_bias(kind: SecretKind) -> None:
    pattern, drawn, alphabet = FORMS[kind]
    source = random.Random(f"se-11 {kind}")
    values = [make_secret(kind, source.randbytes).reveal() for _ in range(10_000)]
    assert len(set(values)) == 10_000
    assert all(re.fullmatch(pattern, value) for value in values)
    # The last character of 32 bytes in base64 carries 4 bits only, so it is left out of the count.
    texts = [value.removeprefix("sk-")[:drawn] for value in values]
    assert abs(chi_square(texts, alphabet)) < 6


def test_se_11_the_bias_check_sees_a_modulo_bias() -> None:
    source = random.Random("biased")
    texts = ["".join(ALNUM[b % 62] for b in source.randbytes(40)) for _ in range(10_000)]
    assert chi_square(texts, ALNUM) > 6


def test_se_11_bytes_that_would_bias_are_skipped() -> None:
    feed = iter([bytes([255, 254, 250, 248]) * 10, bytes(range(40)), bytes(range(20, 60))])
    assert make_secret(SecretKind.PASSWORD, lambda _: next(feed)).reveal() == ALNUM_UPPER_FIRST


ALNUM_UPPER_FIRST = (string.ascii_uppercase + string.ascii_lowercase + string.digits)[20:60]


@pytest.mark.parametrize("kind", MADE)
def test_se_11_every_kind_has_the_bits_it_claims(kind: SecretKind) -> None:
    _, drawn, alphabet = FORMS[kind]
    bits = drawn * (len(alphabet) - 1).bit_length() if len(alphabet) in (16, 64) else drawn * 5.954
    assert bits >= (128 if kind in (SecretKind.HEX16, SecretKind.PASSWORD) else 250)


@pytest.mark.parametrize("kind", MADE)
def test_se_12_every_kind_survives_its_consumers(kind: SecretKind) -> None:
    source = random.Random(f"se-12 {kind}")
    for _ in range(200):
        value = make_secret(kind, source.randbytes).reveal()
        assert len(value) <= 72  # the shortest limit there is: bcrypt's
        assert unquote(value) == value
        assert yaml.safe_load(f"key: {value}") == {"key": value}
        assert json.loads(f'"{value}"') == value
        assert not set(value) & set(" $#'\"`\\:@/?&<>|;(){}[]*!%^~,\t\n")


def test_se_12_a_password_always_has_three_kinds_of_characters() -> None:
    source = random.Random(3)
    for _ in range(3000):
        value = make_secret(SecretKind.PASSWORD, source.randbytes).reveal()
        assert any(c.isupper() for c in value)
        assert any(c.islower() for c in value)
        assert any(c.isdigit() for c in value)


@pytest.mark.parametrize("number", ["12345678" * 4, "1e" + "0" * 30, "0" * 31 + "7"])
def test_se_12_hex_that_yaml_reads_as_a_number_is_drawn_again(number: str) -> None:
    feed = iter([bytes.fromhex(number), bytes(range(240, 256))])
    made = make_secret(SecretKind.HEX16, lambda _: next(feed)).reveal()
    assert made == bytes(range(240, 256)).hex()


def test_se_12_key_kinds_are_exactly_the_random_bytes() -> None:
    data = bytes(range(100, 132))
    assert bytes.fromhex(make_secret(SecretKind.HEX32, lambda _: data).reveal()) == data
    text = make_secret(SecretKind.BASE64URL32, lambda _: data).reveal()
    assert base64.urlsafe_b64decode(text + "=") == data


@pytest.mark.parametrize("source", [lambda n: b"\x00" * n, lambda n: b"\xff" * n, lambda n: b""])
def test_a_broken_random_source_is_an_internal_error(source: object) -> None:
    with pytest.raises(InternalError) as caught:
        make_secret(SecretKind.PASSWORD, source)  # type: ignore[arg-type]
    assert caught.value.problems[0].code == "secret.entropy"


@pytest.mark.parametrize("kind", [SecretKind.PEM, *sorted(ISSUED)])
def test_a_kind_that_is_issued_is_not_made(kind: SecretKind) -> None:
    with pytest.raises(StackError) as caught:
        make_secret(kind, random.Random(1).randbytes)
    assert caught.value.problems[0].code == "stack.secret_kind"


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("hunter2hunter2")
    for text in (repr(secret), str(secret), f"{secret}", repr([secret]), repr({"a": secret})):
        assert "hunter2" not in text
    with pytest.raises(TypeError):
        pickle.dumps(secret)


HARD = [  # B-082 to B-089
    "correct horse battery staple 9!",
    "pa$$word-${HOME}-$(id)-16ch",
    "{{ 7*7 }}{% raw %}-abcdefgh",
    "quote'double\"back`slash\\end-1",
    "#not-a-comment: yes, really!",
    '{{ env "VAULT_TOKEN" }}-abcdef12',
    "--help=abcdefghijklmnop12",
    " leading-and-trailing-blank-1 ",
    "$${name} and \\1 \\g<0>",
]


@pytest.mark.parametrize("value", HARD)
def test_expand_delivers_a_value_byte_for_byte(value: str) -> None:
    secrets = {"name": Secret(value)}
    assert expand("<${name}>", secrets).reveal() == f"<{value}>"
    assert unquote(expand("${url:name}", secrets).reveal()) == value
    assert json.loads(expand('"${json:name}"', secrets).reveal()) == value
    assert yaml.safe_load(expand('k: "${json:name}"', secrets).reveal()) == {"k": value}
    digest = expand("#${sha256:name}", secrets).reveal()
    assert digest == "#" + hashlib.sha256(value.encode()).hexdigest()
    assert expand("role_${id:name}", secrets).reveal() == "role_" + digest[1:9]


@given(st.text(), st.text(st.characters(exclude_categories=["Cs"])))
def test_expand_never_expands_a_value_again(text: str, value: str) -> None:
    template = text.replace("$", "").replace("{", "")
    got = expand(template + "${a}" + template, {"a": Secret(value)}).reveal()
    assert got == template + value + template


def test_url_encoding_leaves_no_character_that_a_url_could_misread() -> None:
    encoded = expand("${url:p}", {"p": Secret("a/b?c#d@e:f%g h+i&j=k")}).reveal()
    assert re.fullmatch(r"[A-Za-z0-9._~%-]+", encoded)


def test_expand_keeps_dollars_and_the_escape() -> None:
    secrets = {"a": Secret("V")}
    assert expand("$ $$ $x $(y) ${a}", secrets).reveal() == "$ $$ $x $(y) V"
    assert expand("$${a} ${a}", secrets).reveal() == "${a} V"
    assert expand("", {}).reveal() == ""


@pytest.mark.parametrize(
    ("template", "seen"),
    [
        ("${nobody}", "nobody"),
        ("${sha256:nobody}", "nobody"),
        ("${rot13:a}", "rot13"),
        ("${a:sha256}", "a:sha256"),
        ("${}", "${}"),
        ("${a", "'${' without '}'"),
        ("${ a }", "${ a }"),
        ("${A}", "${A}"),
    ],
)
def test_expand_refuses_what_it_cannot_fill(template: str, seen: str) -> None:
    with pytest.raises(StackError) as caught:
        expand(template, {"a": Secret("hunter2hunter2")})
    problem = caught.value.problems[0]
    assert problem.code == "stack.placeholder"
    assert seen in problem.summary
    assert problem.remedy.summary
    assert "hunter2" not in str(caught.value)


def test_expand_names_every_fault_at_once() -> None:
    with pytest.raises(StackError) as caught:
        expand("${x} ${a} ${y}", {"a": Secret("v")})
    assert [p.summary for p in caught.value.problems] == [
        "unknown secret in ${x}",
        "unknown secret in ${y}",
    ]


def test_named_secrets_are_those_that_expand_needs() -> None:
    assert named_secrets("${a} $${b} ${url:c} ${sha256:a} ${id:d}") == {"a", "c", "d"}


def test_scram_verifier_agrees_with_the_exchange_of_rfc_7677() -> None:
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    verifier = scram_verifier(Secret("pencil"), salt)
    head, keys = verifier.rsplit("$", 1)
    assert head == "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ=="
    stored, server = (base64.b64decode(part) for part in keys.split(":"))
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    message = (
        f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}"
    ).encode()
    signature = hmac.digest(server, message, "sha256")
    assert base64.b64encode(signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    mask = hmac.digest(stored, message, "sha256")
    client_key = bytes(a ^ b for a, b in zip(proof, mask, strict=True))
    assert hashlib.sha256(client_key).digest() == stored


@pytest.mark.parametrize(
    ("password", "same_as"),
    [("I\u00adX", "IX"), ("\u00aa", "a"), ("\u2168", "IX"), ("a\u00a0b", "a b")],
)
def test_scram_prepares_passwords_as_rfc_4013_shows(password: str, same_as: str) -> None:
    salt = b"0123456789abcdef"
    assert scram_verifier(Secret(password), salt) == scram_verifier(Secret(same_as), salt)


@pytest.mark.parametrize("password", ["a\u0007b", "\u06271", "x\ue000"])
def test_scram_takes_a_password_that_saslprep_refuses_as_it_stands(password: str) -> None:
    salt = b"0123456789abcdef"
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 4096)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    assert base64.b64encode(stored).decode() in scram_verifier(Secret(password), salt)


def test_scram_verifier_differs_with_password_salt_and_iterations() -> None:
    made = {
        scram_verifier(Secret("a"), b"salt"),
        scram_verifier(Secret("b"), b"salt"),
        scram_verifier(Secret("a"), b"talt"),
        scram_verifier(Secret("a"), b"salt", 4097),
    }
    assert len(made) == 4
    assert all("'" not in verifier for verifier in made)


def test_scram_verifier_can_be_read_back() -> None:
    verifier = scram_verifier(Secret("pencil"), b"0123456789abcdef", 5000)
    assert parse_scram_verifier(verifier) == (5000, "MDEyMzQ1Njc4OWFiY2RlZg==")
    for text in ("", "md5abc", verifier[:-1], verifier + "x", verifier.replace("256$5", "256$x")):
        assert parse_scram_verifier(text) is None


def test_scram_needs_a_salt_and_an_iteration() -> None:
    with pytest.raises(ValueError, match="salt"):
        scram_verifier(Secret("a"), b"")
    with pytest.raises(ValueError, match="iteration"):
        scram_verifier(Secret("a"), b"salt", 0)
