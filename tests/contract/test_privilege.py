"""Becoming root: the ways, their refusals, and where a password may appear (F-016, F-017).

A stand-in for sudo follows sudoers(5) as far as it matters here: `-n` never asks, `-S` reads one
line per try and three tries at most, a NOPASSWD rule reads nothing.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from installer.adapters.become import Probe, Way, choose_way
from installer.adapters.local import LocalHost
from installer.adapters.privilege import Privilege
from installer.core.errors import ExitCode, InstallError, PrivilegeError
from installer.core.secrets import Secret
from installer.ports import Command

PASSWORD = "canary-pa55 word"

SUDO = """#!{python}
import os, sys
log = open({log!r}, "a")
arguments = sys.argv[1:]
print("argv", arguments, file=log, flush=True)
rule = open({rule!r}).read().strip()
end = arguments.index("--")
options, command = arguments[:end], arguments[end + 1:]
def refuse(text):
    print("sudo: " + text, file=sys.stderr)
    sys.exit(1)
def run():
    os.environ["BY_SUDO"] = "yes"
    os.execvp(command[0], command)
if rule == "nopasswd":
    run()
if "-n" in options:
    refuse("a password is required")
print("We trust you have received the usual lecture", file=sys.stderr)
for turn in range(3):
    line = b""
    while not line.endswith(b"\\n"):
        byte = os.read(0, 1)
        if not byte:
            refuse("no password was provided")
        line += byte
    print("read", line, file=log, flush=True)
    if rule == "password" and line == {password!r}.encode() + b"\\n":
        run()
    print("Sorry, try again.", file=sys.stderr)
refuse("3 incorrect password attempts")
"""


@pytest.fixture
def sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory: write the file `rule` (nopasswd, password, nobody), read the file `log`."""
    program = tmp_path / "sudo"
    names = {"log": str(tmp_path / "log"), "rule": str(tmp_path / "rule"), "password": PASSWORD}
    program.write_text(SUDO.format(python=sys.executable, **names))
    program.chmod(0o755)
    account = tmp_path / "id"  # the account is not root, whoever runs the tests
    account.write_text('#!/bin/sh\n[ "$1" = -u ] && echo 1000 || echo ops\n')
    account.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def text_of(error: InstallError) -> str:
    problem = error.problems[0]
    remedy = problem.remedy
    return " ".join([problem.summary, problem.detail or "", remedy.summary, *remedy.commands])


ASK = Command('echo "$BY_SUDO"; cat', stdin=[b"first line\nsecond\n"], privileged=True)


def test_sudo_without_password_runs_the_command(sudo: Path) -> None:
    (sudo / "rule").write_text("nopasswd")
    assert LocalHost(become="sudo").run(ASK).text == "yes\nfirst line\nsecond\n"


def test_the_host_is_asked_once_how_to_become_root(sudo: Path) -> None:
    (sudo / "rule").write_text("nopasswd")
    host = LocalHost(become="sudo")
    for _ in range(3):
        host.run(ASK)
    assert (sudo / "log").read_text().count("argv") == 1 + 3


def test_sudo_with_a_password_gets_it_on_standard_input_only(sudo: Path) -> None:
    """F-017: never on a command line."""
    (sudo / "rule").write_text("password")
    host = LocalHost(become="sudo", become_password=Secret(PASSWORD))
    assert host.run(ASK).text == "yes\nfirst line\nsecond\n"
    log = (sudo / "log").read_text().splitlines()
    assert not any(PASSWORD in line for line in log if line.startswith("argv"))
    assert any(PASSWORD in line for line in log if line.startswith("read"))


def test_a_password_that_sudo_stops_asking_for_does_not_reach_the_command(sudo: Path) -> None:
    """F-017: the rule changes, or a ticket is valid, after the first try."""
    (sudo / "rule").write_text("password")
    host = LocalHost(become="sudo", become_password=Secret(PASSWORD))
    host.run(ASK)
    (sudo / "rule").write_text("nopasswd")
    assert host.run(ASK).text == "yes\nfirst line\nsecond\n"


def test_without_a_password_sudo_that_asks_is_a_refusal_and_no_wait(sudo: Path) -> None:
    """F-017."""
    (sudo / "rule").write_text("password")
    with pytest.raises(PrivilegeError) as caught:
        LocalHost(become="sudo").run(ASK)
    assert caught.value.exit_code is ExitCode.PRIVILEGE
    assert caught.value.problems[0].code == "privilege.sudo_refused"
    text = text_of(caught.value)
    assert "NOPASSWD: /bin/sh" in text
    assert "password" in text
    assert "a password is required" in text


def test_a_wrong_password_is_refused_before_any_input_is_sent(sudo: Path) -> None:
    """F-017: sudo must not take the command's input for further tries."""
    (sudo / "rule").write_text("password")
    with pytest.raises(PrivilegeError) as caught:
        LocalHost(become="sudo", become_password=Secret("wrong-canary")).run(ASK)
    assert caught.value.problems[0].code == "privilege.sudo_password"
    assert "wrong-canary" not in text_of(caught.value)
    assert "first line" not in (sudo / "log").read_text()


def test_input_is_not_touched_when_sudo_refuses_later(sudo: Path) -> None:
    """F-017: the password was right once, and is not any more."""
    (sudo / "rule").write_text("password")
    host = LocalHost(become="sudo", become_password=Secret(PASSWORD))
    host.run(ASK)
    (sudo / "rule").write_text("nobody")
    taken: list[bytes] = []

    def data() -> Iterator[bytes]:
        taken.append(b"secret-canary\n")
        yield taken[-1]

    with pytest.raises(PrivilegeError):
        host.run(Command("cat", stdin=data(), privileged=True, timeout_s=5))
    assert taken == []
    assert "secret-canary" not in (sudo / "log").read_text()


def test_a_dialled_stream_by_sudo_with_password_starts_clean(sudo: Path) -> None:
    (sudo / "rule").write_text("password")
    host = LocalHost(become="sudo", become_password=Secret(PASSWORD))
    argv = ["sh", "-c", 'read a; echo "$BY_SUDO $a"']
    with contextlib.closing(host.dial(argv, privileged=True)) as stream:
        stream.sendall(b"hello\n")
        assert stream.recv(100) == b"yes hello\n"


def test_an_unprivileged_command_never_meets_sudo(sudo: Path) -> None:
    (sudo / "rule").write_text("nobody")
    assert LocalHost(become="sudo").run(Command("echo in")).text == "in\n"
    assert not (sudo / "log").exists()


@pytest.mark.parametrize(
    ("uid", "sudo_says", "become", "has_password", "way"),
    [
        (0, "absent", "auto", False, Way.DIRECT),
        (0, "absent", "none", False, Way.DIRECT),
        (0, "works", "auto", True, Way.DIRECT),
        (0, "works", "sudo", False, Way.SUDO),
        (0, "absent", "sudo", False, Way.DIRECT),
        (1000, "works", "auto", False, Way.SUDO),
        (1000, "works", "sudo", True, Way.SUDO),
        (1000, "refused", "auto", True, Way.SUDO_PASSWORD),
        (1000, "absent", "auto", True, "privilege.no_sudo"),
        (1000, "refused", "auto", False, "privilege.sudo_refused"),
        (1000, "works", "none", False, "privilege.not_root"),
    ],
)
def test_the_way_follows_from_what_the_host_says(
    uid: int, sudo_says: str, become: str, has_password: bool, way: Way | str
) -> None:
    """F-016, F-017."""
    probe = Probe(uid, "ops", sudo_says, "sudo: a password is required")

    def choose() -> Way:
        return choose_way(probe, become, has_password=has_password, host="h")  # type: ignore[arg-type]

    if isinstance(way, Way):
        assert choose() is way
        return
    with pytest.raises(PrivilegeError) as caught:
        choose()
    assert caught.value.problems[0].code == way
    text = text_of(caught.value)
    assert "ops ALL=(root) NOPASSWD: /bin/sh" in text
    assert "group docker" in text
    assert "sudo" in text


def as_account(name: str) -> LocalHost:
    host = LocalHost(become="auto")
    host._privilege = Privilege("h", "auto", None, host._run_launch, host._no_shell, name)
    return host


def test_an_account_named_root_is_not_asked_what_it_may(sudo: Path) -> None:
    (sudo / "id").write_text('#!/bin/sh\necho "$@" >> "${0%/*}/asked"; echo 0\n')
    host = as_account("root")
    assert [host.run(Command("echo in", privileged=True)).text for _ in range(2)] == ["in\n"] * 2
    assert (sudo / "asked").read_text().splitlines() == ["-u", "-u"]
    assert not (sudo / "log").exists()


def test_an_account_that_is_root_by_its_name_alone_runs_nothing_privileged(sudo: Path) -> None:
    """F-016: the script does not begin, whatever its input."""
    with pytest.raises(PrivilegeError) as caught:
        as_account("root").run(Command(f"touch {sudo}/ran", stdin=[b"x"], privileged=True))
    assert caught.value.problems[0].code == "privilege.not_root"
    assert not (sudo / "ran").exists()
