"""Custodians: their names, and the public keys that their shares are encrypted to."""

from __future__ import annotations

import base64
import struct

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from installer.core import draft
from installer.core.fields import FieldError
from installer.core.fields_custodians import check_custodian_key
from tests.answers import cases
from tests.answers.custodians import AGE, ECDSA, ED25519, FIVE, RSA_1024, UNPROVEN
from tests.answers.loading import CATALOG, load, problems_of, valid


def rsa_line(bits: int) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def blob(*fields: bytes) -> str:
    return base64.b64encode(b"".join(struct.pack(">I", len(f)) + f for f in fields)).decode()


@pytest.mark.parametrize("number", range(8))
def test_a_fresh_key_of_every_kind_is_a_custodians_key(number) -> None:
    age = pyrage.x25519.Identity.generate().to_public()
    ssh = ed25519.Ed25519PrivateKey.generate().public_key()
    line = ssh.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    for key in (str(age), line, f"{line} anna@company.com"):
        assert check_custodian_key(key).value == key
        assert check_custodian_key(f" {key} ").value == key


@pytest.mark.parametrize("key", [*AGE, f"{ED25519} a comment", rsa_line(2048), rsa_line(3072)])
def test_what_the_encrypting_library_takes_is_taken(key) -> None:
    assert check_custodian_key(key).value == key
    kind = pyrage.x25519 if key.startswith("age1") else pyrage.ssh
    assert kind.Recipient.from_str(key) is not None


@pytest.mark.parametrize("path", ["/home/anna/key.asc", "~/key.gpg", "./a b.asc", "../k.asc"])
def test_a_path_of_an_openpgp_key_is_taken_on_trust(path) -> None:
    assert check_custodian_key(path).value == path


def test_an_age_recipient_with_any_one_wrong_character_is_refused() -> None:
    recipient = AGE[0]
    for at in range(4, len(recipient)):
        other = "q" if recipient[at] != "q" else "p"
        with pytest.raises(FieldError, match=r"checksum"):
            check_custodian_key(recipient[:at] + other + recipient[at + 1 :])
        with pytest.raises(FieldError):
            check_custodian_key(recipient[:at] + recipient[at + 1 :])


BAD_KEYS = {
    "empty": "",
    "a word": "anna",
    "an age recipient in capitals": AGE[0].upper(),
    "an age recipient cut off": AGE[0][:-1],
    "an age recipient twice": AGE[0] * 2,
    "an age recipient with a blank in it": AGE[0][:20] + " " + AGE[0][20:],
    "a plugin's recipient": "age1yubikey1qgxqpszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgp",
    "nothing but the prefix": "age1",
    "an SSH key without its key": "ssh-ed25519",
    "an SSH key that is no Base64": "ssh-ed25519 AAAA!",
    "an SSH key cut off": ED25519[:-4],
    "an SSH key of another type": ED25519.replace("ssh-ed25519", "ssh-rsa", 1),
    "an Ed25519 key of 31 bytes": f"ssh-ed25519 {blob(b'ssh-ed25519', bytes(31))}",
    "an Ed25519 key and more": f"ssh-ed25519 {blob(b'ssh-ed25519', bytes(32), b'x')}",
    "an RSA key of 1024 bits": RSA_1024,
    "an RSA key without a modulus": f"ssh-rsa {blob(b'ssh-rsa', b'abc')}",
    "an ECDSA key": ECDSA,
    "options before the key": f'from="10.0.0.1" {ED25519}',
    "two keys": f"{ED25519} a\nssh-ed25519 x",
    "a path with a line break": "/a\n/b",
    "a relative path without a dot": "keys/anna.asc",
    "an OpenPGP key itself": "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEZ\n",
    "far too long": "/" + "x" * 9000,
    "a share": "mJH1x5N1CPg4ZyA9yyWvVsPcsTzRkh0r8FZdv8Q5mWkB",
}
PRIVATE_KEYS = {
    "an age key": "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ",
    "an age key in small letters": "age-secret-key-1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq",
    "a cut age key": "AGE-SECRET-KEY-1QQ",
    "an age key file": "# created\n# public key: age1…\nAGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQ",
    "PKCS#8": "-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n-----END PRIVATE KEY-----",
    "OpenSSH": "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n",
    "OpenPGP": "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlFgEZ\n",
    "PuTTY": "PuTTY-User-Key-File-3: ssh-ed25519\nqqqq",
    "a token": "hvs.CAESIJ0aaaaaaaaaaaaaaaaaaaaaaaaa",
}


@pytest.mark.parametrize("key", [*BAD_KEYS.values(), *PRIVATE_KEYS.values()],
                         ids=[*BAD_KEYS, *PRIVATE_KEYS])  # fmt: skip
@pytest.mark.parametrize("way", ["file", "environment", "screen"])
def test_what_is_no_public_key_is_refused_and_not_shown(key, way) -> None:
    base = valid(vault={"key_shares": 1}, waivers=_waived())
    if way == "file":
        document = {
            **cases.VALID,
            "vault": {"key_shares": 1, "custodians": {"anna": key}},
            "waivers": _waived(),
        }
        outcome = cases.judge_file(cases.write(document).encode(), CATALOG)
    elif way == "environment":
        given = draft.from_environment({"DEVPLAT_VAULT__CUSTODIANS__ANNA": key})
        outcome = cases.judge_draft(draft.merge(base, given), CATALOG, "")
    else:
        verdict = draft.check_field(base, CATALOG, "vault.custodians.anna", key)
        outcome = cases.Outcome(verdict.verdict, verdict.problems)
    assert outcome.verdict == "reject"
    assert outcome.codes == {"vault.custodian_key"}, outcome.message
    assert outcome.message.isprintable()
    for piece in key.split():
        assert len(piece) < 12 or piece not in outcome.message
    assert "BEGIN" not in outcome.message


def _waived() -> dict[str, str]:
    return {**UNPROVEN, "vault.single_share": "a test"}


def test_the_message_of_a_private_key_says_to_replace_it() -> None:
    verdict = draft.check_field(
        valid(vault={}), CATALOG, "vault.custodians.anna", PRIVATE_KEYS["an age key"]
    )
    assert "replace that key" in verdict.problems[0].remedy.summary


@pytest.mark.parametrize("name", ["a/b", "../x", "a b", "-a", "ü", "a\n", "x" * 65])
def test_a_custodians_name_is_part_of_a_files_name(name) -> None:
    given = valid(vault={"key_shares": 1, "custodians": {name: AGE[0]}}, waivers=_waived())
    assert "vault.custodian_name" in problems_of(given)


def test_custodians_by_flag_and_variable_join_those_of_the_file() -> None:
    given = draft.merge(
        valid(vault={"custodians": dict(list(FIVE.items())[:3])}, waivers=UNPROVEN),
        draft.from_flags([f"vault.custodians.dev.ops@company.com={AGE[3]}"]),
        draft.from_environment({"DEVPLAT_VAULT__CUSTODIANS__EMIL": AGE[4]}),
    )
    assert load(given).vault.custodians == FIVE


def test_custodians_are_shown_for_they_are_public() -> None:
    given = valid(vault={"custodians": FIVE}, waivers=UNPROVEN)
    rows = {row.path: row.value for row in draft.show(given, load(given))}
    assert rows["vault.custodians.anna"] == AGE[0]
