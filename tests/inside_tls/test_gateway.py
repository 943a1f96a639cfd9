"""The AI gateway counts requests in Valkey, which it verifies: LiteLLM itself, and our stand-in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.inside_tls.lab import Lab, free_port
from tests.inside_tls.test_valkey import Server

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "standins"))

import litellm as standin_litellm
from standin import Refused

pytestmark = pytest.mark.slow
REAL = os.environ.get("DEVPLAT_TEST_LITELLM", "")
MASTER = "sk-" + "m" * 48


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def server(lab: Lab) -> Iterator[Server]:
    with Server(lab).running() as running_one:
        yield running_one


def configuration(lab: Lab, server: Server) -> dict[str, Any]:
    """As it is rendered, for a server here and without a model provider."""
    document: dict[str, Any] = yaml.safe_load(lab.rendered("ai-gateway/config.yaml"))
    settings = document["general_settings"]["coordination_redis"]
    assert (settings["host"], settings["port"]) == ("redis", 6379)
    settings["host"], settings["port"] = "localhost", server.port
    assert settings["ssl_ca_certs"] == "/run/secrets/redis_ca.pem"
    settings["ssl_ca_certs"] = str(lab.secrets_of("ai-gateway") / "redis_ca.pem")
    answer = {"model": "openai/gpt-5", "api_key": "x", "mock_response": "seen"}
    document["model_list"] = [{"model_name": "default", "litellm_params": answer}]
    return document


def keys_of(server: Server, user: str, password: str) -> list[str]:
    done = server.shell(
        f"REDISCLI_AUTH={password} valkey-cli --tls --cacert /run/secrets/redis_ca.pem"
        f" --user {user} SCAN 0 COUNT 1000"
    )
    return [line for line in done.stdout.splitlines() if ":" in line]


@contextmanager
def gateway(folder: Path, lab: Lab, document: Any, password: str) -> Iterator[str]:
    """LiteLLM while it serves; its address."""
    if not REAL:
        pytest.skip("DEVPLAT_TEST_LITELLM names no python with litellm[proxy] in it")
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(document))
    for name in ("teams.json", "devplat_teams.py"):
        (folder / name).write_text(lab.rendered(f"ai-gateway/{name}"))
    environment = {
        "PATH": f"{Path(REAL).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "LITELLM_MASTER_KEY": MASTER,
        "GATEWAY_REDIS_PASSWORD": password,
        "DEVPLAT_LEDGER": str(folder / "spend.json"),
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "NO_DOCS": "True",
    }
    port = free_port()
    argv = [str(Path(REAL).with_name("litellm")), "--config", str(folder / "config.yaml")]
    base, end = f"http://127.0.0.1:{port}", time.monotonic() + 90
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [*argv, "--host", "127.0.0.1", "--port", str(port)],
            env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT,
        ) as process,
    ):  # fmt: skip
        try:
            while ask(base, "/health/liveliness") != 200:
                assert process.poll() is None and time.monotonic() < end, (
                    folder / "log"
                ).read_text()
                time.sleep(0.2)
            yield base
        finally:
            process.terminate()
            process.wait(20)


def ask(base: str, path: str, key: str = "", body: Any = None) -> int:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body is not None else None
    try:
        with urllib.request.urlopen(
            urllib.request.Request(base + path, data, headers), timeout=30
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return 0


QUESTION = {"model": "default", "messages": [{"role": "user", "content": "anything"}]}


def team_key(lab: Lab) -> str:
    parts: dict[str, Any] = {"__file__": "teams.py"}
    source = lab.rendered("ai-gateway/devplat_teams.py").partition("\nif __name__")[0]
    exec(compile(source, "teams.py", "exec"), parts)  # noqa: S102 - our own file
    return str(
        parts["key_of"](json.loads(lab.rendered("ai-gateway/teams.json"))["teams"][0], MASTER)
    )


def test_litellm_itself_counts_there_with_a_user_that_sees_its_own_keys_only(
    server: Server, lab: Lab, tmp_path: Path
) -> None:
    """SA-36."""
    password = (lab.secrets_of("ai-gateway") / "GATEWAY_REDIS_PASSWORD").read_text()
    with gateway(tmp_path / "gateway", lab, configuration(lab, server), password) as base:
        assert ask(base, "/v1/chat/completions", team_key(lab), QUESTION) == 200
        end = time.monotonic() + 20
        while not keys_of(server, "gateway", password) and time.monotonic() < end:
            time.sleep(0.2)
    found = keys_of(server, "gateway", password)
    assert any(key.endswith(":requests") for key in found)
    assert all(key.startswith("litellm:") for key in found)
    log = (tmp_path / "gateway/log").read_text()
    assert "NOPERM" not in log and "CERTIFICATE" not in log
    refused = server.shell(
        f"REDISCLI_AUTH={password} valkey-cli --tls --cacert /run/secrets/redis_ca.pem"
        " --user gateway GET session-of-somebody"
    )
    assert "NOPERM" in refused.stdout


def test_litellm_itself_sends_nothing_to_a_server_that_it_cannot_verify(
    server: Server, lab: Lab, tmp_path: Path
) -> None:
    other = Lab(tmp_path / "other")
    document = configuration(lab, server)
    roots = other.secrets_of("ai-gateway") / "redis_ca.pem"
    document["general_settings"]["coordination_redis"]["ssl_ca_certs"] = str(roots)
    password = (lab.secrets_of("ai-gateway") / "GATEWAY_REDIS_PASSWORD").read_text()
    before = set(keys_of(server, "gateway", password))
    document["general_settings"]["coordination_redis"]["namespace"] = "litellm:second"
    with gateway(tmp_path / "gateway", lab, document, password) as base:
        ask(base, "/v1/chat/completions", team_key(lab), QUESTION)
    assert set(keys_of(server, "gateway", password)) <= before
    assert "CERTIFICATE_VERIFY_FAILED" in (tmp_path / "gateway/log").read_text()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"password": "wrong"}, "WRONGPASS"),
        ({"ssl": False}, "coordination_redis"),
        ({"ssl_cert_reqs": "none"}, "unverified"),
        ({"ssl_ca_certs": "/nowhere"}, "/nowhere"),
        ({"ssl_ca_cert": "x"}, "ssl_ca_cert"),
    ],
)
def test_the_stand_in_is_let_in_as_rendered_and_refuses_what_is_wrong(
    server: Server, lab: Lab, change: dict[str, Any], reason: str | None
) -> None:
    document = configuration(lab, server)
    settings = document["general_settings"]["coordination_redis"]
    assert settings["password"] == "os.environ/GATEWAY_REDIS_PASSWORD"
    settings["password"] = (lab.secrets_of("ai-gateway") / "GATEWAY_REDIS_PASSWORD").read_text()
    settings |= change
    if reason is None:
        standin_litellm.check_coordination(document)
        return
    with pytest.raises(Refused, match=reason):
        standin_litellm.check_coordination(document)
