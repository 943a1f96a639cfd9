"""What a server may agree to by Mozilla's server-side TLS guidelines 6.0, and judgement of it.

The profiles are `intermediate` (TLS 1.2 and 1.3) and `modern` (TLS 1.3). Nothing here connects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from installer.core.certificates import ChainFacts
from installer.core.client_hello import SSL3, TLS10, TLS11, TLS12, TLS13
from installer.core.errors import Problem, Remedy
from installer.core.events import CheckResult, Outcome

SSL2 = 0x0002
VERSIONS: Mapping[int, str] = MappingProxyType(
    {SSL2: "SSL 2", SSL3: "SSL 3", TLS10: "TLS 1.0", TLS11: "TLS 1.1", TLS12: "TLS 1.2",
     TLS13: "TLS 1.3"}
)  # fmt: skip
GOOD_SUITES = (0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8)
"""The forward-secret AEAD suites of TLS 1.2."""
GOOD_SUITES_13 = (0x1301, 0x1302, 0x1303)
BAD_SUITES_13: Mapping[int, str] = MappingProxyType(
    {0x1304: "TLS_AES_128_CCM_SHA256", 0x1305: "TLS_AES_128_CCM_8_SHA256"}
)
HYBRID = 0x11EC
GOOD_GROUPS = (HYBRID, 0x001D, 0x0017, 0x0018)
"""X25519MLKEM768, X25519, P-256, P-384."""
BAD_GROUPS: Mapping[int, str] = MappingProxyType(
    {0x0019: "P-521", 0x001E: "X448", 0x0016: "secp256k1", 0x0015: "P-224", 0x0013: "P-192",
     0x001A: "brainpoolP256r1", 0x001B: "brainpoolP384r1", 0x001C: "brainpoolP512r1",
     0x001F: "brainpoolP256r1tls13", 0x0020: "brainpoolP384r1tls13",
     0x0021: "brainpoolP512r1tls13", 0x0100: "ffdhe2048", 0x0101: "ffdhe3072",
     0x0102: "ffdhe4096", 0x0103: "ffdhe6144", 0x0104: "ffdhe8192",
     0x11EB: "SecP256r1MLKEM768", 0x11ED: "SecP384r1MLKEM1024"}
)  # fmt: skip
_SUITES = """
0001 RSA_WITH_NULL_MD5 0002 RSA_WITH_NULL_SHA 003b RSA_WITH_NULL_SHA256
0003 RSA_EXPORT_WITH_RC4_40_MD5 0008 RSA_EXPORT_WITH_DES40_CBC_SHA 0009 RSA_WITH_DES_CBC_SHA
0004 RSA_WITH_RC4_128_MD5 0005 RSA_WITH_RC4_128_SHA 000a RSA_WITH_3DES_EDE_CBC_SHA
002f RSA_WITH_AES_128_CBC_SHA 0035 RSA_WITH_AES_256_CBC_SHA 003c RSA_WITH_AES_128_CBC_SHA256
003d RSA_WITH_AES_256_CBC_SHA256 009c RSA_WITH_AES_128_GCM_SHA256
009d RSA_WITH_AES_256_GCM_SHA384 c09c RSA_WITH_AES_128_CCM c09d RSA_WITH_AES_256_CCM
0041 RSA_WITH_CAMELLIA_128_CBC_SHA 0084 RSA_WITH_CAMELLIA_256_CBC_SHA 0096 RSA_WITH_SEED_CBC_SHA
0016 DHE_RSA_WITH_3DES_EDE_CBC_SHA 0033 DHE_RSA_WITH_AES_128_CBC_SHA
0039 DHE_RSA_WITH_AES_256_CBC_SHA 0067 DHE_RSA_WITH_AES_128_CBC_SHA256
006b DHE_RSA_WITH_AES_256_CBC_SHA256 009e DHE_RSA_WITH_AES_128_GCM_SHA256
009f DHE_RSA_WITH_AES_256_GCM_SHA384 ccaa DHE_RSA_WITH_CHACHA20_POLY1305_SHA256
0018 DH_anon_WITH_RC4_128_MD5 001b DH_anon_WITH_3DES_EDE_CBC_SHA 0034 DH_anon_WITH_AES_128_CBC_SHA
003a DH_anon_WITH_AES_256_CBC_SHA 00a6 DH_anon_WITH_AES_128_GCM_SHA256
c018 ECDH_anon_WITH_AES_128_CBC_SHA c019 ECDH_anon_WITH_AES_256_CBC_SHA
c007 ECDHE_ECDSA_WITH_RC4_128_SHA c008 ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA
c009 ECDHE_ECDSA_WITH_AES_128_CBC_SHA c00a ECDHE_ECDSA_WITH_AES_256_CBC_SHA
c023 ECDHE_ECDSA_WITH_AES_128_CBC_SHA256 c024 ECDHE_ECDSA_WITH_AES_256_CBC_SHA384
c0ac ECDHE_ECDSA_WITH_AES_128_CCM c0ad ECDHE_ECDSA_WITH_AES_256_CCM
c0ae ECDHE_ECDSA_WITH_AES_128_CCM_8 c0af ECDHE_ECDSA_WITH_AES_256_CCM_8
c011 ECDHE_RSA_WITH_RC4_128_SHA c012 ECDHE_RSA_WITH_3DES_EDE_CBC_SHA
c013 ECDHE_RSA_WITH_AES_128_CBC_SHA c014 ECDHE_RSA_WITH_AES_256_CBC_SHA
c027 ECDHE_RSA_WITH_AES_128_CBC_SHA256 c028 ECDHE_RSA_WITH_AES_256_CBC_SHA384
"""
BAD_SUITES: Mapping[int, str] = MappingProxyType(
    {int(code, 16): f"TLS_{name}" for code, name in zip(*[iter(_SUITES.split())] * 2, strict=True)}
)
"""Suites before TLS 1.3 that servers are known to have and must not offer."""


@dataclass(frozen=True, slots=True)
class TlsSight:
    """What a server agreed to under one name.

    Attributes:
        versions: Protocol versions that it accepts.
        bad_suites, bad_groups: Names of what it accepts and the guidelines leave out.
        hybrid: Whether it accepts the hybrid post-quantum group.
        faults: Other things that it should not do, as `compresses`.
        chain: The certificates that it sends; None when it sends none under this name.
        top_pem: The last of them, as PEM.
        refusal: Why no certificate was seen.
    """

    versions: frozenset[int] = frozenset()
    bad_suites: tuple[str, ...] = ()
    bad_groups: tuple[str, ...] = ()
    hybrid: bool = False
    faults: tuple[str, ...] = ()
    chain: ChainFacts | None = None
    top_pem: bytes = b""
    refusal: str = ""


def judge_sight(sight: TlsSight, profile: str, where: str) -> Iterator[CheckResult]:
    """Protocol, suites and groups against a profile; ids begin with `tls.`."""
    wanted = {TLS13} if profile == "modern" else {TLS12, TLS13}
    surplus = [VERSIONS[v] for v in sorted(sight.versions - wanted)]
    missing = [VERSIONS[v] for v in sorted(wanted - sight.versions)]
    spoken = ", ".join(VERSIONS[v] for v in sorted(sight.versions)) or "none"
    edge = "look at the TLS options that the edge reads; an edited file is put back by --repair"
    yield _result(
        "tls.versions", f"TLS versions of profile {profile}", where, spoken,
        [f"accepts {', '.join(surplus)}"] * bool(surplus)
        + [f"refuses {', '.join(missing)}"] * bool(missing), edge,
    )  # fmt: skip
    yield _result(
        "tls.suites", "cipher suites with forward secrecy and AEAD only", where, "no other",
        [f"accepts {', '.join(sight.bad_suites)}"] * bool(sight.bad_suites), edge,
    )  # fmt: skip
    yield _result(
        "tls.groups", "key exchange groups of the profile only", where, "no other",
        [f"accepts {', '.join(sight.bad_groups)}"] * bool(sight.bad_groups), edge,
    )  # fmt: skip
    yield _result(
        "tls.negotiation", "secure renegotiation, extended master secret, no compression", where,
        "as required", list(sight.faults), edge,
    )  # fmt: skip
    yield _result(
        "tls.hybrid", "hybrid post-quantum group X25519MLKEM768 offered", where, "accepted",
        [] if sight.hybrid else ["it is not accepted; the edge's version may be too old for it"],
        "use the edge's image that this release names", Outcome.WARN,
    )  # fmt: skip


def _result(
    id: str,
    title: str,
    where: str,
    found: str,
    faults: list[str],
    remedy: str,
    severity: Outcome = Outcome.FAIL,
) -> CheckResult:
    if not faults:
        return CheckResult(id, title, Outcome.PASS, where, title, found)
    summary = f"{where} {'; '.join(faults)}"
    problem = Problem(id, summary, Remedy(remedy), where=where)
    return CheckResult(id, title, severity, where, title, "; ".join(faults), problem)
