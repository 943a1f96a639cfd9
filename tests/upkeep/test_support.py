"""The support bundle: no secret in it in any form, hashes of it all, what is missing and why.

Cases of the acceptance catalogue of secrets whose probe is a support bundle are named where met.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from installer.adapters.local import LocalHost
from installer.core.errors import Problem, Remedy, RemoteIoError
from installer.core.layout import Layout
from installer.core.redaction import MARK, Redactor, find_secrets
from installer.core.support import (
    MANIFEST,
    Gathered,
    hide_environment,
    make_bundle,
    parts_of_secrets,
)
from installer.phases.support import collect_host, read_delivered
from tests.upkeep.builders import ours
from tests.upkeep.engine import FakeEngine

CANARY = "canary-Zq7-0123456789 with $dollar"
URL = "postgres://gitea:canary-in-a-url-9@db:5432/gitea"


def bundle_of(texts: dict[str, str], redact: Any = None) -> Any:
    gathered = Gathered()
    for path, text in texts.items():
        gathered.add(path, text)
    secrets = parts_of_secrets({"gitea/admin": CANARY, "gitea/url": URL})
    redactor = Redactor(secrets.values())
    return make_bundle(gathered, {"deployment": "trial"}, redact or redactor.redact, secrets)


@pytest.mark.parametrize(
    "text",
    [
        f"password is {CANARY}",
        json.dumps({"a": CANARY}),
        base64.b64encode(f"user:{CANARY}".encode()).decode(),
        CANARY.encode().hex(),
        "login with canary-in-a-url-9 refused",
        f"dial {URL}: no route",
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\n-----END PRIVATE KEY-----",
        "Authorization: Bearer abcdefghijklmnop",
        "X-Vault-Token: hvs.CAESIJ1234567890abcdefghijklmnop",
    ],
)
def test_a_secret_in_a_text_is_hidden_in_every_form(text: str) -> None:
    made = bundle_of({"log.txt": text})
    data = made.files.get("log.txt", b"")
    assert MARK in data.decode()
    assert find_secrets(data, parts_of_secrets({"a": CANARY, "u": URL})) == ()


def test_a_text_that_still_holds_a_secret_is_left_out_and_named_without_it() -> None:
    """The seeded defect: a redaction that does nothing."""
    made = bundle_of({"log.txt": f"it is {CANARY}", "ok.txt": "fine"}, redact=str)
    assert set(made.files) == {"ok.txt", MANIFEST}
    manifest = json.loads(made.files[MANIFEST])
    assert manifest["left_out"][0]["path"] == "log.txt"
    assert "known secret" in manifest["left_out"][0]["why"]
    assert CANARY.encode() not in made.files[MANIFEST]


def test_the_manifest_has_the_hash_of_each_file_and_what_was_left_out() -> None:
    made = bundle_of({"a.txt": "one", "empty.txt": " \n"})
    manifest = json.loads(made.files[MANIFEST])
    assert manifest["files"]["a.txt"] == {"sha256": hashlib.sha256(b"one").hexdigest(), "size": 3}
    assert manifest["left_out"] == [{"path": "empty.txt", "why": "nothing was there"}]
    assert manifest["facts"] == {"deployment": "trial"}


def test_names_of_the_environment_are_kept_and_no_value() -> None:
    [shown] = hide_environment([{"Id": "x", "Config": {"Env": ["A=one=two", "B="], "User": "1"}}])
    assert shown["Config"] == {"Env": [f"A={MARK}", f"B={MARK}"], "User": "1"}
    assert hide_environment([{"Id": "x"}])[0]["Config"]["Env"] == []


def test_a_short_value_is_no_secret_to_look_for() -> None:
    assert parts_of_secrets({"a": "yes", "b": "longer-than-that\n"}).keys() == {"b"}


# from a host


@pytest.fixture
def deployed(engine: FakeEngine, layout: Layout, tmp_path: Path) -> FakeEngine:
    mine = ours("trial-gitea-1")
    inspect = {
        "Id": mine.id,
        "Name": "/trial-gitea-1",
        "RestartCount": 3,
        "State": {"Health": {"Status": "unhealthy", "Log": [{"Output": f"no {CANARY}"}]}},
        "Config": {"Env": [f"PASSWORD={CANARY}"]},
    }
    engine.add("container", mine, inspect=inspect)
    (engine.root / "logs" / mine.id).write_text(f"started\nrefused: {CANARY}\n")
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "url").write_text(URL)
    engine.add("volume", ours("trial_gitea-secrets"), place=str(volume))
    Path(layout.secrets, "gitea").mkdir(parents=True)
    Path(layout.secrets, "gitea/admin").write_text(CANARY)
    Path(layout.journal).write_text('{"steps": {"launch.all": "begun"}}')
    Path(layout.state, "boot-login").write_text(f"role\n{CANARY}\n")
    Path(layout.override).write_text(f"services: {{x: {{environment: {{P: '{CANARY}'}}}}}}\n")
    return engine


def gather(host: Any, layout: Layout, lines: int | None = 100) -> Gathered:
    gathered = Gathered()
    list(collect_host(host, "trial", layout, gathered, lines))
    return gathered


def test_the_secrets_on_the_host_are_known_so_that_they_are_found(
    deployed: FakeEngine, host: LocalHost, layout: Layout
) -> None:
    found = read_delivered(host, "trial", layout)
    assert found == {"files/gitea/admin": CANARY, "trial_gitea-secrets/url": URL}


def test_no_secret_of_a_host_is_in_its_bundle(
    deployed: FakeEngine, host: LocalHost, layout: Layout
) -> None:
    """SE-05, SE-07 for the bundle: planted in a log, a health check, the environment, two files."""
    gathered = gather(host, layout)
    planted = "".join(gathered.texts.values())
    assert CANARY in planted, "the canary was not planted where it can be seen"
    secrets = parts_of_secrets(read_delivered(host, "trial", layout))
    made = make_bundle(gathered, {}, Redactor(secrets.values()).redact, secrets)
    for path, data in made.files.items():
        assert find_secrets(data, secrets) == (), path
    assert "refused: " in made.files["containers/trial-gitea-1/log.txt"].decode()
    assert f"PASSWORD={MARK}" in made.files["containers/trial-gitea-1/inspect.json"].decode()
    assert "unhealthy" in made.files["containers/trial-gitea-1/health.json"].decode()
    assert "launch.all" in made.files["target/state/journal.json"].decode()
    assert made.files["host/uname.txt"].startswith(b"Linux")
    left = {item.path: item.why for item in made.left}
    assert "may hold keys" in left["target/state/boot-login"]
    assert "yours" in left["target/compose.override.yaml"]


def test_without_a_known_secret_logs_are_not_taken(
    deployed: FakeEngine, host: LocalHost, layout: Layout
) -> None:
    gathered = gather(host, layout, None)
    assert not [path for path in gathered.texts if path.endswith("log.txt") and "/trial" in path]
    assert "containers/trial-gitea-1/inspect.json" in gathered.texts


def test_a_half_installed_host_gives_what_it_has(
    engine: FakeEngine, host: LocalHost, tmp_path: Path
) -> None:
    nowhere = Layout(str(tmp_path / "no/opt"), str(tmp_path / "no/data"))
    engine.silence()
    gathered = gather(host, nowhere)
    assert "host/uname.txt" in gathered.texts
    left = {item.path for item in gathered.left}
    assert {"containers", "target/release/manifest.json"} <= left
    assert read_delivered(host, "trial", nowhere) == {}


def test_a_part_that_fails_does_not_take_the_others_with_it(
    deployed: FakeEngine, host: LocalHost, layout: Layout
) -> None:
    class Flaky:
        name = "flaky"

        def run(self, command: Any) -> Any:
            if "docker" not in command.script or "uname" in command.script:
                return host.run(command)
            raise RemoteIoError(Problem("remote.failed", "gone", Remedy("again")))

    gathered = gather(Flaky(), layout)
    assert "target/state/journal.json" in gathered.texts
    assert ("containers", "remote.failed: gone") in [(i.path, i.why) for i in gathered.left]


def test_half_an_address_or_a_name_is_no_secret_and_half_a_made_value_is() -> None:
    made = "q7Zp" * 10
    secrets = parts_of_secrets({"login": "authentik_f3ab12cd34", "key": made})
    gathered = Gathered()
    gathered.add("inspect.json", "image: authentik_server")
    gathered.add("log.txt", f"it ends early: {made[:20]}")
    bundle = make_bundle(gathered, {}, str, secrets)
    assert "inspect.json" in bundle.files
    assert [item.path for item in bundle.left] == ["log.txt"]
