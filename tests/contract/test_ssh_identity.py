"""The handshake with a real sshd: unknown, changed, revoked and pinned host keys, the cipher."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from installer.adapters.ssh import SshHost
from installer.adapters.ssh_target import parse_jump
from installer.core.errors import AnswersError, ExitCode, HostKeyError, Problem, SshConnectError
from installer.ports import Command
from tests.contract.conftest import Launch
from tests.contract.sshd import Sshd, fingerprint, make_key, public_line

OpenHost = Callable[..., SshHost]


@pytest.fixture(scope="module")
def many_keys(launch: Launch) -> Sshd:
    return launch(kinds=("rsa", "ecdsa", "ed25519"))


def refused(host: SshHost, server: Sshd) -> Problem:
    """Connect, see the refusal, and that no credential was offered."""
    log = server.directory / "log"
    before = len(log.read_text())
    with pytest.raises(HostKeyError) as caught:
        host.connect()
    assert caught.value.exit_code is ExitCode.HOST_KEY
    assert not re.search("Accepted|Failed|publickey", log.read_text()[before:])
    return caught.value.problems[0]


def everything(problem: Problem) -> str:
    remedy = problem.remedy
    return "\n".join([problem.summary, problem.detail or "", remedy.summary, *remedy.commands])


def test_an_unknown_host_is_refused_with_its_fingerprint_and_both_ways_to_trust_it(
    sshd: Sshd, open_host: OpenHost, tmp_path: Path
) -> None:
    """F-009."""
    empty = sshd.known_hosts(tmp_path / "empty", "")
    problem = refused(open_host(sshd, known_hosts=empty), sshd)
    shown = fingerprint(sshd.host_keys[0])
    assert problem.code == "ssh.host_key_unknown"
    assert shown in problem.summary
    assert "ssh-ed25519" in problem.summary
    text = everything(problem)
    assert f"ssh.host_key_fingerprint: {shown}" in text
    assert "known hosts" in text
    assert f"[127.0.0.1]:{sshd.port} {public_line(sshd.host_keys[0])}" in text
    assert (tmp_path / "empty").read_text().strip() == ""


def test_the_line_of_the_remedy_makes_the_host_known(
    sshd: Sshd, open_host: OpenHost, tmp_path: Path
) -> None:
    """F-009: the command can be copied as it stands."""
    file = tmp_path / "kh"
    problem = refused(open_host(sshd, known_hosts=str(file)), sshd)
    import subprocess

    subprocess.run(["sh", "-c", problem.remedy.commands[1]], check=True)
    assert open_host(sshd, known_hosts=str(file)).run(Command("echo in")).text == "in\n"


def test_a_changed_host_key_is_refused_with_both_fingerprints_and_the_line(
    sshd: Sshd, open_host: OpenHost, tmp_path: Path
) -> None:
    """F-010."""
    old = make_key(tmp_path / "old")
    file = sshd.known_hosts(
        tmp_path / "kh", "# first line", f"[127.0.0.1]:{sshd.port} {public_line(old)}"
    )
    before = Path(file).read_text()
    problem = refused(open_host(sshd, known_hosts=file), sshd)
    assert problem.code == "ssh.host_key_changed"
    text = everything(problem)
    assert f"old fingerprint {fingerprint(old)}" in text
    assert f"new fingerprint {fingerprint(sshd.host_keys[0])}" in text
    assert "possible interception" in text
    assert f"{file}:2" in text
    assert Path(file).read_text() == before


def test_a_revoked_host_key_is_refused_although_it_is_recorded_and_pinned(
    sshd: Sshd, open_host: OpenHost, tmp_path: Path
) -> None:
    """F-011."""
    line = f"[127.0.0.1]:{sshd.port} {public_line(sshd.host_keys[0])}"
    file = sshd.known_hosts(tmp_path / "kh", line, f"@revoked * {line.split(' ', 1)[1]}")
    pin = fingerprint(sshd.host_keys[0])
    for changes in ({}, {"fingerprint": pin}):
        problem = refused(open_host(sshd, known_hosts=file, **changes), sshd)
        assert problem.code == "ssh.host_key_revoked"
        assert f"{file}:2" in everything(problem)


def test_marker_lines_leave_ordinary_ones_at_work_and_are_noticed(
    sshd: Sshd, open_host: OpenHost, tmp_path: Path
) -> None:
    """F-011."""
    other = public_line(make_key(tmp_path / "other"))
    file = sshd.known_hosts(
        tmp_path / "kh",
        f"@cert-authority * {other}",
        f"@revoked * {other}",
        f"[127.0.0.1]:{sshd.port} {public_line(sshd.host_keys[0])}",
    )
    host = open_host(sshd, known_hosts=file)
    assert host.run(Command("echo in")).text == "in\n"
    assert any("@cert-authority" in note for note in host.notes)


def test_a_hashed_name_is_found(sshd: Sshd, open_host: OpenHost, tmp_path: Path) -> None:
    import subprocess

    file = sshd.known_hosts(tmp_path / "kh")
    subprocess.run(["ssh-keygen", "-H", "-f", file], check=True, capture_output=True)
    assert "127.0.0.1" not in Path(file).read_text()
    assert open_host(sshd, known_hosts=file).run(Command("echo in")).text == "in\n"


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_server_is_asked_for_the_type_of_key_that_is_recorded(
    many_keys: Sshd, open_host: OpenHost, tmp_path: Path, number: int
) -> None:
    line = f"[127.0.0.1]:{many_keys.port} {public_line(many_keys.host_keys[number])}"
    file = many_keys.known_hosts(tmp_path / "kh", line)
    assert open_host(many_keys, known_hosts=file).run(Command("echo in")).text == "in\n"


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_pinned_fingerprint_of_any_key_of_the_host_needs_no_known_hosts(
    many_keys: Sshd, open_host: OpenHost, tmp_path: Path, number: int
) -> None:
    pin = fingerprint(many_keys.host_keys[number])
    host = open_host(many_keys, known_hosts=str(tmp_path / "none"), fingerprint=pin)
    assert host.run(Command("echo in")).text == "in\n"


def test_a_pinned_fingerprint_decides_against_the_record(
    many_keys: Sshd, open_host: OpenHost, tmp_path: Path
) -> None:
    other = fingerprint(make_key(tmp_path / "other"))
    problem = refused(open_host(many_keys, fingerprint=other), many_keys)
    assert problem.code == "ssh.host_key_mismatch"
    text = everything(problem)
    assert "possible interception" in text
    assert other in text
    assert all(fingerprint(key) in text for key in many_keys.host_keys)


def test_a_pinned_fingerprint_decides_for_a_key_recorded_otherwise(
    sshd: Sshd, open_host: OpenHost, tmp_path: Path
) -> None:
    old = make_key(tmp_path / "old")
    file = sshd.known_hosts(tmp_path / "kh", f"[127.0.0.1]:{sshd.port} {public_line(old)}")
    host = open_host(sshd, known_hosts=file, fingerprint=fingerprint(sshd.host_keys[0]))
    assert host.run(Command("echo in")).text == "in\n"


def test_a_target_behind_two_jump_hosts_is_reached(
    sshd: Sshd, many_keys: Sshd, launch: Launch, open_host: OpenHost, tmp_path: Path
) -> None:
    last = launch(extra="SetEnv WHERE=last\nMaxStartups 100\n")
    lines = [
        f"[127.0.0.1]:{server.port} {public_line(server.host_keys[0])}"
        for server in (sshd, many_keys, last)
    ]
    file = sshd.known_hosts(tmp_path / "kh", *lines)
    host = open_host(last, known_hosts=file, jumps=(sshd.hop, many_keys.hop))
    assert host.run(Command("echo $WHERE; cat", stdin=[b"x" * 500_000])).text == (
        "last\n" + "x" * 500_000
    )
    host.close()


def test_an_unknown_jump_host_is_refused_by_its_name(
    sshd: Sshd, many_keys: Sshd, open_host: OpenHost, tmp_path: Path
) -> None:
    """F-009: a pin of the target says nothing of a jump host."""
    file = sshd.known_hosts(tmp_path / "kh")
    pin = fingerprint(sshd.host_keys[0])
    host = open_host(sshd, known_hosts=file, fingerprint=pin, jumps=(many_keys.hop,))
    problem = refused(host, many_keys)
    assert problem.code == "ssh.host_key_unknown"
    assert str(many_keys.port) in problem.summary


def test_a_target_that_the_jump_host_cannot_reach_is_named(
    sshd: Sshd, many_keys: Sshd, open_host: OpenHost
) -> None:
    host = open_host(sshd, port=1, jumps=(sshd.hop,))
    with pytest.raises(SshConnectError) as caught:
        host.connect()
    problem = caught.value.problems[0]
    assert problem.code == "ssh.tunnel"
    assert "port 1 cannot be reached from the jump host 127.0.0.1" in problem.summary


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ops@bastion", "ops@bastion:22"),
        ("bastion", "me@bastion:22"),
        ("ops@bastion:2222", "ops@bastion:2222"),
        ("ops@[2001:db8::1]:2222", "ops@[2001:db8::1]:2222"),
        ("ops@2001:db8::1", "ops@[2001:db8::1]:22"),
        (" ops@10.0.0.1 ", "ops@10.0.0.1:22"),
    ],
)
def test_a_jump_host_is_read(text: str, expected: str) -> None:
    assert str(parse_jump(text, "me")) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@host",
        "ops@",
        "host:0",
        "host:65536",
        "host:x",
        "host:",
        "[::1]x",
        "[::1]:",
        "a@b@c",
        "a b",
    ],
)
def test_what_is_no_jump_host_is_refused(text: str) -> None:
    with pytest.raises(AnswersError, match="no jump host"):
        parse_jump(text, "me")


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        pytest.param("", "aes128-gcm@openssh.com", id="an ordinary server"),
        pytest.param("Ciphers aes256-gcm@openssh.com\n", "aes256-gcm@openssh.com", id="256 bits"),
        pytest.param("Ciphers aes256-ctr\n", "aes256-ctr", id="none that authenticates"),
    ],
)
def test_a_cipher_that_authenticates_is_preferred_and_not_insisted_on(
    launch: Launch, open_host: OpenHost, offered: str, agreed: str
) -> None:
    host = open_host(launch(offered))
    data = bytes(range(256)) * 12_000
    done = host.run(Command("cat", stdin=[data]))
    assert done.stdout == data
    connection = host._connection
    assert connection is not None
    assert (connection.transport.local_cipher, connection.transport.remote_cipher) == (
        agreed, agreed,
    )  # fmt: skip
