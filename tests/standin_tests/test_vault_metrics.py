"""The stand-in for OpenBao and Vault shows metrics as its listener says, also while sealed."""

from __future__ import annotations

import pytest
from standin import Request
from vault_config import read_config
from vault_core import Core
from vault_router import Router

from tests.contract.vault.authority import make_authority

CONFIG = """
api_addr = "https://vault:8200"
cluster_addr = "https://127.0.0.1:8201"
storage "raft" {
  path = "PLACE"
  node_id = "n"
}
listener "tcp" {
  address = "127.0.0.1:0"
  tls_cert_file = "CERT"
  tls_key_file = "KEY"
  telemetry {
    unauthenticated_metrics_access = OPEN
  }
}
telemetry {
  prometheus_retention_time = "24h"
}
"""


@pytest.fixture
def ask(tmp_path):
    """Asks a server that nobody has initialised, so a sealed one."""
    authority = make_authority(tmp_path)
    (tmp_path / "data").mkdir()

    def ask(opened, method="GET"):
        words = {"PLACE": tmp_path / "data", "CERT": authority.certificate, "KEY": authority.key}
        text = CONFIG.replace("OPEN", opened)
        for word, path in words.items():
            text = text.replace(word, str(path))
        (tmp_path / "server.hcl").write_text(text)
        router = Router(Core(read_config(str(tmp_path / "server.hcl"), "openbao")))
        return router.answer(
            Request(method, "/v1/sys/metrics", {"format": "prometheus"}, {}, b"", "127.0.0.1")
        )

    return ask


def test_a_sealed_server_shows_open_metrics_to_everybody(ask):
    answer = ask("true")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"\nvault_core_unsealed 0\n" in answer.body


def test_metrics_that_are_not_open_need_an_open_server(ask):
    assert ask("false").status == 503


def test_metrics_are_only_read(ask):
    assert ask("true", "PUT").status == 405
