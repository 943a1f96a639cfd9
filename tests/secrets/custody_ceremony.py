"""A first installation's dealings with custody, killed at given instants and run again.

Run as a program: `python -m tests.secrets.custody_ceremony FOLDER DEFECT INSTANT…`; FOLDER has the
custodians' keys (`custodians.json`) and gets a folder for each instant. Prints a JSON line of each.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from installer.adapters import openpgp
from installer.adapters.custody import TRANSPORT, LocalCustody
from installer.adapters.filestore import create_store, open_store
from installer.core.secrets import Secret
from installer.ports import RoleKey
from tests.secrets.custody_keys import now, seal_to

PASSPHRASE = Secret("correct horse battery staple")
CALLS = ("open", "read", "write", "fsync", "replace", "unlink", "fstat", "close", "mkdir")


class Hasty(LocalCustody):
    """A defect: the public half is given out before the private one is kept."""

    def transport_key(self) -> str:
        self._made = openpgp.make_private_key("hasty")
        return b64encode(openpgp.public_half(self._made)).decode()

    def open(self, sealed: str) -> Secret:
        if hasattr(self, "_made"):
            self._courier.ensure(TRANSPORT, lambda: self._made)
        return super().open(sealed)


CLASSES: dict[str, type[LocalCustody]] = {"none": LocalCustody, "hasty": Hasty}


def install(folder: Path, defect: str) -> None:
    """What the phases do with a server whose storage and kept answer are `server.json`."""
    server = folder / "server.json"
    custody = CLASSES[defect](
        open_store(folder / "run" / "secrets.store", PASSPHRASE), folder / "run" / "custody",
        json.loads((folder.parent / "custodians.json").read_text()),
        ask=None, references=tuple, now=now,
    )  # fmt: skip
    if not server.exists():
        key = custody.transport_key()
        shares = [os.urandom(33).hex() for _ in range(3)]
        answer = [seal_to(key, share) for share in shares]
        save(server, {"shares": shares, "answer": answer})
    state = json.loads(server.read_text())
    if state["answer"]:
        if not custody.handed_over():
            custody.hand_over([custody.open(sealed) for sealed in state["answer"]])
        if custody.access() is None:
            custody.keep_access(RoleKey("role", Secret("the-secret-id")))
        save(server, {**state, "answer": []})
    custody.forget_transport()


def save(path: Path, state: object) -> None:
    partial = path.with_suffix(".new")
    partial.write_text(json.dumps(state))
    partial.replace(path)


def dying_at(instant: int) -> Callable[[], int]:
    """Kill this process at the instant-th entry to or exit from a call that touches a file."""
    passed = 0

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            step()
            result = real(*args, **kwargs)
            step()
            return result

        return call

    def step() -> None:
        nonlocal passed
        passed += 1
        if passed == instant:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in CALLS:
        setattr(os, name, dying(getattr(os, name)))
    return lambda: passed


def in_child(folder: Path, defect: str, instant: int, say: int) -> int:
    """The exit status of an installation in a process of its own, negative for a signal."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            passed = dying_at(instant)
            install(folder, defect)
            os.write(say, f"{passed()}\n".encode())
            status = 0
        except BaseException:  # noqa: BLE001  # told, then the process ends
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder: Path, defect: str, instants: list[int]) -> None:
    template = folder / "template"
    template.mkdir(0o700)
    (template / "run").mkdir(0o700)
    create_store(template / "run" / "secrets.store", PASSPHRASE)
    reader, writer = os.pipe()
    for at, instant in enumerate(instants):
        place = folder / f"{at}-{instant}"
        shutil.copytree(template, place)
        killed = in_child(place, defect, instant, writer)
        resumed = in_child(place, defect, 0, writer)
        os.write(writer, b"\n")
        calls = os.read(reader, 100).split()
        print(json.dumps({
            "instant": instant, "place": str(place), "killed": killed, "resumed": resumed,
            "calls": int(calls[0]) if calls else 0,
        }), flush=True)  # fmt: skip
        if resumed:
            break


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], [int(word) for word in sys.argv[3:]])
