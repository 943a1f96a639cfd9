"""Shares typed by people: to unseal (F-058) and to prove possession (SE-18)."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from installer.core.errors import InstallError, SecretStoreError
from installer.core.secrets import Secret, share_fingerprint
from installer.core.shares import canonical_share, hex_share
from tests.secrets.custody_keys import MemoryStore, Person, make_custody, make_keyring, make_shares


def base64_of(share: Secret) -> str:
    return b64encode(bytes.fromhex(share.reveal())).decode()


def code_of(caught: pytest.ExceptionInfo[InstallError]) -> str:
    problem = caught.value.problems[0]
    assert problem.remedy.summary
    return problem.code


@pytest.mark.parametrize("size", [16, 24, 32, 33])
def test_a_share_is_the_same_in_hex_in_base64_and_in_groups(size: int) -> None:
    octets = bytes(range(7, 7 + size))
    want = b64encode(octets).decode()
    text = octets.hex()
    grouped = " ".join(text[at : at + 4] for at in range(0, len(text), 4))
    for form in (text, text.upper(), grouped, want, want.rstrip("="), f"\t{want[:9]} {want[9:]}\n"):
        assert canonical_share(form) == want
        assert share_fingerprint(Secret(form)) == share_fingerprint(Secret(want))
    assert hex_share(want) == text


@pytest.mark.parametrize(
    "text", ["", " ", "hvs.token", "z!" * 33, "é" * 44, "ab" * 15, "ab" * 200, "a_b-" * 11, "abcde"]
)
def test_what_is_neither_form_is_no_share(text: str) -> None:
    assert canonical_share(text) is None


def test_references_are_given_first_and_nobody_is_asked(tmp_path: Path) -> None:
    shares = make_shares(3)
    person = Person()
    custody = make_custody(tmp_path, {}, references=[*shares[:1], *shares], ask=person)
    assert [s.reveal() for s in custody.shares(3)] == [base64_of(share) for share in shares]
    assert person.asked == []


def test_references_are_read_only_when_shares_are_wanted(tmp_path: Path) -> None:
    def refuse() -> tuple[Secret, ...]:
        raise AssertionError("read too early")

    custody = make_custody(tmp_path, {})
    custody._references = refuse
    wanted = custody.shares(1)
    with pytest.raises(AssertionError, match="too early"):
        next(wanted)


def test_what_references_leave_open_is_asked_for(tmp_path: Path) -> None:
    shares = make_shares(3)
    learned: list[str] = []
    person = Person(shares[1].reveal(), f" {base64_of(shares[2])} ")
    custody = make_custody(
        tmp_path, {}, references=shares[:1], ask=person,
        learn=lambda secret: learned.append(secret.reveal()),
    )  # fmt: skip
    assert [s.reveal() for s in custody.shares(3)] == [base64_of(share) for share in shares]
    assert person.asked == ["unseal share 2 of 3: ", "unseal share 3 of 3: "]
    assert {base64_of(shares[2]), shares[2].reveal()} <= set(learned)


@pytest.mark.parametrize("held", [0, 2])
def test_too_few_shares_and_nobody_to_ask_is_sealed(tmp_path: Path, held: int) -> None:
    custody = make_custody(tmp_path, {}, references=make_shares(held))
    got = []
    with pytest.raises(SecretStoreError) as caught:
        got.extend(iter(custody.shares(3)))
    assert code_of(caught) == "vault.sealed"
    problem = caught.value.problems[0]
    assert problem.remedy.commands == ("devplat-install unseal",)
    assert "it takes 3 shares to reach its threshold" in problem.summary
    assert f"{held or 'none'} of them" in problem.summary


def test_a_reference_that_is_no_share_is_told_by_its_position(tmp_path: Path) -> None:
    custody = make_custody(tmp_path, {}, references=[make_shares(1)[0], Secret("canary-value")])
    with pytest.raises(SecretStoreError) as caught:
        list(custody.shares(3))
    assert code_of(caught) == "vault.share_refused"
    assert "unseal share 2" in str(caught.value)
    assert "canary-value" not in repr(caught.value.problems)


def test_a_wrong_share_is_told_by_position_and_can_be_corrected(tmp_path: Path) -> None:
    """F-058: neither a form that is none, nor a repeated one, nor another server's is passed on."""
    store, shares = MemoryStore(), make_shares(3)
    make_custody(tmp_path, {}, store).hand_over(shares)
    first, second = shares[0].reveal(), shares[1].reveal()
    person = Person(first, "junk", first, second)
    got = list(make_custody(tmp_path, {}, store, ask=person).shares(2))
    assert [share.reveal() for share in got] == [base64_of(share) for share in shares[:2]]
    assert person.asked[2:] == [
        "that is no share, neither base64 nor hex; unseal share 2 of 2 once more: ",
        "that share was given already; unseal share 2 of 2 once more: ",
    ]
    person = Person(make_shares(1)[0].reveal(), first)
    assert len(list(make_custody(tmp_path, {}, store, ask=person).shares(1))) == 1
    assert person.asked[1].startswith("that is none of this server's shares")


def test_after_three_wrong_shares_it_stops(tmp_path: Path) -> None:
    share = make_shares(1)[0].reveal()
    person = Person(share, "x", "", share, "never asked")
    got = []
    with pytest.raises(SecretStoreError) as caught:
        got.extend(iter(make_custody(tmp_path, {}, ask=person).shares(2)))
    assert code_of(caught) == "vault.share_wrong"
    assert "unseal share 2 of 2" in str(caught.value)
    assert "share" in caught.value.problems[0].remedy.summary or "custodian" in str(caught.value)
    assert person.answers == ["never asked"]
    assert share not in repr(caught.value.problems)


@pytest.mark.parametrize("choice", ["2", " ssh-2 ", "2\n"])
def test_a_custodian_chosen_by_number_or_name_proves_possession(
    tmp_path: Path, choice: str
) -> None:
    keys, shares = make_keyring(tmp_path), make_shares(3)
    handed = make_custody(tmp_path, keys.custodians).hand_over(shares)
    typed = keys.openers["ssh-2"](Path(handed[1].place).read_bytes()).decode()
    person = Person(choice, typed)
    assert make_custody(tmp_path, keys.custodians, ask=person).prove(handed) == "ssh-2"
    assert "1 age-1, 2 ssh-2, 3 openpgp-3" in person.asked[0]
    assert str(handed[1].place) in person.asked[1]


def test_the_other_form_of_a_share_proves_possession_too(tmp_path: Path) -> None:
    shares = make_shares(2)
    handed = make_custody(tmp_path, {}).hand_over(shares)
    person = Person("nobody", "1", "junk", base64_of(shares[0]))
    assert make_custody(tmp_path, {}, ask=person).prove(handed) == "the holder of share 1"
    assert "none of them" in person.asked[1]


def test_with_one_share_there_is_nothing_to_choose(tmp_path: Path) -> None:
    shares = make_shares(1)
    handed = make_custody(tmp_path, {}).hand_over(shares)
    assert make_custody(tmp_path, {}, ask=Person(shares[0].reveal())).prove(handed) is not None


def test_another_custodians_share_proves_nothing(tmp_path: Path) -> None:
    keys, shares = make_keyring(tmp_path), make_shares(3)
    handed = make_custody(tmp_path, keys.custodians).hand_over(shares)
    wrong = shares[0].reveal()
    person = Person("openpgp-3", wrong, wrong, wrong, "never asked")
    with pytest.raises(SecretStoreError) as caught:
        make_custody(tmp_path, keys.custodians, ask=person).prove(handed)
    assert code_of(caught) == "vault.share_wrong"
    assert person.answers == ["never asked"]
    problem = caught.value.problems[0]
    assert problem.where == "vault.custodians.openpgp-3"
    assert problem.remedy.commands == (f"gpg --decrypt {handed[2].place}",)
    assert wrong not in repr(caught.value.problems)


def test_a_custodian_who_does_not_exist_is_asked_for_three_times(tmp_path: Path) -> None:
    handed = make_custody(tmp_path, {}).hand_over(make_shares(2))
    with pytest.raises(SecretStoreError) as caught:
        make_custody(tmp_path, {}, ask=Person("", "9", "nobody")).prove(handed)
    assert code_of(caught) == "vault.share_wrong"


def test_where_nobody_can_be_asked_possession_is_not_proven(tmp_path: Path) -> None:
    custody = make_custody(tmp_path, {})
    assert custody.prove(custody.hand_over(make_shares(2))) is None
    assert make_custody(tmp_path, {}, ask=Person()).prove(()) is None
