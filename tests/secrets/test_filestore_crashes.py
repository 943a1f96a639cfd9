"""The encrypted store under failing calls, kills and several writers (INV-04, INV-05, INV-12)."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from installer.adapters.filestore import FileStore, open_store
from installer.adapters.private_files import exclusive_lock, private_directory
from installer.core.errors import (
    ExitCode,
    LocalIoError,
    LockedError,
)
from installer.core.secrets import Secret
from tests.secrets.stores import PASSPHRASE, ROOT, VALUE, code_of, spec

SYSCALLS = ["open", "fsync", "replace", "listdir", "fstat", "read", "write"]


@pytest.mark.parametrize("call", SYSCALLS)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_failing_system_call_leaves_the_old_value_and_no_rest(
    store: FileStore, path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    real: Callable[..., object] = getattr(os, call)
    failed = at = 0
    while failed == at:  # fail at the first such call, then at the second, and so on
        count, at = 0, at + 1

        def failing(*args: object, fail_at: int = at, **kwargs: object) -> object:
            nonlocal count, failed
            count += 1
            if count == fail_at:
                failed = fail_at
                raise OSError(number, os.strerror(number))
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing)
            try:
                store.replace(spec(), Secret(f"value {at}"))
            except LocalIoError as error:
                assert error.exit_code is ExitCode.LOCAL_IO
        got = open_store(path, PASSPHRASE).get("db-password")
        assert got in {VALUE, *(Secret(f"value {i}") for i in range(1, at + 1))}
        leftovers = {p.name for p in path.parent.iterdir()}
        assert leftovers <= {path.name, f"{path.name}.lock", f"{path.name}.previous"}
    assert at > 1


def test_a_full_disk_says_so(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LocalIoError) as caught:
        store.ensure(spec("new"), lambda: VALUE)
    assert code_of(caught) == "store.io"
    assert "no space left" in caught.value.problems[0].summary
    assert "free some space" in caught.value.problems[0].remedy.summary


CHILD = """
import os, signal, sys
from pathlib import Path
from installer.adapters.filestore import open_store
from installer.core.secrets import Secret, SecretKind, SecretSpec
store = open_store(Path(sys.argv[1]), Secret(sys.argv[2]))
left = int(sys.argv[3])
def dying(real):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call
for name in ("open", "read", "write", "fsync", "replace", "fstat", "close"):
    setattr(os, name, dying(getattr(os, name)))
store.replace(SecretSpec("db-password", SecretKind.PASSWORD, "x"), Secret("second"))
print("done")
"""


def run_child(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=False,
    )


KILLS = (1, 6, 29, 31, 34, 36, 39, 40, 43, 44, 48, 50, 53, 54, 56, 62, 70, 1000)


def test_a_kill_at_any_instant_leaves_the_old_or_the_new_value(
    store: FileStore, path: Path
) -> None:
    seen: list[Secret | None] = []
    # The kills are spread over all calls of a write, each before it takes effect and after.
    for at in KILLS:
        done = run_child(CHILD, path, PASSPHRASE.reveal(), at)
        assert done.stderr == ""
        assert (done.returncode == -9) == (done.stdout == "")
        value = open_store(path, PASSPHRASE).get("db-password")
        assert value in (VALUE, Secret("second"))
        seen.append(value)
        store.replace(spec(), VALUE)  # the lock is free again
        names = {file.name for file in path.parent.iterdir()}
        assert names == {path.name, f"{path.name}.lock", f"{path.name}.previous"}
    old = seen.count(VALUE)
    assert old >= 10
    assert seen == [VALUE] * old + [Secret("second")] * (len(KILLS) - old)
    assert len(KILLS) - old >= 3


def test_writers_in_one_process_agree_on_the_value(store: FileStore) -> None:
    got: dict[str, set[str]] = {"shared": set(), "own": set()}

    def work(number: int) -> None:
        value = store.ensure(spec("shared"), lambda: Secret(f"from {number}"))
        got["shared"].add(value.reveal())
        got["own"].add(store.ensure(spec(f"own-{number}"), lambda: Secret(f"{number}")).reveal())

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got["shared"]) == 1
    assert got["own"] == {str(i) for i in range(8)}
    assert store.names() == {"db-password", "shared", *(f"own-{i}" for i in range(8))}


def test_writers_in_several_processes_agree_on_the_value(store: FileStore, path: Path) -> None:
    code = textwrap.dedent("""
        import os, sys
        from pathlib import Path
        from installer.adapters.filestore import open_store
        from installer.core.secrets import Secret, SecretKind, SecretSpec
        store = open_store(Path(sys.argv[1]), Secret(sys.argv[2]))
        for i in range(10):
            spec = SecretSpec(f"s{i}", SecretKind.PASSWORD, "x")
            print(store.ensure(spec, lambda: Secret(f"{os.getpid()}-{i}")).reveal())
    """)
    command = [sys.executable, "-c", code, str(path), PASSPHRASE.reveal()]
    children = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(3)
    ]
    outputs = [child.communicate(timeout=120)[0] for child in children]
    assert outputs[0].count("\n") == 10
    assert outputs[0] == outputs[1] == outputs[2]
    assert len(store.names()) == 11


def test_a_maker_may_use_the_store_itself(store: FileStore) -> None:
    def outer() -> Secret:
        inner = store.ensure(spec("inner"), lambda: Secret("inner value"))
        return Secret(f"outer of {inner.reveal()}")

    assert store.ensure(spec("outer"), outer) == Secret("outer of inner value")


def test_a_failing_maker_stores_nothing(store: FileStore, path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError):
        store.ensure(spec("new"), lambda: Secret(str(1 // 0)))
    assert path.read_bytes() == before


def test_a_lock_held_too_long_is_reported(store: FileStore, path: Path) -> None:
    with private_directory(path.parent) as directory, exclusive_lock(path, directory):
        with pytest.raises(LockedError) as caught, exclusive_lock(path, directory, timeout_s=0.05):
            pass
        assert code_of(caught) == "store.locked"
    with private_directory(path.parent) as directory, exclusive_lock(path, directory, timeout_s=0):
        assert store.get("db-password") == VALUE
