"""TLS of the stand-in for Traefik: one context per certificate, chosen by the name the client asks
for; minimum version and ciphers from the options; a strict server gives a foreign name nothing.
"""

from __future__ import annotations

import fnmatch
import ssl
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from standin import Refused

if TYPE_CHECKING:
    from traefik_config import Dynamic

VERSIONS = {
    "VersionTLS12": ssl.TLSVersion.TLSv1_2,
    "VersionTLS13": ssl.TLSVersion.TLSv1_3,
}
CURVES = {
    "CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1",
    "X25519": "X25519", "X25519MLKEM768": "",
}  # fmt: skip
"""Traefik's names of groups, and OpenSSL's where Python can set them."""


def make_contexts(dynamic: Dynamic) -> dict[str, ssl.SSLContext]:
    """A context per certificate, by name; `default` is the one that connections start with.

    Raises:
        Refused: for unusable options, and for a certificate or key that cannot be loaded.
    """
    options = dynamic.tls_options.get("default") or {}
    by_name: dict[str, ssl.SSLContext] = {}
    first: ssl.SSLContext | None = None
    for pair in dynamic.certificates:
        context = load_context(*pair, options)
        first = first or context
        by_name |= dict.fromkeys(certificate_names(pair[0]), context)
    if dynamic.default_certificate:
        first = load_context(*dynamic.default_certificate, options)
    start = first or self_signed(options)
    strict = bool(options.get("sniStrict")) and bool(by_name)

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        for pattern, context in by_name.items():
            if name and matches(name, pattern):
                connection.context = context
                return None
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME if strict else None

    start.sni_callback = choose  # type: ignore[assignment]
    return {**by_name, "default": start}


def load_context(certificate: str, key: str, options: Mapping[str, Any]) -> ssl.SSLContext:
    """A server context with one certificate and the options."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    set_options(context, options)
    try:
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ssl.SSLError) as error:
        raise Refused(
            f"unable to generate TLS certificate: {certificate}, {key}: {error}"
        ) from error
    return context


def set_options(context: ssl.SSLContext, options: Mapping[str, Any]) -> None:
    """Versions and ciphers as Traefik names them.

    Raises:
        Refused: for a name that Go's TLS does not have.
    """
    minimum = options.get("minVersion", "VersionTLS12")
    if minimum not in VERSIONS:
        raise Refused(f"invalid TLS minimum version: {minimum}")
    context.minimum_version = VERSIONS[minimum]
    if maximum := options.get("maxVersion"):
        if maximum not in VERSIONS:
            raise Refused(f"invalid TLS maximum version: {maximum}")
        context.maximum_version = VERSIONS[maximum]
    curves = options.get("curvePreferences") or []
    for curve in curves:
        if curve not in CURVES:
            raise Refused(f"invalid CurveID: {curve}")
    if usable := [CURVES[curve] for curve in curves if CURVES[curve]]:
        # Python can set one group or none: one of the wanted, so that no other is offered.
        context.set_ecdh_curve(usable[0])
    suites = options.get("cipherSuites") or []
    names = [openssl_name(suite) for suite in suites]
    if names:
        context.set_ciphers(":".join(names))
    if options.get("disableSessionTickets"):
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0


def openssl_name(suite: str) -> str:
    """OpenSSL's name of a TLS 1.2 suite.

    Raises:
        Refused: when there is no such suite.
    """
    name = suite.removeprefix("TLS_").replace("_WITH_", "_")
    for long, short in (("AES_128", "AES128"), ("AES_256", "AES256")):
        name = name.replace(long, short)
    name = name.removesuffix("_SHA256") if "CHACHA20" in name else name
    name = name.replace("_", "-")
    known = {cipher["name"] for cipher in ssl.create_default_context().get_ciphers()}
    if not suite.startswith("TLS_") or name not in known:
        raise Refused(f"invalid CipherSuite: {suite}")
    return name


def certificate_names(path: str) -> list[str]:
    """The DNS names in a certificate file, lower-case."""
    try:
        decoded = ssl._ssl._test_decode_cert(path)  # type: ignore[attr-defined]
    except (OSError, ssl.SSLError) as error:
        raise Refused(f"{path}: {error}") from error
    return [name.lower() for kind, name in decoded.get("subjectAltName", ()) if kind == "DNS"]


def matches(name: str, pattern: str) -> bool:
    """Whether a certificate's name covers a host name; `*` is one label."""
    same = name.count(".") == pattern.count(".")
    return same and fnmatch.fnmatchcase(name.lower(), pattern)


def self_signed(options: Mapping[str, Any]) -> ssl.SSLContext:
    """What Traefik serves while it has no certificate."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder, "default.crt"), Path(folder, "default.key")
        made = subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-days", "365", "-subj", "/CN=TRAEFIK DEFAULT CERT",
                "-keyout", str(key), "-out", str(certificate),
            ],
            capture_output=True, check=False,
        )  # fmt: skip
        if made.returncode != 0:
            raise Refused("no default certificate can be made")
        return load_context(str(certificate), str(key), options)
