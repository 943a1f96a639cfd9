"""Keys and certificates of one run: the test CA, the registry's certificate, SSH keys. All of them
are made fresh, live in the run's directory and prove nothing outside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.testbed.commands import run

DAYS = "7"


def make_authority(folder: Path, names: Iterable[str]) -> None:
    """Write ca.crt, ca.key, and registry.crt, registry.key for the names."""
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    run(
        [
            "openssl", "req", "-x509", *curve, "-days", DAYS, "-subj", "/CN=testbed-ca",
            "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.crt",
            "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign",
        ]
    )  # fmt: skip
    run(
        [
            "openssl", "req", *curve, "-subj", "/CN=registry.testbed",
            "-keyout", f"{folder}/registry.key", "-out", f"{folder}/registry.csr",
        ]
    )  # fmt: skip
    extensions = folder / "registry.ext"
    extensions.write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in names) + "\n")
    run(
        [
            "openssl", "x509", "-req", "-in", f"{folder}/registry.csr", "-days", DAYS,
            "-CA", f"{folder}/ca.crt", "-CAkey", f"{folder}/ca.key", "-CAcreateserial",
            "-extfile", str(extensions), "-out", f"{folder}/registry.crt",
        ]
    )  # fmt: skip


def make_ssh_key(path: Path) -> str:
    """Write an ed25519 key pair; returns the public key without its comment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "testbed", "-f", str(path)])
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])
