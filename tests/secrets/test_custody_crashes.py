"""Custody under kill -9 at random instants: no share is lost, none is handed over twice (F-052)."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from installer.adapters.custody import TRANSPORT, LocalCustody
from installer.adapters.filestore import open_store
from installer.core.redaction import find_secrets
from installer.core.secrets import Secret, share_fingerprint
from tests.secrets.custody_ceremony import PASSPHRASE
from tests.secrets.custody_keys import Keyring, make_keyring, now
from tests.secrets.stores import ROOT

KILLS = 20


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    made = make_keyring(tmp_path)
    (tmp_path / "custodians.json").write_text(json.dumps(made.custodians))
    return made


def run_killed(folder: Path, defect: str, *instants: int) -> tuple[list[dict[str, Any]], str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.secrets.custody_ceremony", str(folder), defect,
         *map(str, instants)],
        capture_output=True, text=True, cwd=ROOT, timeout=300, check=True,
    )  # fmt: skip
    for path in (folder / "template" / "run").iterdir():
        path.unlink()
    (folder / "template" / "run").rmdir()
    (folder / "template").rmdir()
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def check_outcome(place: Path, keys: Keyring) -> None:
    """Everything is where it belongs: shares with custodians, the login here, nothing else."""
    state = json.loads((place / "server.json").read_text())
    assert state["answer"] == []
    store = open_store(place / "run" / "secrets.store", PASSPHRASE)
    custody = LocalCustody(
        store, place / "run" / "custody", {}, ask=None, references=tuple, now=now
    )
    handed = custody.handed_over()
    assert [share.custodian for share in handed] == list(keys.custodians)
    for share, text in zip(handed, state["shares"], strict=True):
        opened = keys.openers[share.custodian](Path(share.place).read_bytes()).decode()
        assert opened == f"{text}\n"
        assert share.fingerprint == share_fingerprint(Secret(text))
    assert custody.access() is not None
    before = open_store(place / "run" / "secrets.store.previous", PASSPHRASE)
    assert TRANSPORT.name not in store.names() | before.names()
    names = {path.name for path in (place / "run" / "custody").iterdir()}
    assert names == {*(Path(share.place).name for share in handed), ".handing-over.lock"}
    planted = {str(at): Secret(text) for at, text in enumerate(state["shares"])}
    for path in (place / "run").rglob("*"):
        assert not path.is_file() or find_secrets(path.read_bytes(), planted) == ()


def test_a_kill_at_any_instant_loses_no_share(tmp_path: Path, keys: Keyring) -> None:
    seed = int(os.environ.get("DEVPLAT_TEST_SEED", random.randrange(10**9)))
    print(f"DEVPLAT_TEST_SEED={seed}")
    (whole,), _ = run_killed(tmp_path, "none", 0)
    assert whole["killed"] == 0
    check_outcome(Path(whole["place"]), keys)
    instants = random.Random(seed).sample(range(1, whole["calls"]), KILLS)
    rounds, errors = run_killed(tmp_path, "none", *instants)
    assert [done["instant"] for done in rounds] == instants, errors
    assert {done["killed"] for done in rounds} == {-9}
    for done in rounds:
        assert done["resumed"] == 0, f"instant {done['instant']}: {errors[-2000:]}"
        check_outcome(Path(done["place"]), keys)


def test_a_private_half_that_is_not_kept_at_once_is_found_to_be_lost(
    tmp_path: Path, keys: Keyring
) -> None:
    """The check above sees a defect: the sweep comes to an instant after which nothing opens."""
    (whole,), _ = run_killed(tmp_path, "hasty", 0)
    assert whole["killed"] == 0
    rounds, errors = run_killed(tmp_path, "hasty", *range(1, whole["calls"], 2))
    assert rounds[-1]["resumed"] == 1
    assert "vault.transport_lost" in errors or "transport key" in errors


def test_the_outcome_is_checked_share_by_share(tmp_path: Path, keys: Keyring) -> None:
    (whole,), _ = run_killed(tmp_path, "none", 0)
    place = Path(whole["place"])
    first, second = sorted((place / "run" / "custody").glob("[12]-*"))
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    with pytest.raises(Exception, match=r"(?i)key|decrypt"):
        check_outcome(place, keys)
    first.write_bytes(kept)
    check_outcome(place, keys)
    state = json.loads((place / "server.json").read_text())
    (place / "run" / "stray").write_text(state["shares"][0])
    with pytest.raises(AssertionError):
        check_outcome(place, keys)
