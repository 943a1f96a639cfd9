"""What people give instead of PEM files, and who may read them (TL-19)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from installer.adapters.certificates import provided_files, system_roots
from installer.core.errors import InstallError, LocalIoError, TlsError


def der(pki: Any) -> bytes:
    return pki.leaf.cert.public_bytes(Encoding.DER)


def p12(pki: Any) -> bytes:
    encryption = BestAvailableEncryption(b"x")
    return pkcs12.serialize_key_and_certificates(
        b"n", pki.leaf.key, pki.leaf.cert, None, encryption
    )


def request(pki: Any) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    )
    from cryptography.hazmat.primitives.hashes import SHA256

    return builder.sign(pki.leaf.key, SHA256()).public_bytes(Encoding.PEM)


MISTAKES = {
    "DER": (der, "DER form", "openssl x509 -inform DER -in"),
    "PKCS #12": (p12, "PKCS #12", "openssl pkcs12 -in"),
    "PKCS #7": (
        lambda p: pkcs7.serialize_certificates([p.leaf.cert], Encoding.PEM),
        "PKCS #7",
        "openssl pkcs7 -print_certs",
    ),
    "PKCS #7 DER": (
        lambda p: pkcs7.serialize_certificates([p.leaf.cert], Encoding.DER),
        "PKCS #7",
        "openssl pkcs7 -inform DER",
    ),
    "a key": (lambda p: p.leaf.key_pem(), "private key only", ""),
    "a request": (request, "certificate request", ""),
    "nothing": (lambda p: b"", "empty", ""),
    "blanks": (lambda p: b" \n\n", "empty", ""),
    "garbage": (lambda p: bytes(range(256)), "neither", ""),
    "a web page": (lambda p: b"<html>404</html>", "neither", ""),
    "UTF-16": (lambda p: p.leaf.pem.decode().encode("utf-16"), "UTF-16", "iconv"),
    "cut off": (lambda p: p.leaf.pem[:200], "cut off", ""),
    "trusted form": (
        lambda p: p.leaf.pem.replace(b" CERTIFICATE", b" TRUSTED CERTIFICATE"),
        "trusted form",
        "openssl x509",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_no_pem_certificate_is_called_by_its_name(pki: Any, mistake: str) -> None:
    make, seen, command = MISTAKES[mistake]
    with pytest.raises(TlsError) as caught:
        pki.use(make(pki))
    problem = caught.value.problems[0]
    assert problem.code == "tls.format"
    assert seen in problem.summary
    assert "cert.pem" in problem.summary
    assert problem.remedy.summary
    commands = problem.remedy.commands
    assert commands[0].startswith(command) if command else commands == ()


def test_a_certificate_with_a_damaged_body_is_refused_by_number(pki: Any) -> None:
    lines = pki.intermediate.pem.splitlines(keepends=True)
    broken = b"".join([lines[0], *lines[2:]])
    problem = pki.refused(pki.leaf.pem, broken)["tls.format"]
    assert "certificate 2 of 2" in problem.summary


KEY_MISTAKES = {
    "a certificate": (lambda p: p.leaf.pem, "certificate only"),
    "a public key": (
        lambda p: p.leaf.key.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        ),
        "public key",
    ),
    "an SSH key": (
        lambda p: p.leaf.key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        "SSH key",
    ),
    "a DER key": (
        lambda p: p.leaf.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        "private key in DER form",
    ),
    "PKCS #12": (p12, "PKCS #12"),
    "two keys": (lambda p: p.leaf.key_pem() + p.root.key_pem(), "2 private keys"),
    "damaged": (lambda p: p.leaf.key_pem().replace(b"\nM", b"\nN", 1), "damaged"),
    "cut off": (lambda p: p.leaf.key_pem()[:100], "cut off"),
}


@pytest.mark.parametrize("mistake", KEY_MISTAKES)
def test_what_is_no_pem_key_is_called_by_its_name(pki: Any, mistake: str) -> None:
    make, seen = KEY_MISTAKES[mistake]
    with pytest.raises(TlsError) as caught:
        pki.use(key=make(pki))
    problem = caught.value.problems[0]
    assert problem.code == "tls.format"
    assert seen in problem.summary
    assert "BEGIN" not in repr(problem)


def test_the_curve_parameters_openssl_writes_before_a_key_do_no_harm(pki: Any) -> None:
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    assert pki.use(key=parameters + pki.leaf.key_pem(b"", PrivateFormat.TraditionalOpenSSL))


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o601])
def test_tl_19_a_key_that_anybody_may_read_is_refused(pki: Any, mode: int) -> None:
    pki.use()
    key = pki.write("key.pem", pki.leaf.key_pem(), mode=mode)
    with pytest.raises(LocalIoError) as caught:
        provided_files(pki.directory / "cert.pem", key, None, None, pki.hosts, pki.now)
    problem = caught.value.problems[0]
    assert (problem.code, problem.where) == ("tls.key_mode", "tls.key_file")
    assert "0600" in problem.summary


def test_tl_19_a_key_for_a_group_is_used_with_a_warning(pki: Any) -> None:
    pki.use()
    key = pki.write("key.pem", pki.leaf.key_pem(), mode=0o640)
    material = provided_files(
        pki.directory / "cert.pem", key, None, None, pki.hosts, pki.now, trusted=[pki.root.cert]
    )
    assert set(pki.warnings_of(material)) == {"tls.key_mode"}


@pytest.mark.parametrize("which", ["certificate", "key", "chain"])
def test_a_missing_file_is_named(pki: Any, which: str) -> None:
    pki.use()
    files = {n: pki.directory / f"{n}.pem" for n in ("cert", "key")}
    files["chain"] = pki.write("chain.pem", pki.intermediate.pem)
    name = {"certificate": "cert"}.get(which, which)
    files[name] = pki.directory / "no such file"
    with pytest.raises(LocalIoError) as caught:
        provided_files(files["cert"], files["key"], files["chain"], None, pki.hosts, pki.now)
    assert "no such file" in caught.value.problems[0].summary
    assert caught.value.problems[0].code == "tls.file"


def test_a_directory_or_a_huge_file_is_no_certificate(pki: Any) -> None:
    pki.use()
    huge = pki.write("huge.pem", b"#" * (1024 * 1024 + 1))
    for path in (pki.directory, huge, Path("/dev/zero"), Path("a\0b")):
        with pytest.raises(InstallError) as caught:
            provided_files(path, pki.directory / "key.pem", None, None, pki.hosts, pki.now)
        assert caught.value.problems[0].code == "tls.file"


def test_a_file_of_begin_lines_is_refused_in_reasonable_time(pki: Any) -> None:
    problems = pki.refused(b"-----BEGIN CERTIFICATE-----\n" * 30_000)
    assert set(problems) == {"tls.format"}


def test_the_system_s_roots_are_found_where_openssl_looks(
    pki: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = pki.write("bundle.pem", pki.root.pem)
    hashed = pki.directory / "hashed"
    hashed.mkdir()
    (hashed / "a.0").write_bytes(pki.intermediate.pem)
    (hashed / "dangling").symlink_to("/nowhere")
    (hashed / "README").write_text("not a certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("SSL_CERT_DIR", str(hashed))
    system_roots.cache_clear()
    try:
        assert system_roots() == (pki.root.cert, pki.intermediate.cert)
        assert pki.use(trusted=None)
    finally:
        system_roots.cache_clear()
