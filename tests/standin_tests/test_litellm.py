"""The stand-in for LiteLLM's proxy reads its configuration as that does."""

from __future__ import annotations

import litellm
import pytest
from standin import Refused

KEY = "sk-0123456789abcdef0123"
CONFIG = """
model_list:
  - model_name: default
    litellm_params: {model: bedrock/x, api_key: os.environ/SOME_KEY}
litellm_settings: {callbacks: [prometheus]}
general_settings: {master_key: os.environ/LITELLM_MASTER_KEY}
"""


def read(tmp_path, text=CONFIG, **environment):
    (tmp_path / "config.yaml").write_text(text)
    return litellm.read_config(tmp_path / "config.yaml", environment)


def test_references_to_the_environment_are_resolved(tmp_path):
    config = read(tmp_path, SOME_KEY="k", LITELLM_MASTER_KEY=KEY)
    assert config["model_list"][0]["litellm_params"]["api_key"] == "k"
    assert litellm.master_key(config, {}) == KEY


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("SOME_KEY", "OTHER_KEY", "no OTHER_KEY"),
        ("general_settings", "general", "unknown section"),
        ("model_name", "name", "model_name"),
        ("bedrock/x, api_key", "bedrock/x], api_key", "--config"),
    ],
)
def test_a_configuration_that_is_wrong_is_refused(tmp_path, old, new, reason):
    with pytest.raises(Refused, match=reason):
        read(tmp_path, CONFIG.replace(old, new), SOME_KEY="k", LITELLM_MASTER_KEY=KEY)


@pytest.mark.parametrize("key", ["", "0123456789abcdef0123", "sk-short"])
def test_a_master_key_of_the_wrong_form_is_refused(key):
    with pytest.raises(Refused, match="sk-"):
        litellm.master_key({}, {"LITELLM_MASTER_KEY": key})


def test_models_and_metrics_ask_for_the_key_and_health_does_not(tmp_path, ask):
    config = read(tmp_path, SOME_KEY="k", LITELLM_MASTER_KEY=KEY)
    app = litellm.make_app(config, KEY, None)
    headers = {"Authorization": f"Bearer {KEY}"}
    assert ask(app, "GET", "/health/liveliness").status == 200
    assert ask(app, "GET", "/v1/models").status == 401
    assert ask(app, "GET", "/v1/models", headers=headers).body["data"][0]["id"] == "default"
    assert ask(app, "GET", "/metrics").status == 401
    assert ask(app, "GET", "/metrics", headers=headers).status == 200


def test_unknown_options_are_refused():
    assert litellm.parse_flags(["--config", "x", "--port=1"]) == {"config": "x", "port": "1"}
    with pytest.raises(Refused, match="--colour"):
        litellm.parse_flags(["--colour", "red"])
