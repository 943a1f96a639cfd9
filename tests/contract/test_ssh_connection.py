"""The one connection: how it is made, how its loss is noticed, what noise does to it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from installer.adapters.become import MAX_SCRIPT_BYTES, Way, make_start
from installer.adapters.ssh import SshHost
from installer.adapters.ssh_channel import ChannelProcess, ChannelStream
from installer.adapters.ssh_connect import PromptSocket
from installer.core.errors import ExitCode, InstallError, SshConnectError
from installer.core.secrets import Secret
from installer.ports import Command
from tests.contract.conftest import Launch
from tests.contract.relay import Relay
from tests.contract.sshd import Sshd, fingerprint

OpenHost = Callable[..., SshHost]


@pytest.fixture
def relay(sshd: Sshd) -> Iterator[Relay]:
    relay = Relay(sshd.port)
    yield relay
    relay.close()


def text_of(error: InstallError) -> str:
    problem = error.problems[0]
    return " ".join([problem.summary, problem.detail or "", problem.remedy.summary])


def test_a_run_needs_one_connection_and_waits_for_no_delayed_acknowledgement(
    sshd: Sshd, open_host: OpenHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P11: one connection, TCP_NODELAY, no piece over 1 MB handed to the library."""
    sockets: list[socket.socket] = []
    pieces: list[int] = []
    connect, send = socket.create_connection, paramiko.Channel.sendall

    def record_socket(*args: object, **named: object) -> socket.socket:
        made = connect(*args, **named)  # type: ignore[arg-type]
        sockets.append(made)
        return made

    def record_piece(channel: paramiko.Channel, data: bytes) -> None:
        pieces.append(len(data))
        send(channel, data)

    monkeypatch.setattr(socket, "create_connection", record_socket)
    monkeypatch.setattr(paramiko.Channel, "sendall", record_piece)
    host = open_host(sshd)
    host.run(Command("id -u", privileged=True))
    host.run(Command("cat > /dev/null", stdin=[bytes(3_000_000)]))
    stream = host.dial(["cat"])
    stream.sendall(bytes(1000))
    stream.close()
    assert len(sockets) == host.connections == 1
    assert sockets[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert max(pieces) <= 256 * 1024
    assert sum(pieces) == 3_001_000


def test_a_port_where_nobody_listens_is_named_within_the_limit(
    sshd: Sshd, open_host: OpenHost
) -> None:
    """F-001."""
    begun = time.monotonic()
    with pytest.raises(SshConnectError) as caught:
        open_host(sshd, port=1).connect()
    assert time.monotonic() - begun < 60
    assert caught.value.exit_code is ExitCode.SSH_CONNECT
    assert caught.value.problems[0].code == "ssh.refused"
    text = text_of(caught.value)
    assert all(word in text for word in ("127.0.0.1", "port 1", "firewall", "sshd"))


def test_a_name_without_address_is_told_apart(sshd: Sshd, open_host: OpenHost) -> None:
    with pytest.raises(SshConnectError) as caught:
        open_host(sshd, host="no-such-host.invalid").connect()
    assert caught.value.problems[0].code == "ssh.name_unknown"


def test_a_server_that_accepts_and_says_nothing_is_given_up(
    sshd: Sshd, open_host: OpenHost
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        begun = time.monotonic()
        with pytest.raises(SshConnectError) as caught:
            open_host(sshd, port=mute.getsockname()[1], connect_timeout_s=1.0).connect()
    assert caught.value.problems[0].code == "ssh.handshake"
    assert time.monotonic() - begun < 15


def test_a_server_that_speaks_something_else_is_given_up(sshd: Sshd, open_host: OpenHost) -> None:
    with socket.create_server(("127.0.0.1", 0)) as http:

        def answer() -> None:
            for _ in range(2):
                client, _ = http.accept()
                with client:
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(SshConnectError) as caught:
            open_host(sshd, port=http.getsockname()[1], connect_timeout_s=3.0).connect()
        thread.join(10)
    assert caught.value.problems[0].code == "ssh.handshake"


def test_a_connection_that_fails_once_is_tried_again(
    sshd: Sshd, open_host: OpenHost, tmp_path: Path
) -> None:
    """The first client is sent away, the second is served."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        pin = fingerprint(sshd.host_keys[0])
        relays: list[Relay] = []

        def turn_away() -> None:
            client, _ = door.accept()
            client.close()
            client, _ = door.accept()
            relay = Relay(sshd.port)
            relays.append(relay)
            server = socket.create_connection(("127.0.0.1", sshd.port))
            relay._pairs |= {client: server, server: client}

        thread = threading.Thread(target=turn_away, daemon=True)
        thread.start()
        host = open_host(sshd, port=port, fingerprint=pin, known_hosts=str(tmp_path / "none"))
        assert host.run(Command("echo in")).text == "in\n"
        host.close()
        thread.join(10)
        for relay in relays:
            relay.close()


def test_a_killed_session_is_a_lost_connection_and_the_next_command_connects_anew(
    launch: Launch, open_host: OpenHost
) -> None:
    """F-002, F-003, F-005."""
    server = launch()
    host = open_host(server)
    talk = host.stream(Command("echo begun; sleep 60"))
    assert next(talk).text == "begun"
    server.kill_sessions()
    with pytest.raises(SshConnectError) as caught:
        list(talk)
    assert caught.value.problems[0].code == "ssh.connection_lost"
    text = text_of(caught.value)
    assert all(word in text for word in ("connection lost", "run again", "resume"))
    assert host.run(Command("echo back")).text == "back\n"
    assert host.connections == 2


def test_a_connection_cut_while_input_is_sent_is_lost(launch: Launch, open_host: OpenHost) -> None:
    """F-003, F-006."""
    server = launch()
    host = open_host(server)

    def endless() -> Iterator[bytes]:
        yield bytes(1_000_000)
        server.kill_sessions()
        while True:
            yield bytes(1_000_000)

    with pytest.raises(SshConnectError, match="connection lost"):
        host.run(Command("cat > /dev/null", stdin=endless()))


def test_a_dialled_stream_ends_when_the_connection_does(
    launch: Launch, open_host: OpenHost
) -> None:
    server = launch()
    stream = open_host(server).dial(["cat"])
    stream.sendall(b"x")
    assert stream.recv(10) == b"x"
    server.kill_sessions()
    assert stream.recv(10) == b""
    stream.close()


@pytest.mark.parametrize("error", [EOFError(), paramiko.SSHException("key exchange timed out")])
def test_whatever_the_library_says_of_a_dead_connection_is_an_error_of_a_socket(
    error: Exception, tmp_path: Path
) -> None:
    """F-003: the thread that feeds a command and the HTTP client know those, and no others."""

    class Gone:
        closed = False

        def fileno(self) -> int:
            return pipe.fileno()

        def fail(self, *_: object) -> None:
            raise error

        sendall = shutdown_write = close = fail

    (tmp_path / "pipe").touch()
    start = make_start("true", Way.DIRECT)
    with (tmp_path / "pipe").open() as pipe:
        process = ChannelProcess(Gone(), None)  # type: ignore[arg-type]
        stream = ChannelStream(Gone(), start)  # type: ignore[arg-type]
        for act in (process.end_input, lambda: process.send(b"x"), lambda: stream.sendall(b"x")):
            with pytest.raises(OSError, match="the connection is gone"):
                act()
        process.close()
        stream.close()


@pytest.mark.parametrize("sending", [False, True])
def test_a_path_that_goes_dead_is_noticed_by_the_missing_sign_of_life(
    sshd: Sshd, open_host: OpenHost, relay: Relay, tmp_path: Path, sending: bool
) -> None:
    """F-008: also while input is being sent and nobody takes it."""
    host = open_host(
        sshd,
        port=relay.port,
        fingerprint=fingerprint(sshd.host_keys[0]),
        known_hosts=str(tmp_path / "none"),
        keepalive_s=0.5,
        dead_after_s=2.0,
    )

    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(1_000_000)

    script = "echo begun; cat > /dev/null; sleep 60"
    talk = host.stream(Command(script, stdin=endless() if sending else (), timeout_s=90))
    assert next(talk).text == "begun"
    relay.freeze()
    begun = time.monotonic()
    with pytest.raises(SshConnectError) as caught:
        list(talk)
    assert time.monotonic() - begun < 30
    assert "no response" in text_of(caught.value)


def test_signs_of_life_keep_a_silent_command_going(sshd: Sshd, open_host: OpenHost) -> None:
    host = open_host(sshd, keepalive_s=0.2, dead_after_s=2.0)
    assert host.run(Command("sleep 3; echo done")).text == "done\n"
    assert host.connections == 1


NOISE = (
    "printf 'Last login: today\\n\\033[31mwelcome\\033[0m without newline'; "
    "echo 'setlocale: warning' >&2; "
)


@pytest.mark.parametrize(
    "shell",
    [
        NOISE + '/bin/sh -c "$SSH_ORIGINAL_COMMAND"',
        NOISE + 'bash -xc "$SSH_ORIGINAL_COMMAND"',
        "head -c 300000 /dev/zero; " + 'bash -c "$SSH_ORIGINAL_COMMAND"',
        "alias echo='echo aliased'; export LC_ALL=C; " + 'eval "$SSH_ORIGINAL_COMMAND"',
    ],
)
def test_what_a_shell_prints_before_the_command_does_not_reach_its_output(
    launch: Launch, open_host: OpenHost, tmp_path: Path, shell: str
) -> None:
    """F-015."""
    noisy = tmp_path / "noisy"
    noisy.write_text(f"#!/bin/sh\n{shell}\n")
    noisy.chmod(0o755)
    tmp_path.chmod(0o755)
    host = open_host(launch(extra=f"ForceCommand {noisy}\nPrintMotd yes\n"))
    done = host.run(Command("echo out; echo err >&2; cat; exit 3", stdin=[b"input\n"]))
    assert (done.stdout, done.stderr, done.status) == (b"out\ninput\n", b"err\n", 3)
    lines = [line.text for line in host.stream(Command("echo one")) if line.stream != "beat"]
    assert lines == ["one"]
    stream = host.dial(["printf", "dialled"])
    assert stream.recv(100) == b"dialled"
    stream.close()


def test_a_shell_that_runs_no_commands_is_named(launch: Launch, open_host: OpenHost) -> None:
    host = open_host(launch(extra="ForceCommand echo This account is not available; exit 1\n"))
    with pytest.raises(SshConnectError) as caught:
        host.run(Command("true"))
    assert caught.value.problems[0].code == "ssh.shell"
    assert "This account is not available" in text_of(caught.value)


@pytest.mark.parametrize("way", list(Way))
def test_the_command_line_has_nothing_that_shells_read_differently(way: Way) -> None:
    """F-015: fish and csh treat backslashes, `!` and newlines inside single quotes otherwise."""
    start = make_start("printf '\\n!'\necho \"$(date)\" # it's", way, Secret("canary"))
    assert not set("\\!\n") & set(start.line)
    assert start.line.count("'") == 2
    assert "canary" not in start.line


def test_a_script_too_long_for_an_argument_is_a_mistake_of_the_caller() -> None:
    assert make_start("x" * MAX_SCRIPT_BYTES, Way.DIRECT).line
    with pytest.raises(ValueError, match="send data as input"):
        make_start("x" * (MAX_SCRIPT_BYTES + 1), Way.DIRECT)


def test_the_longest_script_reaches_the_host(sshd: Sshd, open_host: OpenHost) -> None:
    script = f"echo {'x' * (MAX_SCRIPT_BYTES - 5)}"
    assert len(open_host(sshd).run(Command(script)).stdout) == MAX_SCRIPT_BYTES - 4


def test_every_read_asks_for_acknowledgement_at_once() -> None:
    """P2, P3: the option does not last, so one setting at the beginning is not enough."""

    class Recorded(socket.socket):
        options: list[int] = []  # noqa: RUF012 - one instance

        def setsockopt(self, level: int, option: int, value: int) -> None:  # type: ignore[override]
            self.options.append(option)
            super().setsockopt(level, option, value)

    with socket.create_server(("127.0.0.1", 0)) as server, Recorded() as wire:
        wire.connect(server.getsockname())
        peer, _ = server.accept()
        with peer:
            prompt = PromptSocket(wire)
            for _ in range(3):
                peer.sendall(b"x")
                assert prompt.recv(10) == b"x"
    assert wire.options == [socket.TCP_QUICKACK] * 3
