"""The contract of `Host`, on this machine and over SSH."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import time
from collections.abc import Iterator

import pytest

from installer.core.errors import SshConnectError
from installer.ports import Command, Completed, Host, OutputLine


def drain(host: Host, command: Command) -> tuple[list[OutputLine], Completed]:
    talk = host.stream(command)
    lines: list[OutputLine] = []
    while True:
        try:
            lines.append(next(talk))
        except StopIteration as end:
            return lines, end.value


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_the_status_of_a_command_is_a_value(host: Host, status: int) -> None:
    assert host.run(Command(f"exit {status}")).status == status


def test_a_command_ended_by_a_signal_has_a_negative_status(host: Host) -> None:
    assert host.run(Command("kill -9 $$")).status < 0


def test_standard_output_arrives_byte_for_byte(host: Host) -> None:
    done = host.run(Command(r"printf '\000\001\377\r\n no newline at the end'"))
    assert done.stdout == b"\x00\x01\xff\r\n no newline at the end"
    assert done.stderr == b""


def test_standard_error_is_kept_apart(host: Host) -> None:
    done = host.run(Command("echo out; echo err >&2"))
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


@pytest.mark.parametrize(
    "script",
    [
        "printf '%s' 'a \\ b'",
        "printf '%s' \"it's; \\$HOME `echo x`\" | sed 's/x/y/'",
        "cat <<'END'\nfirst\n\tsecond ! $PATH \\\\\nEND",
        'for i in 1 2 3; do\n  echo "$i"\ndone',
        "printf '%s' 'grüße'",
    ],
)
def test_a_script_is_run_as_it_is_written(host: Host, script: str) -> None:
    """B-free neighbourhood: quotes, backslashes, here-documents, several lines, non-ASCII."""
    import subprocess

    expected = subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout
    assert host.run(Command(script)).stdout == expected


def test_five_megabytes_go_in_and_come_back(host: Host) -> None:
    data = os.urandom(5_000_000)
    pieces = [data[at : at + 1_000_000] for at in range(0, len(data), 1_000_000)]
    done = host.run(Command("cat", stdin=pieces))
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_large_output_without_input_is_complete(host: Host) -> None:
    done = host.run(Command("head -c 20000000 /dev/zero | tr '\\0' x"))
    assert len(done.stdout) == 20_000_000
    assert done.stdout.strip(b"x") == b""


def test_large_output_on_both_streams_does_not_block(host: Host) -> None:
    done = host.run(Command("head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero"))
    assert (len(done.stdout), len(done.stderr)) == (3_000_000, 3_000_000)


def test_a_command_that_reads_nothing_does_not_hang_on_its_input(host: Host) -> None:
    done = host.run(Command("exit 4", stdin=[bytes(3_000_000)]))
    assert done.status == 4


def test_a_command_without_input_sees_the_end_of_input(host: Host) -> None:
    assert host.run(Command("cat; echo end")).stdout == b"end\n"


def test_input_may_answer_what_the_command_printed(host: Host) -> None:
    """One exec for a question and its answer: input waits for output already given out."""
    answers: queue.Queue[bytes] = queue.Queue()

    def wait_for_answer() -> Iterator[bytes]:
        yield answers.get()

    talk = host.stream(Command("echo question; read a; echo got $a", stdin=wait_for_answer()))
    assert next(talk) == OutputLine("question", "out")
    answers.put(b"answer\n")
    seen = [line.text for line in talk if line.stream == "out"]
    assert seen == ["got answer"]


def test_an_error_of_the_input_comes_out(host: Host) -> None:
    def broken() -> Iterator[bytes]:
        yield b"first"
        raise ZeroDivisionError("the input broke")

    with pytest.raises(ZeroDivisionError, match="the input broke"):
        host.run(Command("cat; sleep 30", stdin=broken()))


def test_lines_come_as_they_are_printed(host: Host) -> None:
    lines, done = drain(host, Command("echo one; echo two >&2; printf three"))
    said = [(line.stream, line.text) for line in lines if line.stream != "beat"]
    assert sorted(said) == [("err", "two"), ("out", "one"), ("out", "three")]
    assert done.stdout == b"one\nthree"


def test_a_silent_command_gives_heartbeats_every_two_seconds(host: Host) -> None:
    """INV-11: a wait shows that it is waiting."""
    host.run(Command(":"))  # connecting is no part of the command
    talk = host.stream(Command("sleep 3.5"))
    before = time.monotonic()
    gaps, beats = [], 0
    for line in talk:
        gaps.append(time.monotonic() - before)
        before = time.monotonic()
        beats += line.stream == "beat"
    assert beats >= 2
    assert max(gaps) < 2.0


def test_a_command_silent_for_its_limit_is_given_up(host: Host) -> None:
    """INV-11: every wait has a limit."""
    begun = time.monotonic()
    with pytest.raises(SshConnectError) as caught:
        host.run(Command("echo started; sleep 60", timeout_s=2))
    assert time.monotonic() - begun < 10
    problem = caught.value.problems[0]
    assert problem.code == "ssh.command_silent"
    assert "2 s" in problem.summary
    assert host.run(Command("echo still here")).stdout == b"still here\n"


def test_output_resets_the_limit_of_silence(host: Host) -> None:
    done = host.run(Command("for i in 1 2 3 4; do echo $i; sleep 0.8; done", timeout_s=2))
    assert done.stdout.split() == [b"1", b"2", b"3", b"4"]


def test_leaving_a_stream_early_frees_the_host(host: Host) -> None:
    for _ in range(12):  # more than there are sessions
        talk = host.stream(Command("echo begun; cat; sleep 60", timeout_s=90))
        assert next(talk).text == "begun"
        talk.close()
    assert host.run(Command("echo free")).stdout == b"free\n"


def test_many_threads_share_a_host(host: Host) -> None:
    """P11: never more than 8 sessions of one connection, refused opens are tried again."""
    results: dict[int, bytes] = {}

    def work(number: int) -> None:
        for turn in range(4):
            results[number * 4 + turn] = host.run(Command(f"echo {number}-{turn}")).stdout

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == {n * 4 + t: f"{n}-{t}\n".encode() for n in range(12) for t in range(4)}


def test_a_privileged_command_runs_as_root(host: Host) -> None:
    if os.geteuid() != 0:
        pytest.skip("not root, and no sudo to become it here")
    assert host.run(Command("id -u", privileged=True)).stdout == b"0\n"


def test_a_dialled_stream_carries_both_directions(host: Host) -> None:
    stream = host.dial(["sh", "-c", "read a; printf 'got %s\\n' \"$a\"; cat"])
    try:
        stream.sendall(b"hello\n")
        received = b""
        for turn in range(20):
            stream.sendall(bytes([turn]) * 30_000)
            while len(received) < 10 + 30_000 * (turn + 1):
                received += stream.recv(65536)
        assert received[:10] == b"got hello\n"
        assert received[10:] == b"".join(bytes([turn]) * 30_000 for turn in range(20))
    finally:
        stream.close()


def test_a_dialled_stream_ends_with_its_program(host: Host) -> None:
    stream = host.dial(["printf", "%s", "it's \\ all"])
    try:
        received = b""
        while chunk := stream.recv(3):
            received += chunk
        assert received == b"it's \\ all"
    finally:
        stream.close()


def test_a_command_finds_the_administrators_programs(host: Host) -> None:
    assert b"/usr/sbin" in host.run(Command("echo $PATH; echo $LC_ALL")).stdout
