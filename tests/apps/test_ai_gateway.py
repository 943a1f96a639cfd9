"""The AI gateway's rendered configuration, for our stand-in and for LiteLLM itself."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
import types
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import litellm as standin_litellm
import pytest
import standin
import yaml

MASTER = "sk-" + "m" * 48
REAL = os.environ.get("DEVPLAT_TEST_LITELLM", "")
TEAMS = Path(__file__).parents[2] / "stacks/compose/ai-gateway/config/devplat_teams.py"
GATEWAY = {
    "provider": "openai",
    "openai_key": "env:OPENAI",
    "anthropic_key": "env:ANTHROPIC",
    "teams": "developers, data",
    "team_budget_usd": 1,
}


def config_of(make_bundle: Any, **gateway: Any) -> dict[str, Any]:
    _, bundle = make_bundle(ai_gateway=gateway)
    return yaml.safe_load(bundle.files["ai-gateway/config.yaml"].data)


def names(config: dict[str, Any]) -> list[str]:
    return sorted(model["model_name"] for model in config["model_list"])


def test_only_providers_with_a_key_are_offered(make_bundle):
    assert names(config_of(make_bundle)) == [
        "bedrock-default", "bedrock-small", "default", "small",
    ]  # fmt: skip
    config = config_of(make_bundle, **GATEWAY)
    assert names(config) == [
        "anthropic-default", "anthropic-small", "default", "openai-default", "openai-small",
        "small",
    ]  # fmt: skip
    (default,) = [m for m in config["model_list"] if m["model_name"] == "default"]
    assert default["litellm_params"] == {
        "model": "openai/gpt-5",
        "api_key": "os.environ/OPENAI_API_KEY",
    }


def test_bedrock_takes_keys_by_reference_or_the_role_of_the_instance(make_bundle):
    by_role = config_of(make_bundle)["model_list"][0]["litellm_params"]
    assert set(by_role) == {"model", "aws_region_name"}
    by_key = config_of(
        make_bundle,
        bedrock_access_key="env:A",
        bedrock_secret_key="env:B",
        bedrock_region="eu-west-1",
    )["model_list"][0]["litellm_params"]
    assert by_key["aws_access_key_id"] == "os.environ/AWS_ACCESS_KEY_ID"
    assert by_key["aws_region_name"] == "eu-west-1"


def test_a_key_that_is_not_given_leaves_no_secret_and_no_file(make_bundle):
    alone = {"redis": {"enabled": False}}
    plan, _ = make_bundle(**alone)
    assert set(plan.manifest("ai-gateway").secret_files) == {"LITELLM_MASTER_KEY"}
    plan, _ = make_bundle(ai_gateway=GATEWAY, **alone)
    files = set(plan.manifest("ai-gateway").secret_files)
    assert files == {"LITELLM_MASTER_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"}
    plan, _ = make_bundle()
    more = set(plan.manifest("ai-gateway").secret_files) - {"LITELLM_MASTER_KEY"}
    assert more == {"GATEWAY_REDIS_PASSWORD", "redis_ca.pem"}


def test_rate_limits_are_counted_in_valkey_where_there_is_one(make_bundle):
    """SA-36; the server is verified by its authority and name."""
    for enabled in (True, False):
        plan, bundle = make_bundle(redis={"enabled": enabled})
        config = yaml.safe_load(bundle.files["ai-gateway/config.yaml"].data)
        settings = config["general_settings"].get("coordination_redis")
        assert ("ai-gateway-to-redis" in plan.subnets) is (settings is not None) is enabled
        assert "cache" not in config["litellm_settings"]
        if settings:
            assert settings["ssl"] is settings["ssl_check_hostname"] is True
            assert settings["ssl_cert_reqs"] == "required"


def test_the_gateway_has_no_way_to_the_database(make_bundle):
    """SD-48: budgets are kept without one."""
    plan, bundle = make_bundle(ai_gateway=GATEWAY)
    assert "ai-gateway-to-postgres" not in plan.networks_of["ai-gateway"]
    text = bundle.files["ai-gateway/config.yaml"].data.decode()
    assert "database_url" not in text
    assert "DATABASE_URL" not in json.dumps(bundle.document["services"]["ai-gateway"])


def test_the_stand_in_takes_the_configuration_and_misses_a_key(make_bundle, tmp_path):
    path = write(make_bundle, tmp_path)
    there = {"LITELLM_MASTER_KEY": MASTER, "OPENAI_API_KEY": "x", "ANTHROPIC_API_KEY": "y"}
    config = standin_litellm.read_config(path / "config.yaml", there)
    assert standin_litellm.load_teams(path / "config.yaml", config, MASTER)
    del there["OPENAI_API_KEY"]
    with pytest.raises(standin.Refused, match="OPENAI_API_KEY"):
        standin_litellm.read_config(path / "config.yaml", there)


def test_the_stand_in_refuses_an_authority_that_is_not_there(make_bundle, tmp_path):
    path = write(make_bundle, tmp_path)
    (path / "devplat_teams.py").unlink()
    with pytest.raises(standin.Refused, match="devplat_teams"):
        standin_litellm.load_teams(
            path / "config.yaml", yaml.safe_load((path / "config.yaml").read_text()), MASTER
        )


def write(make_bundle: Any, folder: Path, **more: Any) -> Path:
    _, bundle = make_bundle(ai_gateway={**GATEWAY, **more}, redis={"enabled": False})
    for name in ("config.yaml", "teams.json", "devplat_teams.py"):
        (folder / name).write_bytes(bundle.files[f"ai-gateway/{name}"].data)
    return folder


@pytest.fixture
def teams(monkeypatch, tmp_path) -> types.ModuleType:
    """The part of the module that needs no LiteLLM."""
    source = TEAMS.read_text().split("\nif __name__")[0]
    made = types.ModuleType("teams")
    monkeypatch.setenv("DEVPLAT_LEDGER", str(tmp_path / "spend.json"))
    made.__file__ = str(TEAMS)
    exec(compile(source, str(TEAMS), "exec"), made.__dict__)  # noqa: S102 - our own file
    return made


def test_each_team_has_a_key_of_its_own_that_follows_the_masters(teams):
    keys = {teams.key_of(t, MASTER) for t in ("a", "b")} | {teams.key_of("a", MASTER + "x")}
    assert len(keys) == 3
    assert all(key.startswith("sk-") and len(key) == 51 for key in keys)


def test_spending_outlives_a_restart_and_ends_with_the_month(teams, tmp_path, monkeypatch):
    spending = teams.Spending(tmp_path / "spend.json")
    spending.add("a", 0.25)
    spending.add("a", 0.5)
    assert teams.Spending(tmp_path / "spend.json").of("a") == 0.75
    assert spending.of("b") == 0
    monkeypatch.setattr(teams, "this_month", lambda: "2031-01")
    assert spending.of("a") == 0
    spending.add("b", 1.0)
    assert json.loads((tmp_path / "spend.json").read_text()) == {"2031-01": {"b": 1.0}}


class Provider(BaseHTTPRequestHandler):
    """Answers as OpenAI does; every answer is worth two US dollars at the price of gpt-5."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = {
            "id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-5",
            "choices": [
                {"index": 0, "finish_reason": "stop",
                 "message": {"role": "assistant", "content": "seen"}}
            ],
            "usage": {
                "prompt_tokens": 10, "completion_tokens": 200_000, "total_tokens": 200_010,
            },
        }  # fmt: skip
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def gateway(make_bundle, tmp_path) -> Iterator[str]:
    """LiteLLM with our configuration, and a provider on loopback."""
    if not REAL:
        pytest.skip("DEVPLAT_TEST_LITELLM names no python with litellm[proxy] in it")
    provider = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    path = write(make_bundle, tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        "PATH": f"{Path(REAL).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LITELLM_MASTER_KEY": MASTER,
        "OPENAI_API_KEY": "x",
        "ANTHROPIC_API_KEY": "y",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{provider.server_address[1]}/v1",
        "DEVPLAT_LEDGER": str(tmp_path / "spend.json"),
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "NO_DOCS": "True",
        "NO_PROXY": "127.0.0.1",
    }
    log = (tmp_path / "log").open("w")
    command = [str(Path(REAL).with_name("litellm")), "--config", str(path / "config.yaml")]
    running = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        env=environment, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    base = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: ask(base, "/health/liveliness")[0] == 200, running, tmp_path / "log")
        yield base
    finally:
        running.terminate()
        running.wait(20)
        provider.shutdown()
        provider.server_close()
        log.close()


def wait_until(
    done: Any, running: subprocess.Popen[bytes], log: Path, patience_s: float = 90
) -> None:
    end = time.monotonic() + patience_s
    while True:
        try:
            if done():
                return
        except OSError:
            pass
        if running.poll() is not None or time.monotonic() > end:
            raise AssertionError(log.read_text()[-3000:])
        threading.Event().wait(0.3)


def ask(base: str, path: str, key: str = "", body: Any = None) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    data = None
    if body is not None:
        headers["Content-Type"], data = "application/json", json.dumps(body).encode()
    try:
        with urllib.request.urlopen(
            urllib.request.Request(base + path, data, headers), timeout=30
        ) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


@pytest.mark.slow
def test_litellm_itself_keeps_keys_and_budgets_of_teams(gateway, teams, tmp_path):
    developers, data = teams.key_of("developers", MASTER), teams.key_of("data", MASTER)
    assert ask(gateway, "/v1/models")[0] == 401
    assert ask(gateway, "/v1/models", "sk-" + "x" * 48)[0] == 401
    for key in (MASTER, developers):
        status, text = ask(gateway, "/v1/models", key)
        assert status == 200, text
        found = {model["id"] for model in json.loads(text)["data"]}
        assert found >= {"default", "small", "openai-default", "anthropic-small"}
    # a team reaches models and nothing of the administrator's
    assert ask(gateway, "/model/info", developers)[0] in (401, 403)
    assert ask(gateway, "/model/info", MASTER)[0] == 200
    assert ask(gateway, "/metrics/", developers)[0] in (401, 403)

    question = {"model": "default", "messages": [{"role": "user", "content": "anything"}]}
    status, text = ask(gateway, "/v1/chat/completions", developers, question)
    assert (status, "seen" in text) == (200, True), text
    ledger = tmp_path / "spend.json"
    end = time.monotonic() + 20
    while not ledger.exists() and time.monotonic() < end:
        threading.Event().wait(0.2)
    assert json.loads(ledger.read_text())[teams.this_month()]["developers"] > 1
    # the budget of one US dollar is spent, and only that team's
    status, text = ask(gateway, "/v1/chat/completions", developers, question)
    assert status in (400, 422, 429), text
    assert "udget" in text
    assert ask(gateway, "/v1/chat/completions", data, question)[0] == 200
    status, text = ask(gateway, "/metrics/", MASTER)
    assert status == 200
    assert 'team="developers"' in text


def test_the_program_prints_a_key_to_who_may_read_the_master_key(tmp_path):
    spec = importlib.util.spec_from_file_location("teams_program", TEAMS)
    assert spec is not None
    done = subprocess.run(
        [sys.executable, TEAMS, "developers"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "LITELLM_MASTER_KEY" in done.stderr
