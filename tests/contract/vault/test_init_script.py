"""The program that initialises the server and keeps its answer, which exists only once.

It is the rendered script with its paths moved; the server is the stand-in or a real one.
"""

from __future__ import annotations

import base64
import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from installer.adapters.openpgp import make_private_key, open_message, public_half
from installer.core.secrets import Secret
from tests.contract.vault.conftest import LaunchVault
from tests.contract.vault.servers import VaultServer, wait_until
from tests.stacks.builders import make

pytestmark = pytest.mark.slow

KEY = make_private_key("transport key of a test")


@dataclass
class Ceremony:
    """The script beside a server that is not initialised."""

    server: VaultServer
    folder: Path
    place: Path

    @property
    def answer(self) -> Path:
        return self.place / "answer.json"

    @property
    def coming(self) -> Path:
        return self.place / "answer.coming"

    def command(self, *words: str) -> list[str]:
        text = make("everything")[1].files["vault/init.sh"].data.decode()
        script, programs = self.folder / "init.sh", self.folder / "bin"
        logs = self.folder / "logs"
        for directory in (programs, self.folder / "tmp", logs, self.place):
            directory.mkdir(exist_ok=True)
        program = programs / "vault"
        program.write_text(f'#!/bin/sh\nexec {shlex.join(self.server.program.argv)} "$@"\n')
        program.chmod(0o755)
        text = text.replace("/tmp/", f"{self.folder}/tmp/")
        text = text.replace("/openbao/logs", str(logs))
        script.write_text(text.replace("/openbao/ceremony", str(self.place)))
        return ["sh", str(script), *words]

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return {**self.server.environment, "PATH": path}

    def run(self, *words: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        key = base64.b64encode(public_half(KEY)) if stdin is None else stdin
        return subprocess.run(
            self.command(*words or ("5", "3")),
            input=key, capture_output=True, check=False, env=self.environment, timeout=60,
        )  # fmt: skip

    def is_initialised(self) -> bool:
        return bool(self.server.ask("GET", "sys/seal-status", token="").body["initialized"])


@pytest.fixture
def ceremony(launch_vault: LaunchVault, tmp_path: Path) -> Iterator[Ceremony]:
    with tempfile.TemporaryDirectory() as folder:
        yield Ceremony(launch_vault(), Path(folder), tmp_path / "ceremony")


def unseal_with(ceremony: Ceremony, answer: dict[str, object]) -> None:
    """Open the sealed answer with the transport key, and the server with what is in it."""
    shares = answer["unseal_keys_b64"]
    assert isinstance(shares, list)
    for sealed in shares[:3]:
        share = open_message(base64.b64decode(sealed), KEY).decode()
        given = ceremony.server.ask("PUT", "sys/unseal", {"key": share}, token="")
        assert given.status == 200
    assert given.body["sealed"] is False
    root = open_message(base64.b64decode(str(answer["root_token"])), KEY).decode()
    health = partial(ceremony.server.ask, "GET", "sys/health", token="")
    wait_until(lambda: health().status == 200, lambda: "not active after unsealing")
    looked_up = ceremony.server.ask("GET", "auth/token/lookup-self", token=root)
    assert looked_up.data["policies"] == ["root"]


def test_the_answer_is_kept_encrypted_and_opens_the_server(ceremony: Ceremony) -> None:
    done = ceremony.run()
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert ceremony.answer.stat().st_mode & 0o777 == 0o600
    assert not ceremony.coming.exists()
    answer = json.loads(ceremony.answer.read_text())
    assert (answer["unseal_shares"], answer["unseal_threshold"]) == (5, 3)
    assert len(answer["unseal_keys_b64"]) == 5
    unseal_with(ceremony, answer)
    assert list((ceremony.folder / "tmp").glob("transport-key*")) == []


def test_a_rerun_finds_the_answer_and_initialises_nothing(ceremony: Ceremony) -> None:
    """F-051, F-052."""
    assert ceremony.run().returncode == 0
    kept = ceremony.answer.read_bytes()
    assert ceremony.run().returncode == 0
    assert ceremony.answer.read_bytes() == kept


def test_a_run_that_died_before_its_last_step_is_completed(ceremony: Ceremony) -> None:
    """F-052: killed between writing the answer and giving it its name."""
    assert ceremony.run().returncode == 0
    kept = ceremony.answer.read_bytes()
    ceremony.answer.rename(ceremony.coming)
    assert ceremony.run().returncode == 0
    assert ceremony.answer.read_bytes() == kept


def test_half_an_answer_is_not_taken_for_one(ceremony: Ceremony) -> None:
    assert ceremony.run().returncode == 0
    whole = ceremony.answer.read_text().rstrip()
    ceremony.answer.unlink()
    ceremony.coming.write_text(whole[: len(whole) // 2] + " " * 1000)
    done = ceremony.run()
    assert done.returncode == 4
    assert not ceremony.answer.exists()


def test_two_at_once_make_one_answer(ceremony: Ceremony) -> None:
    command = ceremony.command("5", "3")
    pipe = subprocess.PIPE
    running = [
        subprocess.Popen(command, stdin=pipe, stderr=pipe, env=ceremony.environment)
        for _ in range(2)
    ]
    for process in running:
        with process:
            _, said = process.communicate(base64.b64encode(public_half(KEY)), timeout=60)
            assert (process.returncode, said) == (0, b"")
    unseal_with(ceremony, json.loads(ceremony.answer.read_text()))


def test_without_room_nothing_is_asked_of_the_server(ceremony: Ceremony) -> None:
    """F-053: full."""
    if os.geteuid() != 0:
        pytest.skip("a small file system is mounted, which needs root")
    ceremony.place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(ceremony.place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    try:
        done = ceremony.run()
        assert done.returncode == 3
        assert b"writable" in done.stderr
        assert b"No space" in done.stderr
        assert list(ceremony.place.iterdir()) == []
    finally:
        subprocess.run(["umount", str(ceremony.place)], check=True)
    assert not ceremony.is_initialised()
    assert ceremony.run().returncode == 0


def test_a_place_that_cannot_be_written_is_found_before_anything_is_asked(
    ceremony: Ceremony,
) -> None:
    """F-053: read-only, or no directory at all."""
    ceremony.command()
    ceremony.place.rmdir()
    ceremony.place.write_text("a file is in the way")
    done = subprocess.run(
        ["sh", str(ceremony.folder / "init.sh"), "5", "3"],
        input=base64.b64encode(public_half(KEY)), capture_output=True, check=False,
        env=ceremony.environment,
    )  # fmt: skip
    assert done.returncode == 3
    assert b"writable" in done.stderr
    assert not ceremony.is_initialised()


def test_a_server_that_was_initialised_by_somebody_else_is_left_alone(ceremony: Ceremony) -> None:
    """F-050."""
    ceremony.server.initialise(1, 1)
    done = ceremony.run()
    assert done.returncode == 4
    assert b"already initialised" in done.stderr
    assert not ceremony.answer.exists()


def test_an_answer_whose_server_is_gone_is_not_taken_for_that_of_another(
    ceremony: Ceremony,
) -> None:
    ceremony.command()
    ceremony.answer.write_text('{\n  "root_token": "x"\n}\n')
    done = ceremony.run()
    assert done.returncode == 5
    assert ceremony.answer.read_text() == '{\n  "root_token": "x"\n}\n'
    assert not ceremony.is_initialised()


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (("5", "6"), None, b"not initialised"),
        (("5", "3"), b"", b"no transport key"),
        (("5", "3"), b"AAAA", b"not initialised"),
    ],
)
def test_what_the_server_refuses_leaves_no_half_answer(
    ceremony: Ceremony, words: tuple[str, ...], stdin: bytes | None, said: bytes
) -> None:
    done = ceremony.run(*words, stdin=stdin)
    assert done.returncode == 1
    assert said in done.stderr
    assert list(ceremony.place.iterdir()) == []
    assert not ceremony.is_initialised()
    assert ceremony.run().returncode == 0


def test_a_server_that_does_not_answer_is_said_so(ceremony: Ceremony) -> None:
    ceremony.command()
    ceremony.server.stop()
    done = ceremony.run()
    assert done.returncode == 1
    assert b"does not answer" in done.stderr
    assert list(ceremony.place.iterdir()) == []


def test_nothing_in_the_answer_is_readable_without_the_transport_key(ceremony: Ceremony) -> None:
    assert ceremony.run("3", "2").returncode == 0
    answer = json.loads(ceremony.answer.read_text())
    shares = [open_message(base64.b64decode(k), KEY).decode() for k in answer["unseal_keys_b64"]]
    root = Secret(open_message(base64.b64decode(answer["root_token"]), KEY).decode())
    text = ceremony.answer.read_text()
    for value in [root.reveal(), *shares]:
        assert len(value) > 20
        assert value not in text
