"""What rotation and removal leave in the encrypted file, and in the generation before it.

Covers SE-20 (the value before is kept, one of them) and SE-21 (a kill in the middle).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from installer.adapters import filestore
from installer.adapters.filestore import FileStore, open_store
from installer.adapters.sealed import open_key, seal, unseal
from installer.core.errors import IntegrityError
from installer.core.secrets import Secret
from tests.secrets.stores import PASSPHRASE, ROOT, VALUE, code_of, spec

NEW, NEWER = Secret("Qz9canaryrotated"), Secret("Lm4canarythird")


def content_of(path: Path) -> dict[str, dict[str, object]]:
    sealed = path.read_bytes()
    content: dict[str, dict[str, object]] = json.loads(
        unseal(sealed, open_key(sealed, PASSPHRASE, "x"), "x")
    )["secrets"]
    return content


def rewrite(path: Path, content: object) -> None:
    key = open_key(path.read_bytes(), PASSPHRASE, "x")
    path.write_bytes(seal(json.dumps({"secrets": content}).encode(), key))


def before(path: Path) -> Path:
    return path.with_name(path.name + ".previous")


def test_se_20_one_value_before_the_current_one_is_kept_and_no_more(
    store: FileStore, path: Path
) -> None:
    store.replace(spec(), NEW)
    store.replace(spec(), NEWER)
    entry = content_of(path)["db-password"]
    assert (entry["value"], entry["previous"]) == (NEWER.reveal(), NEW.reveal())
    assert VALUE.reveal() not in json.dumps(content_of(path))
    assert entry["version"] == 3


def test_a_store_from_before_rotation_opens_and_rotates(store: FileStore, path: Path) -> None:
    content = content_of(path)
    del content["db-password"]["previous"]
    rewrite(path, content)
    old = open_store(path, PASSPHRASE)
    assert old.get("db-password") == VALUE
    assert old.previous("db-password") is None
    old.replace(spec(), NEW)
    assert open_store(path, PASSPHRASE).previous("db-password") == VALUE


def test_a_removed_secret_is_in_neither_generation(store: FileStore, path: Path) -> None:
    store.ensure(spec("transport"), lambda: NEW)
    assert store.ensure(spec("other"), lambda: VALUE) == VALUE
    assert "transport" in content_of(before(path))
    store.remove("transport")
    for file in (path, before(path)):
        assert NEW.reveal() not in json.dumps(content_of(file))
        assert set(content_of(file)) == {"db-password", "other"}
    before(path).replace(path)  # as the remedy of a damaged store says
    assert open_store(path, PASSPHRASE).get("other") == VALUE


def test_removing_what_is_not_there_writes_nothing(store: FileStore, path: Path) -> None:
    store.replace(spec(), NEW)
    files = {file: file.read_bytes() for file in (path, before(path))}
    store.remove("absent")
    assert {file: file.read_bytes() for file in files} == files


def test_a_removal_that_is_not_stored_is_said(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filestore, "replace_private", lambda *_: None)
    with pytest.raises(IntegrityError) as caught:
        store.remove("db-password")
    assert code_of(caught) == "store.damaged"


CHILD = """
import os, signal, sys
from pathlib import Path
from installer.adapters.filestore import open_store
from installer.core.secrets import Secret
store = open_store(Path(sys.argv[1]), Secret(sys.argv[2]))
left = int(sys.argv[3])
real = os.replace
def dying(*arguments, **named):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **named)
os.replace = dying
store.remove("transport")
print("done")
"""


@pytest.mark.parametrize("renames", [0, 1, 2, 3, 4])
def test_se_21_a_removal_killed_between_any_two_renames_is_completed_by_the_next(
    store: FileStore, path: Path, renames: int
) -> None:
    store.ensure(spec("transport"), lambda: NEW)
    command = [sys.executable, "-c", CHILD, str(path), PASSPHRASE.reveal(), str(renames)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stderr == ""
    assert (done.stdout == "done\n") == (renames == 4)
    again = open_store(path, PASSPHRASE)
    assert again.get("db-password") == VALUE
    assert again.get("transport") in (None, NEW)
    again.remove("transport")
    for file in (path, before(path)):
        assert set(content_of(file)) == {"db-password"}
