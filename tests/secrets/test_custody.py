"""Custody of a server's keys: transport, handing over, the login (SE-17, SE-18, F-050..F-052)."""

from __future__ import annotations

import errno
import os
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from pysequoia import Cert

from installer.adapters.custody import ACCESS, RECORD, TRANSPORT
from installer.core.errors import (
    AnswersError,
    ConflictError,
    ExitCode,
    InstallError,
    IntegrityError,
    LocalIoError,
    SecretStoreError,
)
from installer.core.redaction import find_secrets
from installer.core.secrets import Secret, share_fingerprint
from installer.core.shares import canonical_share, hex_share
from installer.ports import Custody, RoleKey
from tests.secrets.custody_keys import (
    MemoryStore,
    make_custodian,
    make_custody,
    make_keyring,
    make_shares,
    seal_to,
)


def code_of(caught: pytest.ExceptionInfo[InstallError]) -> str:
    problem = caught.value.problems[0]
    assert problem.remedy.summary
    return problem.code


def test_the_private_half_is_durable_before_the_public_one_is_given(tmp_path: Path) -> None:
    store = MemoryStore()
    custody: Custody = make_custody(tmp_path, {}, store)
    public = custody.transport_key()
    assert store.log == [f"write {TRANSPORT.name}"]
    cert = Cert.from_bytes(b64decode(public, validate=True))
    assert b"PRIVATE" not in b64decode(public)
    assert store.values[TRANSPORT.name][0].reveal().startswith("-----BEGIN PGP PRIVATE KEY BLOCK")
    assert cert.expiration is None


def test_a_rerun_gives_the_same_transport_key(tmp_path: Path) -> None:
    store = MemoryStore()
    first = make_custody(tmp_path, {}, store).transport_key()
    assert make_custody(tmp_path, {}, store).transport_key() == first
    assert make_custody(tmp_path, {}, MemoryStore()).transport_key() != first


def test_what_the_server_sealed_is_opened_by_another_run(tmp_path: Path) -> None:
    store = MemoryStore()
    sealed = seal_to(make_custody(tmp_path, {}, store).transport_key(), "hvs.the-root-token")
    assert make_custody(tmp_path, {}, store).open(sealed) == Secret("hvs.the-root-token")


def test_an_answer_to_a_lost_key_says_so(tmp_path: Path) -> None:
    """F-051, F-052: without the private half nothing is guessed."""
    sealed = seal_to(make_custody(tmp_path, {}).transport_key(), "value")
    with pytest.raises(SecretStoreError) as caught:
        make_custody(tmp_path, {}).open(sealed)
    assert code_of(caught) == "vault.transport_lost"
    other = make_custody(tmp_path, {})
    other.transport_key()
    with pytest.raises(SecretStoreError) as caught:
        other.open(sealed)
    assert code_of(caught) == "vault.transport_lost"
    assert "put that run directory back" in caught.value.problems[0].remedy.summary


@pytest.mark.parametrize("damage", ["cut", "flip", "no base64", "no message", "empty", "no text"])
def test_a_damaged_answer_is_told_apart_from_a_lost_key(tmp_path: Path, damage: str) -> None:
    custody = make_custody(tmp_path, {})
    public = custody.transport_key()
    octets = bytearray(b64decode(seal_to(public, "a value of some length")))
    assert custody.open(b64encode(octets).decode())
    flipped = bytearray(octets)
    flipped[-10] ^= 1
    sealed = {
        "cut": b64encode(octets[:-3]).decode(),
        "flip": b64encode(flipped).decode(),
        "no base64": "%%%",
        "no message": b64encode(b"hello").decode(),
        "empty": "",
        "no text": seal_to(public, "\udcff".encode("utf-8", "surrogateescape").decode("latin-1")),
    }[damage]
    if damage == "no text":
        from pysequoia import encrypt

        cert = Cert.from_bytes(b64decode(public))
        sealed = b64encode(encrypt(b"\xff\xfe", recipients=[cert], armor=False)).decode()
    with pytest.raises(IntegrityError) as caught:
        custody.open(sealed)
    assert code_of(caught) == "vault.answer_damaged"


def test_each_share_is_for_its_custodian_alone_and_the_record_has_fingerprints(
    tmp_path: Path,
) -> None:
    """SE-18."""
    keys = make_keyring(tmp_path, ("age", "ssh", "ssh-rsa", "openpgp"))
    store, shares = MemoryStore(), make_shares(4)
    custody = make_custody(tmp_path, keys.custodians, store)
    handed = custody.hand_over(shares)
    folder = tmp_path / "run" / "custody"
    assert [share.place for share in handed] == [
        str(folder / name)
        for name in ("1-age-1.age", "2-ssh-2.age", "3-ssh-rsa-3.age", "4-openpgp-4.asc")
    ]
    for share, secret in zip(handed, shares, strict=True):
        data = Path(share.place).read_bytes()
        assert keys.openers[share.custodian](data).decode().strip() == secret.reveal()
        assert share.fingerprint == share_fingerprint(secret)
        assert len(share.fingerprint) == 16
        assert Path(share.place).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert custody.handed_over() == handed
    planted = {str(at): share for at, share in enumerate(shares)}
    kept = [
        *(p.read_bytes() for p in folder.iterdir()),
        store.values[RECORD.name][-1].reveal().encode(),
    ]
    assert [find_secrets(data, planted) for data in kept] == [()] * 6
    assert find_secrets(shares[0].reveal().encode(), planted), "the detector does not detect"


def test_without_custodians_plain_shares_are_for_the_owner_alone(tmp_path: Path) -> None:
    shares = make_shares(2)
    custody = make_custody(tmp_path, {})
    old = os.umask(0)
    try:
        handed = custody.hand_over(shares)
    finally:
        os.umask(old)
    assert [Path(share.place).name for share in handed] == ["1-plain.txt", "2-plain.txt"]
    for share, secret in zip(handed, shares, strict=True):
        assert Path(share.place).read_text() == f"{secret.reveal()}\n"
        assert Path(share.place).stat().st_mode & 0o777 == 0o600


def test_handing_over_again_changes_nothing(tmp_path: Path) -> None:
    keys, store, shares = make_keyring(tmp_path), MemoryStore(), make_shares(3)
    custody = make_custody(tmp_path, keys.custodians, store)
    handed = custody.hand_over(shares)
    files = {share.place: Path(share.place).read_bytes() for share in handed}
    log = list(store.log)
    assert make_custody(tmp_path, keys.custodians, store).hand_over(shares) == handed
    assert {place: Path(place).read_bytes() for place in files} == files
    assert store.log == log


def test_a_file_that_went_missing_is_written_again(tmp_path: Path) -> None:
    keys, store, shares = make_keyring(tmp_path), MemoryStore(), make_shares(3)
    custody = make_custody(tmp_path, keys.custodians, store)
    handed = custody.hand_over(shares)
    Path(handed[1].place).unlink()
    assert custody.hand_over(shares) == handed
    assert keys.openers[handed[1].custodian](Path(handed[1].place).read_bytes())


def test_other_shares_never_take_the_place_of_those_handed_over(tmp_path: Path) -> None:
    keys, store = make_keyring(tmp_path), MemoryStore()
    custody = make_custody(tmp_path, keys.custodians, store)
    handed = custody.hand_over(make_shares(3))
    files = {share.place: Path(share.place).read_bytes() for share in handed}
    for again in (custody, make_custody(tmp_path, keys.custodians, MemoryStore())):
        with pytest.raises(ConflictError) as caught:
            again.hand_over(make_shares(3))
        assert code_of(caught) == "vault.custody_taken"
    assert {place: Path(place).read_bytes() for place in files} == files
    assert custody.handed_over() == handed


@pytest.mark.parametrize("kept", ["shares", "login"])
def test_no_server_is_initialised_where_the_keys_of_another_one_lie(
    tmp_path: Path, kept: str
) -> None:
    """An empty server on the target may be a disk that is not mounted."""
    custody = make_custody(tmp_path, {})
    custody.transport_key()
    if kept == "shares":
        custody.hand_over(make_shares(1))
    else:
        custody.keep_access(RoleKey("role", Secret("secret-id")))
    with pytest.raises(ConflictError) as caught:
        custody.transport_key()
    assert code_of(caught) == "vault.custody_taken"
    assert "is mounted" in caught.value.problems[0].remedy.summary
    assert caught.value.exit_code is ExitCode.CONFLICT


def test_a_corrected_key_gets_the_same_share_while_it_can_be_had(tmp_path: Path) -> None:
    keys, store, shares = make_keyring(tmp_path), MemoryStore(), make_shares(3)
    custody = make_custody(tmp_path, keys.custodians, store)
    custody.transport_key()
    handed = custody.hand_over(shares)
    text, opener = make_custodian("openpgp", tmp_path / "new.pgp")
    custodians = {
        "age-1": keys.custodians["age-1"],
        "dora": text,
        "openpgp-3": keys.custodians["openpgp-3"],
    }
    corrected = make_custody(tmp_path, custodians, store)
    assert corrected.handed_over() == ()
    again = corrected.hand_over(shares)
    assert [share.custodian for share in again] == ["age-1", "dora", "openpgp-3"]
    assert opener(Path(again[1].place).read_bytes()).decode().strip() == shares[1].reveal()
    assert not Path(handed[1].place).exists()
    assert corrected.handed_over() == again
    corrected.forget_transport()
    # Later the answers may say what they like: what was handed over is history.
    assert make_custody(tmp_path, {"x": "gone"}, store).handed_over() == again


def test_as_many_custodians_as_shares_are_needed(tmp_path: Path) -> None:
    keys = make_keyring(tmp_path)
    custody = make_custody(tmp_path, keys.custodians)
    with pytest.raises(AnswersError) as caught:
        custody.hand_over(make_shares(4))
    assert code_of(caught) == "vault.custodians"
    assert "3 custodians are named, and the server has 4 shares" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_an_unusable_key_stops_before_the_first_file(tmp_path: Path) -> None:
    keys, store = make_keyring(tmp_path), MemoryStore()
    custodians = {**keys.custodians, "openpgp-3": str(tmp_path / "missing")}
    with pytest.raises(AnswersError) as caught:
        make_custody(tmp_path, custodians, store).hand_over(make_shares(3))
    assert code_of(caught) == "vault.custodian_key"
    assert not (tmp_path / "run").exists()
    assert store.log == []


def test_what_is_no_share_is_not_handed_over(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError) as caught:
        make_custody(tmp_path, {}).hand_over([make_shares(1)[0], Secret("hvs.token")])
    assert code_of(caught) == "vault.answer_damaged"
    assert "share 2" in str(caught.value)
    assert "hvs.token" not in str(caught.value)


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_full_disk_loses_nothing_and_is_repaired_by_a_rerun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    keys, store, shares = make_keyring(tmp_path), MemoryStore(), make_shares(3)
    custody = make_custody(tmp_path, keys.custodians, store)
    real = getattr(os, call)
    failed = at = 0
    while failed == at:  # fail at the first such call, then at the second, and so on
        count, at = 0, at + 1

        def failing(*args: object, fail_at: int = at, **kwargs: object) -> object:
            nonlocal count, failed
            count += not str(args[0]).endswith(".pgp")
            if count == fail_at and failed < fail_at:
                failed = fail_at
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing)
            try:
                custody.hand_over(shares)
            except LocalIoError as error:
                assert error.problems[0].remedy.summary
        handed = custody.hand_over(shares)
        for share, secret in zip(handed, shares, strict=True):
            data = Path(share.place).read_bytes()
            assert keys.openers[share.custodian](data).decode().strip() == secret.reveal()
        names = {path.name for path in (tmp_path / "run" / "custody").iterdir()}
        assert names == {*(Path(share.place).name for share in handed), ".handing-over.lock"}
        Path(handed[0].place).unlink()
    assert at > 1


def test_the_login_is_kept_and_replaced(tmp_path: Path) -> None:
    store = MemoryStore()
    custody = make_custody(tmp_path, {}, store)
    assert custody.access() is None
    first, second = RoleKey("role", Secret("one")), RoleKey("role", Secret("two"))
    custody.keep_access(first)
    custody.keep_access(first)
    assert store.version(ACCESS.name) == 1
    custody.keep_access(second)
    assert make_custody(tmp_path, {}, store).access() == second
    assert "two" not in repr(custody.access())


@pytest.mark.parametrize("text", ["", "[]", '{"role_id": "x"}', "nonsense"])
def test_a_damaged_login_or_record_is_told(tmp_path: Path, text: str) -> None:
    store = MemoryStore()
    custody = make_custody(tmp_path, {}, store)
    store.replace(ACCESS, Secret(text))
    store.replace(RECORD, Secret(text))
    for read in (custody.access, custody.handed_over):
        with pytest.raises(IntegrityError) as caught:
            read()
        assert code_of(caught) == "store.damaged"


def test_after_it_is_forgotten_the_answer_opens_for_nobody(tmp_path: Path) -> None:
    store = MemoryStore()
    custody = make_custody(tmp_path, {}, store)
    sealed = seal_to(custody.transport_key(), "value")
    custody.forget_transport()
    custody.forget_transport()
    assert store.names() == frozenset()
    with pytest.raises(SecretStoreError) as caught:
        custody.open(sealed)
    assert code_of(caught) == "vault.transport_lost"


def test_every_secret_that_comes_up_is_told_of_in_both_its_forms(tmp_path: Path) -> None:
    learned: list[str] = []
    custody = make_custody(tmp_path, {}, learn=lambda secret: learned.append(secret.reveal()))
    share = make_shares(1)[0].reveal()
    custody.open(seal_to(custody.transport_key(), share))
    custody.open(seal_to(custody.transport_key(), "hvs.root"))
    custody.keep_access(RoleKey("role", Secret("the-secret-id")))
    canonical = canonical_share(share)
    assert canonical is not None
    assert hex_share(canonical) == share
    assert {share, canonical, "hvs.root", "the-secret-id"} <= set(learned)
    assert any(text.startswith("-----BEGIN PGP PRIVATE") for text in learned)


def test_keys_are_judged_beforehand_and_no_more_once_their_shares_are_out(tmp_path: Path) -> None:
    keys, store = make_keyring(tmp_path), MemoryStore()
    custodians = {**keys.custodians, "openpgp-3": str(tmp_path / "missing")}
    with pytest.raises(AnswersError) as caught:
        make_custody(tmp_path, custodians, store).check()
    assert code_of(caught) == "vault.custodian_key"
    good = make_custody(tmp_path, keys.custodians, store)
    good.check()
    assert store.log == []
    good.hand_over(make_shares(3))
    make_custody(tmp_path, custodians, store).check()
