"""An independent scanner finds nothing against the chosen profile (TL-24); it has its own Python.

It knows Mozilla's guidelines 5.7; ours are 6.0, which a server that meets them meets too as far as
that scanner can see.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.tls.edge_lab import Edge
from tests.tls.test_edge import GIT, Start, roots, start, start_real, starter

__all__ = ["roots", "start", "start_real", "starter"]
SSLYZE = "DEVPLAT_TEST_SSLYZE"
pytestmark = pytest.mark.slow


@pytest.fixture
def python() -> str:
    """The Python of the scanner's environment."""
    path = os.environ.get(SSLYZE)
    if not path:
        pytest.skip(f"{SSLYZE} names no Python with sslyze in it")
    return path


def scan(python: str, edge: Edge, ca: Path, profile: str) -> tuple[int, str, dict[str, Any]]:
    """Exit status, text, and details of one scan under a name of ours."""
    details = edge.folder / "sslyze.json"
    done = subprocess.run(
        [
            python, "-m", "sslyze", f"--mozilla_config={profile}", f"--certinfo_ca_file={ca}",
            "--heartbleed", "--openssl_ccs", "--robot", "--reneg", "--compression", "--fallback",
            "--json_out", str(details), f"{GIT}:{edge.ports['websecure']}{{127.0.0.1}}",
        ],
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    [result] = json.loads(details.read_text())["server_scan_results"]
    return done.returncode, done.stdout, result["scan_result"]


@pytest.mark.parametrize("profile", ["intermediate", "modern"])
def test_the_edge_has_no_finding(start_real: Start, roots: Path, python: str, profile: str) -> None:
    """TL-13, TL-24."""
    edge = start_real({"profile": profile})
    status, text, result = scan(python, edge, roots, profile)
    assert status == 0, text
    assert f"{GIT}:" in text
    assert "OK - Compliant" in text
    assert result["heartbleed"]["result"]["is_vulnerable_to_heartbleed"] is False
    assert result["openssl_ccs_injection"]["result"]["is_vulnerable_to_ccs_injection"] is False
    assert result["robot"]["result"]["robot_result"].startswith("NOT_VULNERABLE")
    assert result["tls_compression"]["result"]["supports_compression"] is False
    renegotiation = result["session_renegotiation"]["result"]
    assert renegotiation["is_vulnerable_to_client_renegotiation_dos"] is False


def test_a_loosened_edge_is_not_compliant(start_real: Start, roots: Path, python: str) -> None:
    """The scanner would see it: the seeded defect."""

    def loosen(name: str, text: str) -> str:
        return text.replace(
            "        - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "        - TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
        )

    status, text, _ = scan(python, start_real({}, change=loosen), roots, "intermediate")
    assert status != 0
    assert "Not compliant" in text
