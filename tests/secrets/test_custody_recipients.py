"""Custodians' keys: what is accepted, and what is refused before anything is contacted (SE-18)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pysequoia import Cert, CipherSuite, Profile, Tsk
from pysequoia.packet import PacketPile, Tag

from installer.adapters.custody import check_custodians
from installer.core.errors import AnswersError, Problem
from tests.secrets.custody_keys import make_custodian, make_ssh, now, open_pgp

KINDS = ["age", "ssh", "ssh-rsa", "openpgp"]
PRIVATE_AGE = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"


def refused(custodians: dict[str, str], later: timedelta = timedelta()) -> Problem:
    with pytest.raises(AnswersError) as caught:
        check_custodians(custodians, now() + later)
    problem = caught.value.problems[0]
    assert problem.code == "vault.custodian_key"
    assert problem.where == f"vault.custodians.{[*custodians][-1]}"
    assert problem.remedy.summary
    return problem


@pytest.mark.parametrize("kind", KINDS)
def test_a_share_is_read_by_its_custodian_alone(tmp_path: Path, kind: str) -> None:
    text, opener = make_custodian(kind, tmp_path / "anna.pgp")
    other, _ = make_custodian(kind, tmp_path / "ben.pgp")
    anna, ben = check_custodians({"anna": text, "ben": other}, now())
    sealed = anna.seal(b"a share\n")
    assert sealed.startswith(b"-----BEGIN ")
    assert opener(sealed) == b"a share\n"
    with pytest.raises((RuntimeError, Exception), match=r"(?i)key|decrypt"):
        opener(ben.seal(b"a share\n"))


def test_a_recipient_is_told_apart_by_a_short_public_name(tmp_path: Path) -> None:
    line, _ = make_ssh("ssh-rsa")
    key = Tsk.generate("carol")
    (tmp_path / "carol.asc").write_text(str(key.extract_certificate()))
    age, _ = make_custodian("age", tmp_path)
    found = check_custodians(
        {"anna": f" {age}\n", "ben": line, "carol": str(tmp_path / "carol.asc")}, now()
    )
    said = subprocess.run(
        ["ssh-keygen", "-lf", "-"], input=line, capture_output=True, text=True, check=True
    ).stdout
    assert found[0].recipient == age
    assert found[1].recipient == f"ssh-rsa {said.split()[1]}"
    assert found[2].recipient == key.extract_certificate().fingerprint.upper()
    assert [custodian.suffix for custodian in found] == ["age", "age", "asc"]


@pytest.mark.parametrize(
    "text",
    [
        PRIVATE_AGE,
        "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq",
        "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t",
        "ssh-ed25519 AAAA",
        "ssh-dss AAAAB3NzaC1kc3M=",
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY=",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "",
        "anna",
        "äge1",
    ],
)
def test_a_text_that_is_no_public_key_is_refused_without_showing_it(text: str) -> None:
    problem = refused({"anna": text})
    assert "anna" in problem.summary
    assert "the public half" in problem.remedy.summary
    shown = f"{problem.summary} {problem.remedy} {problem.detail}"
    assert len(text) < 10 or text not in shown


def test_a_weak_ssh_key_is_refused() -> None:
    line = subprocess.run(
        ["sh", "-c", "f=$(mktemp -u); ssh-keygen -q -t rsa -b 1024 -N '' -f $f && cat $f.pub"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert line.startswith("ssh-rsa ")
    assert "2048" in refused({"anna": line}).summary


def test_two_custodians_with_one_key_are_refused(tmp_path: Path) -> None:
    text, _ = make_custodian("ssh", tmp_path)
    other = " ".join(text.split()[:2]) + " ben@desk"  # the comment makes no other key
    problem = refused({"anna": text, "ben": other})
    assert "ben has the key of anna" in problem.summary


def test_every_bad_key_is_told_at_once(tmp_path: Path) -> None:
    good, _ = make_custodian("age", tmp_path)
    with pytest.raises(AnswersError) as caught:
        check_custodians({"anna": "x", "ben": good, "carol": "/no/such/file"}, now())
    places = [problem.where for problem in caught.value.problems]
    assert places == ["vault.custodians.anna", "vault.custodians.carol"]


def as_private(key: Tsk) -> bytes:
    return bytes(key)


def as_armored_private(key: Tsk) -> bytes:
    return str(key).encode()


def as_revoked(key: Tsk) -> bytes:
    public = key.extract_certificate()
    return bytes(public) + bytes(public.revoke(key.certifier()))


def as_two(key: Tsk) -> bytes:
    return bytes(key.extract_certificate()) + bytes(Tsk.generate("other").extract_certificate())


def as_signing_only(key: Tsk) -> bytes:
    """The certificate cut before its encryption subkey, the last one."""
    packets = list(PacketPile.from_bytes(bytes(key.extract_certificate())))
    last = max(at for at, packet in enumerate(packets) if packet.tag == Tag.PublicSubkey)
    return bytes(Cert.from_packets(packets[:last]))


def as_unsigned(key: Tsk) -> bytes:
    return bytes(
        Cert.from_packets(list(PacketPile.from_bytes(bytes(key.extract_certificate())))[:1])
    )


@pytest.mark.parametrize(
    ("form", "what", "remedy"),
    [
        (as_private, "is a private key", "take it away"),
        (as_armored_private, "is a private key", "take it away"),
        (as_revoked, "is revoked", "the key in use now"),
        (as_two, "has 2 certificates", "export the custodian's alone"),
        (as_signing_only, "has no subkey that may be encrypted to", "add an encryption subkey"),
        (as_unsigned, "has no valid self-signature", "newer key"),
        (lambda _: b"hello world", "is no OpenPGP public key", "export it again"),
        (lambda _: b"", "is no OpenPGP public key", "export it again"),
        (lambda key: bytes(key.extract_certificate())[:100], "is no OpenPGP", "export it again"),
    ],
)
def test_a_certificate_that_cannot_keep_a_share_is_refused(
    tmp_path: Path, form: Callable[[Tsk], bytes], what: str, remedy: str
) -> None:
    path = tmp_path / "anna.pgp"
    key = Tsk.generate("anna")
    path.write_bytes(bytes(key.extract_certificate()))
    assert check_custodians({"anna": str(path)}, now())
    path.write_bytes(form(key))
    problem = refused({"anna": str(path)})
    assert problem.summary.startswith(f"{path} {what}"), problem.summary
    assert remedy in problem.remedy.summary


def test_a_certificate_is_good_until_the_day_it_expires(tmp_path: Path) -> None:
    key = Tsk.generate("anna", validity_seconds=3600)
    path = tmp_path / "anna.pgp"
    path.write_bytes(bytes(key.extract_certificate()))
    assert check_custodians({"anna": str(path)}, now())
    problem = refused({"anna": str(path)}, timedelta(hours=2))
    assert "expired on 20" in problem.summary
    assert "prolong" in problem.remedy.summary


@pytest.mark.parametrize("suite", ["Cv25519", "RSA3k", "P384", "Cv448"])
@pytest.mark.parametrize("profile", [Profile.RFC4880, Profile.RFC9580])
def test_every_usual_kind_of_certificate_is_taken(
    tmp_path: Path, suite: str, profile: Profile
) -> None:
    key = Tsk.generate("anna", profile=profile, cipher_suite=getattr(CipherSuite, suite))
    (tmp_path / "anna.pgp").write_bytes(bytes(key.extract_certificate()))
    (anna,) = check_custodians({"anna": str(tmp_path / "anna.pgp")}, now())
    assert open_pgp(anna.seal(b"share"), key) == b"share"


def test_a_path_that_leads_nowhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "big.pgp").write_bytes(b"x" * (1024 * 1024 + 1))
    os.mkfifo(tmp_path / "pipe")
    for path, what in {
        "./missing.asc": "no such file",
        str(tmp_path): "not a regular file",
        "./pipe": "not a regular file",
        "./big.pgp": "more than",
        "~nobody-at-all/x": "that a share can be encrypted to",
        "./\0": "no path of a file",
    }.items():
        assert what in refused({"anna": path}).summary


def test_a_path_below_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    make_custodian("openpgp", tmp_path / "anna.pgp")
    assert check_custodians({"anna": "~/anna.pgp"}, now())[0].suffix == "asc"


Gpg = Callable[..., bytes]


@pytest.fixture
def gpg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gpg]:
    """The real program with a home of its own, in the year 2020 where a key is to be old."""
    if shutil.which("gpg") is None:
        pytest.skip("no gpg program on this machine")
    home = tmp_path_factory.mktemp("gnupg")
    home.chmod(0o700)

    def run(*words: str, stdin: bytes = b"", old: bool = False) -> bytes:
        time = ["--faked-system-time", "20200101T000000"] if old else []
        return subprocess.run(
            ["gpg", "--homedir", str(home), "--batch", "--yes", "--no-tty", "--quiet",
             "--pinentry-mode", "loopback", "--passphrase", "", *time, *words],
            input=stdin, capture_output=True, check=True,
        ).stdout  # fmt: skip

    yield run
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)


def test_gpg_reads_what_is_encrypted_to_its_key(tmp_path: Path, gpg: Gpg) -> None:
    gpg("--quick-gen-key", "anna", "default", "default", "2y")
    for name, data in {"a": gpg("--export", "anna"), "b": gpg("--armor", "--export")}.items():
        (tmp_path / name).write_bytes(data)
        (anna,) = check_custodians({"anna": str(tmp_path / name)}, now())
        assert gpg("--decrypt", stdin=anna.seal(b"a share\n")) == b"a share\n"
    (tmp_path / "private").write_bytes(gpg("--export-secret-keys", "anna"))
    assert "is a private key" in refused({"anna": str(tmp_path / "private")}).summary


def test_what_gpg_says_of_ends_is_heeded(tmp_path: Path, gpg: Gpg) -> None:
    """A subkey's own end counts; an expired one is no harm beside one that lives."""
    path = tmp_path / "key"

    def judged(name: str) -> str:
        path.write_bytes(gpg("--export", name))
        try:
            return check_custodians({"anna": str(path)}, now())[0].recipient
        except AnswersError as error:
            return error.problems[0].summary

    gpg("--quick-gen-key", "whole", "default", "default", "1d", old=True)
    assert "expired on 2020-01-02" in judged("whole")
    gpg("--quick-gen-key", "sub", "ed25519", "sign", "0", old=True)
    assert "has no subkey" in judged("sub")
    path.write_bytes(gpg("--export", "sub"))
    fingerprint = Cert.from_file(str(path)).fingerprint.upper()
    gpg("--quick-add-key", fingerprint, "cv25519", "encr", "1d", old=True)
    assert "expired on 2020-01-02" in judged("sub")
    gpg("--quick-add-key", fingerprint, "cv25519", "encr", "never")
    assert judged("sub") == fingerprint
    (anna,) = check_custodians({"anna": str(path)}, now())
    assert gpg("--decrypt", stdin=anna.seal(b"a share")) == b"a share"
    edits = b"key 2\nrevkey\ny\n0\n\ny\nsave\n"
    gpg("--command-fd", "0", "--edit-key", "sub", stdin=edits)
    listed = gpg("--with-colons", "--list-keys", "sub").decode()
    assert [line.split(":")[1] for line in listed.splitlines() if line.startswith("sub")] == [
        "e", "r",
    ]  # fmt: skip
    assert "expired on 2020-01-02" in judged("sub")


def test_the_age_program_reads_what_is_encrypted_to_its_key(tmp_path: Path) -> None:
    program = shutil.which("age") or shutil.which("rage")
    if program is None:
        pytest.skip("neither an age nor a rage program on this machine")
    from pyrage import x25519

    identity = x25519.Identity.generate()
    (tmp_path / "key").write_text(str(identity))
    (anna,) = check_custodians({"anna": str(identity.to_public())}, now())
    done = subprocess.run(
        [program, "--decrypt", "-i", str(tmp_path / "key")],
        input=anna.seal(b"a share\n"), capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout == b"a share\n"
