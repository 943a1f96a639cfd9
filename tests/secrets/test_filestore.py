"""The encrypted local store: durable, private, tamper-evident, the same on a second run.

Covers SE-08, SE-15 (version 1 stays version 1), SE-24, INV-04, INV-05 and INV-12.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from installer.adapters import sealed
from installer.adapters.filestore import FileStore, create_store, open_store
from installer.core.errors import (
    ConflictError,
    ExitCode,
    IntegrityError,
    LocalIoError,
    SecretStoreError,
)
from installer.core.secrets import Secret, SecretKind
from tests.secrets.stores import NOW, PASSPHRASE, VALUE, code_of, spec


def never() -> Secret:
    raise AssertionError("a second value was made for a secret that exists")


def test_a_second_ensure_returns_the_first_value(store: FileStore, path: Path) -> None:
    assert store.ensure(spec(), never) == VALUE
    again = open_store(path, PASSPHRASE)
    assert again.ensure(spec(), never) == VALUE
    assert again.get("db-password") == VALUE
    assert again.names() == {"db-password"}
    assert again.get("other") is None
    assert again.record("other") is None


def test_se_15_version_stays_1_until_a_rotation(store: FileStore, path: Path) -> None:
    store.ensure(spec(), never)
    record = open_store(path, PASSPHRASE).record("db-password")
    assert record is not None
    assert (record.version, record.created, record.kind) == (1, NOW, SecretKind.PASSWORD)
    assert record.purpose == "logs in to the database"
    assert store.replace(spec(), Secret("rotated")) == Secret("rotated")
    rotated = store.record("db-password")
    assert rotated is not None
    assert rotated.version == 2
    assert store.get("db-password") == Secret("rotated")


@pytest.mark.parametrize("value", ["", " a ", "é\0\n\udcff", "x" * 100_000, "${a} {{b}} 'c' \"d\""])
def test_any_text_comes_back_byte_for_byte(path: Path, value: str) -> None:
    create_store(path, PASSPHRASE).ensure(spec(), lambda: Secret(value))
    assert open_store(path, PASSPHRASE).get("db-password") == Secret(value)


def test_no_value_and_no_name_is_in_clear_on_disk(store: FileStore, path: Path) -> None:
    store.ensure(spec("another-name"), lambda: VALUE)
    for file in path.parent.iterdir():
        data = file.read_bytes()
        for clear in (VALUE.reveal(), PASSPHRASE.reveal(), "db-password", "another-name"):
            assert clear.encode() not in data


def test_every_write_uses_a_fresh_nonce_and_the_rfc_9106_cost(store: FileStore, path: Path) -> None:
    heads = set()
    for i in range(3):
        store.replace(spec(), Secret(str(i)))
        heads.add(path.read_bytes().split(b"\n")[1])
    assert len(heads) == 3
    for head in heads:
        assert b'"memory_kib": 65536' in head
        assert b'"iterations": 3' in head
        assert b'"lanes": 4' in head


def test_the_key_is_derived_once_in_a_process(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    real = sealed.Argon2id

    def counting(**parameters: int) -> object:
        calls.append(1)
        return real(**parameters)  # type: ignore[arg-type]

    monkeypatch.setattr(sealed, "Argon2id", counting)
    passphrase = Secret("used in this test only")
    store = create_store(path, passphrase)
    for i in range(5):
        store.ensure(spec(f"s{i}"), lambda: VALUE)
    open_store(path, passphrase).get("s1")
    assert len(calls) == 1


def test_a_wrong_passphrase_is_told_from_damage(store: FileStore, path: Path) -> None:
    for wrong in ("", "correct horse battery stapl", PASSPHRASE.reveal() + " "):
        with pytest.raises(SecretStoreError) as caught:
            open_store(path, Secret(wrong))
        assert code_of(caught) == "vault.passphrase"
        assert caught.value.exit_code is ExitCode.VAULT


def test_the_same_passphrase_typed_on_another_keyboard_opens(path: Path) -> None:
    create_store(path, Secret("caf\u00e9 m\u00fcller"))
    assert open_store(path, Secret("cafe\u0301 mu\u0308ller")).names() == frozenset()


@pytest.mark.parametrize("empty", ["", "   "])
def test_an_empty_passphrase_makes_no_store(path: Path, empty: str) -> None:
    with pytest.raises(SecretStoreError) as caught:
        create_store(path, Secret(empty))
    assert code_of(caught) == "vault.passphrase"
    assert not path.exists()


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80])
def test_any_flipped_byte_is_damage(store: FileStore, path: Path, mask: int) -> None:
    good = path.read_bytes()
    for at in [*range(0, len(good), 50), 21, len(good) - 1]:
        path.write_bytes(good[:at] + bytes([good[at] ^ mask]) + good[at + 1 :])
        for use in (lambda: open_store(path, PASSPHRASE), store.names):
            with pytest.raises(IntegrityError) as caught:
                use()
            assert code_of(caught) == "store.damaged", at
            assert "copy kept at" in caught.value.problems[0].remedy.summary
    path.write_bytes(good)
    assert open_store(path, PASSPHRASE).get("db-password") == VALUE


def test_a_file_cut_off_anywhere_is_damage(store: FileStore, path: Path) -> None:
    good = path.read_bytes()
    for length in [0, *range(1, len(good), 50), len(good) - 1]:
        path.write_bytes(good[:length])
        with pytest.raises(IntegrityError) as caught:
            open_store(path, PASSPHRASE)
        assert code_of(caught) == "store.damaged"
    path.write_bytes(good + b"x")
    with pytest.raises(IntegrityError):
        open_store(path, PASSPHRASE)


def reseal(lines: list[bytes], body: bytes) -> bytes:
    import hashlib

    covered = b"\n".join(lines) + b"\n"
    return covered + hashlib.sha256(covered).hexdigest().encode() + b"\n" + body


def test_a_newer_format_is_named_as_such(store: FileStore, path: Path) -> None:
    first, head, _, body = path.read_bytes().split(b"\n", 3)
    path.write_bytes(reseal([first.replace(b" 1", b" 2"), head], body))
    with pytest.raises(IntegrityError) as caught:
        open_store(path, PASSPHRASE)
    assert code_of(caught) == "store.version"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"65536", b"4294967295"),
        (b'"iterations": 3', b'"iterations": 99999'),
        (b'"memory_kib": 65536', b'"memory_kib": 8'),
        (b'"iterations": 3', b'"iterations": 1e999'),
        (b'"salt": "', b'"salt": "!'),
    ],
)
def test_a_header_that_asks_for_too_much_or_too_little_is_refused(
    store: FileStore, path: Path, old: bytes, new: bytes
) -> None:
    first, head, _, body = path.read_bytes().split(b"\n", 3)
    assert old in head
    path.write_bytes(reseal([first, head.replace(old, new)], body))
    with pytest.raises(IntegrityError) as caught:
        open_store(path, PASSPHRASE)
    assert code_of(caught) == "store.damaged"


def test_a_store_exchanged_for_another_one_is_noticed(store: FileStore, path: Path) -> None:
    other = path.with_name("other.store")
    create_store(other, Secret("another passphrase"))
    other.replace(path)
    with pytest.raises(IntegrityError) as caught:
        store.get("db-password")
    assert code_of(caught) == "store.damaged"


def test_the_generation_before_is_kept_and_can_be_put_back(store: FileStore, path: Path) -> None:
    store.replace(spec(), Secret("new"))
    previous = path.with_name(path.name + ".previous")
    assert stat.S_IMODE(previous.stat().st_mode) == 0o600
    previous.replace(path)
    assert open_store(path, PASSPHRASE).get("db-password") == VALUE


def test_no_new_store_is_made_over_an_old_one(store: FileStore, path: Path) -> None:
    with pytest.raises(ConflictError) as caught:
        create_store(path, Secret("new"))
    assert code_of(caught) == "store.exists"
    path.unlink()
    with pytest.raises(ConflictError) as caught:
        create_store(path, Secret("new"))
    assert code_of(caught) == "store.exists"
    assert "previous" in caught.value.problems[0].remedy.commands[0]
    with pytest.raises(LocalIoError) as missing:
        open_store(path, PASSPHRASE)
    assert code_of(missing) == "store.missing"


def test_no_store_is_made_where_a_dangling_link_is(path: Path) -> None:
    path.parent.mkdir(0o700)
    path.symlink_to(path.parent / "nowhere")
    with pytest.raises(ConflictError):
        create_store(path, PASSPHRASE)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o666, 0o601])
def test_a_file_open_to_others_is_refused(store: FileStore, path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(LocalIoError) as caught:
        open_store(path, PASSPHRASE)
    assert code_of(caught) == "store.mode"
    problem = caught.value.problems[0]
    assert f"{mode:04o}" in problem.summary
    assert "0600" in problem.summary
    assert problem.remedy.commands == (f"chmod 0600 {path}",)
    with pytest.raises(LocalIoError):
        store.ensure(spec("new"), lambda: VALUE)


@pytest.mark.parametrize("mode", [0o750, 0o755, 0o777, 0o701])
def test_a_directory_open_to_others_is_refused(store: FileStore, path: Path, mode: int) -> None:
    path.parent.chmod(mode)
    with pytest.raises(LocalIoError) as caught:
        store.get("db-password")
    assert code_of(caught) == "store.mode"


def test_a_link_in_place_of_the_file_is_refused(store: FileStore, path: Path) -> None:
    real = path.with_name("real")
    path.rename(real)
    path.symlink_to(real)
    with pytest.raises(IntegrityError) as caught:
        open_store(path, PASSPHRASE)
    assert code_of(caught) == "store.not_plain"


def test_a_pipe_or_directory_in_place_of_the_file_is_refused(path: Path) -> None:
    path.parent.mkdir(0o700)
    os.mkfifo(path, 0o600)
    with pytest.raises(IntegrityError) as caught:
        open_store(path, PASSPHRASE)
    assert code_of(caught) == "store.not_plain"
    path.unlink()
    path.mkdir(0o700)
    with pytest.raises(IntegrityError) as caught:
        open_store(path, PASSPHRASE)
    assert code_of(caught) == "store.not_plain"


def test_a_file_of_another_user_is_refused(
    store: FileStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = os.geteuid()
    answers = iter([own, own + 1, own + 1, own + 1])  # the directory is ours, the file is not
    monkeypatch.setattr(os, "geteuid", lambda: next(answers))
    with pytest.raises(IntegrityError) as caught:
        open_store(path, PASSPHRASE)
    assert code_of(caught) == "store.owner"


def test_a_huge_file_is_not_read(store: FileStore, path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(64 * 1024 * 1024)
    with pytest.raises(LocalIoError) as caught:
        open_store(path, PASSPHRASE)
    assert code_of(caught) == "store.too_big"
