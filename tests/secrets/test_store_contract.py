"""What every store of secrets does alike: the same cases on the encrypted file, on a Vault (the
stand-in and a real one), and on AWS Secrets Manager as moto serves it.

Covers SE-15, SE-20 (version history, one step back), SE-21, INV-04 and INV-05.
"""

from __future__ import annotations

import random
import secrets
import string
import time

import pytest

from installer.core.errors import InstallError
from installer.core.secrets import Secret, SecretKind, SecretSpec
from installer.ports import SecretStore
from tests.secrets.store_kits import Kit, start_process
from tests.secrets.stores import VALUE, spec

NEW = Secret("Qz9canaryrotatedQz9canaryrotated")
NEWER = Secret("Lm4canarythirdLm4canarythird")
PEM = "-----BEGIN EXAMPLE-----\n" + "A1+/" * 16 + "\n-----END EXAMPLE-----\n"
TEXTS = {
    "empty": "",
    "blanks": "  a b \t\n",
    "PEM": PEM * 20,
    "NUL": "a\0b",
    "beyond ASCII": "pä55wörd 密碼 🔑",
    "quotes": "'\"\\`${a} {{b}} $$(c) %s",
    "JSON": '{"value": "not this one", "kind": null}',
    "number": "0123e5",
    "DEL and C1": "\x7f\x85\u2028",
    "30 KiB": "x" * 30 * 1024,
}


@pytest.fixture
def store(kit: Kit) -> SecretStore:
    return kit.open()


def never() -> Secret:
    raise AssertionError("a second value was made for a secret that exists")


def test_an_empty_store_knows_nothing(store: SecretStore) -> None:
    assert store.names() == frozenset()
    assert store.get("db-password") is None
    assert store.version("db-password") is None
    assert store.previous("db-password") is None


def test_what_ensure_makes_is_stored(store: SecretStore) -> None:
    made: list[int] = []

    def make() -> Secret:
        made.append(1)
        return VALUE

    assert store.ensure(spec(), make) == VALUE
    assert store.get("db-password") == VALUE
    assert made == [1]


def test_a_second_ensure_returns_the_first_value(store: SecretStore) -> None:
    store.ensure(spec(), lambda: VALUE)
    assert store.ensure(spec(), never) == VALUE


def test_another_handle_finds_what_was_stored(kit: Kit, store: SecretStore) -> None:
    store.ensure(spec(), lambda: VALUE)
    again = kit.open()
    assert again.ensure(spec(), never) == VALUE
    assert again.names() == {"db-password"}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_any_text_comes_back_byte_for_byte(kit: Kit, store: SecretStore, text: str) -> None:
    assert store.ensure(spec(), lambda: Secret(text)) == Secret(text)
    assert kit.open().get("db-password") == Secret(text)
    assert store.replace(spec(), Secret(text + "!")) == Secret(text + "!")
    assert kit.open().previous("db-password") == Secret(text)


def test_what_cannot_come_back_is_refused_and_not_stored(store: SecretStore) -> None:
    half = Secret("half of a pair \ud83d")
    try:
        store.ensure(spec(), lambda: half)
    except InstallError as error:
        assert error.problems[0].code == "vault.value"
        assert "half of" not in str(error.problems)
        assert store.get("db-password") is None
    else:
        assert store.get("db-password") == half


def test_a_purpose_may_be_any_text(store: SecretStore) -> None:
    odd = SecretSpec("odd", SecretKind.TOKEN, "for \"x\" 'y' <z>, größer als\nein Wort")
    assert store.ensure(odd, lambda: VALUE) == VALUE


@pytest.mark.parametrize(
    "name",
    ["a", "db-password.next", "edge.tls_key.pem", "internal.ca", "UPPER_lower-9", "x" * 60],
)
def test_names_of_any_form_keep_their_value(store: SecretStore, name: str) -> None:
    store.ensure(spec(name), lambda: VALUE)
    assert store.names() == {name}
    assert store.get(name) == VALUE


def test_names_that_begin_alike_are_kept_apart(store: SecretStore) -> None:
    names = ["db", "db.next", "db-password", "d", "DB"]
    for name in names:
        store.ensure(spec(name), lambda name=name: Secret(f"value of {name}"))
    assert store.names() == set(names)
    for name in names:
        assert store.get(name) == Secret(f"value of {name}")
    store.remove("db")
    assert store.names() == {*names} - {"db"}


def test_more_names_than_a_page_are_all_listed(kit: Kit, store: SecretStore) -> None:
    names = {f"s{i:03}" for i in range(104)}
    for name in names:
        store.ensure(spec(name), lambda: VALUE)
    assert kit.open().names() == names


def test_se_15_version_stays_1_without_a_rotation(kit: Kit, store: SecretStore) -> None:
    store.ensure(spec(), lambda: VALUE)
    store.ensure(spec(), never)
    assert kit.open().version("db-password") == 1


def test_the_first_value_has_none_before_it(store: SecretStore) -> None:
    store.ensure(spec(), lambda: VALUE)
    assert store.previous("db-password") is None


def test_se_20_a_replaced_value_is_the_previous_one(kit: Kit, store: SecretStore) -> None:
    store.ensure(spec(), lambda: VALUE)
    assert store.replace(spec(), NEW) == NEW
    for each in (store, kit.open()):
        assert each.get("db-password") == NEW
        assert each.previous("db-password") == VALUE
        assert each.version("db-password") == 2


def test_previous_is_the_one_just_before(store: SecretStore) -> None:
    store.ensure(spec(), lambda: VALUE)
    store.replace(spec(), NEW)
    store.replace(spec(), NEWER)
    assert store.previous("db-password") == NEW
    assert store.version("db-password") == 3


def test_se_20_one_step_back_is_a_version_of_its_own(store: SecretStore) -> None:
    store.ensure(spec(), lambda: VALUE)
    store.replace(spec(), NEW)
    before = store.previous("db-password")
    assert before is not None
    assert store.replace(spec(), before) == VALUE
    assert store.get("db-password") == VALUE
    assert store.previous("db-password") == NEW
    assert store.version("db-password") == 3


def test_replacing_what_does_not_exist_stores_the_first_version(store: SecretStore) -> None:
    assert store.replace(spec(), NEW) == NEW
    assert store.version("db-password") == 1
    assert store.previous("db-password") is None
    assert store.ensure(spec(), never) == NEW


def test_the_same_value_again_is_still_a_new_version(store: SecretStore) -> None:
    store.ensure(spec(), lambda: VALUE)
    assert store.replace(spec(), VALUE) == VALUE
    assert store.version("db-password") == 2
    assert store.previous("db-password") == VALUE


def test_no_handle_remembers_an_old_value(kit: Kit, store: SecretStore) -> None:
    store.ensure(spec(), lambda: VALUE)
    other = kit.open()
    assert other.get("db-password") == VALUE
    store.replace(spec(), NEW)
    assert other.get("db-password") == NEW
    assert other.ensure(spec(), never) == NEW


def test_replacing_one_leaves_the_others(store: SecretStore) -> None:
    store.ensure(spec("a"), lambda: VALUE)
    store.ensure(spec("b"), lambda: NEW)
    store.replace(spec("a"), NEWER)
    assert store.get("b") == NEW
    assert store.version("b") == 1


def test_a_removed_name_is_gone_with_its_versions(kit: Kit, store: SecretStore) -> None:
    store.ensure(spec(), lambda: VALUE)
    store.replace(spec(), NEW)
    store.remove("db-password")
    for each in (store, kit.open()):
        assert each.get("db-password") is None
        assert each.previous("db-password") is None
        assert each.version("db-password") is None
        assert each.names() == frozenset()


def test_removing_what_does_not_exist_is_no_error(store: SecretStore) -> None:
    store.ensure(spec("a"), lambda: VALUE)
    store.remove("b")
    store.remove("b")
    assert store.names() == {"a"}


def test_after_a_removal_a_name_starts_anew(store: SecretStore) -> None:
    store.ensure(spec(), lambda: VALUE)
    store.replace(spec(), NEW)
    store.remove("db-password")
    assert store.ensure(spec(), lambda: NEWER) == NEWER
    assert store.version("db-password") == 1
    assert store.previous("db-password") is None


def test_a_rotation_by_a_second_name_leaves_one(store: SecretStore) -> None:
    store.ensure(spec(), lambda: VALUE)
    following = store.ensure(spec("db-password.next"), lambda: NEW)
    store.replace(spec(), following)
    store.remove("db-password.next")
    assert store.names() == {"db-password"}
    assert (store.get("db-password"), store.previous("db-password")) == (NEW, VALUE)


def test_a_maker_that_fails_leaves_nothing(store: SecretStore) -> None:
    class NoEntropyError(Exception):
        pass

    def make() -> Secret:
        raise NoEntropyError

    with pytest.raises(NoEntropyError):
        store.ensure(spec(), make)
    assert store.names() == frozenset()
    assert store.ensure(spec(), lambda: VALUE) == VALUE


def test_a_maker_may_use_the_store(store: SecretStore) -> None:
    def make() -> Secret:
        authority = store.ensure(spec("authority"), lambda: NEW)
        return Secret(f"signed by {authority.reveal()}")

    assert store.ensure(spec("leaf"), make) == Secret(f"signed by {NEW.reveal()}")
    assert store.names() == {"authority", "leaf"}


def test_stores_beside_each_other_do_not_mix(kit: Kit, store: SecretStore) -> None:
    other = kit.other().open()
    store.ensure(spec(), lambda: VALUE)
    assert other.get("db-password") is None
    assert other.names() == frozenset()
    other.ensure(spec(), lambda: NEW)
    other.remove("db-password")
    assert store.get("db-password") == VALUE


def test_the_loser_of_a_race_gets_the_winners_value(kit: Kit, store: SecretStore) -> None:
    def make() -> Secret:
        assert kit.open().ensure(spec(), lambda: NEW) == NEW  # somebody else is faster
        return VALUE

    assert store.ensure(spec(), make) == NEW
    assert store.get("db-password") == NEW
    assert store.version("db-password") == 1


ENSURE = """
print("ready", flush=True)
sys.stdin.readline()
mine = Secret(sys.stdin.readline().strip())
print(store.ensure(spec("shared"), lambda: mine).reveal(), flush=True)
"""


def test_inv_05_processes_that_ensure_at_once_agree_on_one_value(
    kit: Kit, store: SecretStore
) -> None:
    processes = [start_process(kit, ENSURE) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    for i, process in enumerate(processes):
        assert process.stdin is not None
        process.stdin.write(f"go\nvalue {i}\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60) for process in processes]
    values = {out.strip() for out, _ in said}
    assert len(values) == 1, said
    assert store.get("shared") == Secret(values.pop())
    assert store.version("shared") == 1


SEED_ALL = """
print("ready", flush=True)
for i in range(1000):
    name = f"s{i:03}"
    print(name, store.ensure(spec(name), lambda: Secret(f"made once for {name} {seed}")).reveal(),
          flush=True)
"""


def test_se_21_killed_at_any_instant_no_stored_secret_changes(kit: Kit, store: SecretStore) -> None:
    seed = "".join(secrets.choice(string.ascii_lowercase) for _ in range(6))
    print(f"seed {seed}")
    chance = random.Random(seed)
    reported: dict[str, str] = {}
    for life in range(4):
        process = start_process(kit, f"seed = '{seed} {life}'\n{SEED_ALL}")
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
        lines = [process.stdout.readline()] if life % 2 else []
        time.sleep(chance.uniform(0.0, 0.2))  # the instant of the kill is the subject
        process.kill()
        lines += process.communicate()[0].splitlines()
        whole = [line.strip() for line in lines if line.count(" ") == 6]
        for name, value in (line.split(" ", 1) for line in whole):
            assert reported.setdefault(name, value) == value, f"{name} changed, seed {seed}"
    assert reported
    found = {name: store.get(name) for name in store.names()}
    for name, value in reported.items():
        assert found[name] == Secret(value), f"{name}, seed {seed}"
    for name in found:
        assert store.version(name) == 1, f"{name}, seed {seed}"
