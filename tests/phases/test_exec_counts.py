"""How much a step costs, without a clock: connections, sessions and commands (P11).

Each command is two round trips, whatever it does; none of them may come once per file.
"""

import pytest

from installer.adapters import ssh
from installer.adapters.local import LocalHost
from installer.core.bundle import Bundle, BundleFile
from installer.phases.ship import SQUEEZED_BYTES, SecretFile, data_step, release_step, secrets_step
from installer.ports import Command
from tests.contract.sshd import Sshd, make_key, why_no_sshd


class RecordingHost:
    """This machine, by whoever runs the tests; remembers each command and the sizes of its input.

    Attributes:
        calls: A tuple of sizes per command that was run.
    """

    name = "recorded"

    def __init__(self):
        self.calls = []
        self._host = LocalHost()

    def run(self, command):
        return self._host.run(self._recorded(command))

    def stream(self, command):
        return self._host.stream(self._recorded(command))

    def _recorded(self, command):
        given = list(command.stdin)
        self.calls.append(tuple(map(len, given)))
        return Command(command.script, stdin=given, timeout_s=command.timeout_s)

    def take(self):
        calls, self.calls = self.calls, []
        return calls


@pytest.fixture
def recording():
    return RecordingHost()


def make_bundle(files, size=40):
    content = {f"d{n % 7}/f{n}": BundleFile(n.to_bytes(4, "big") * size) for n in range(files)}
    return Bundle(dict(sorted(content.items())), {}, "aaaaaaaaaaaa")


def costs(host, step):
    """Commands of check, do, verify, and of a second check."""
    counts = []
    for part in (step.check, lambda: list(step.do()), step.verify, step.check):
        outcome = part()
        counts.append(len(host.take()))
    assert outcome
    return counts


@pytest.mark.parametrize("files", [1, 12, 400])
def test_a_release_costs_one_command_a_part_however_many_files_it_has(recording, layout, files):
    """The command that ships also lists what is in place then, which is all that verify asks."""
    assert costs(recording, release_step(recording, layout, make_bundle(files))) == [1, 1, 0, 1]


def test_a_large_release_is_sent_in_one_command_and_in_small_pieces(recording, layout):
    bundle = make_bundle(30, size=50_000)
    step = release_step(recording, layout, bundle)
    list(step.do())
    (pieces,) = recording.take()
    assert sum(pieces) > sum(len(f.data) for f in bundle.files.values()) > SQUEEZED_BYTES
    assert max(pieces) <= 256 * 1024
    assert step.verify()


def test_a_small_release_is_sent_compressed(recording, layout):
    bundle = make_bundle(30, size=1000)
    step = release_step(recording, layout, bundle)
    list(step.do())
    (pieces,) = recording.take()
    assert sum(pieces) < sum(len(f.data) for f in bundle.files.values()) / 4
    assert step.verify()


@pytest.mark.parametrize("count", [1, 60])
def test_data_directories_cost_one_command_a_part(host, layout, recording, count):
    wanted = {f"service{n}/data": "700 0:0" for n in range(count)}
    assert costs(recording, data_step(recording, layout, wanted)) == [1, 1, 1, 1]


@pytest.mark.parametrize("count", [0, 60])
def test_checking_secrets_costs_one_command_however_many_there_are(recording, layout, count):
    files = {f"service/{n}": SecretFile(b"x", "0:0") for n in range(count)}
    assert not secrets_step(recording, layout, files).check()
    assert len(recording.take()) == 1


@pytest.fixture
def server(tmp_path):
    if reason := why_no_sshd():
        pytest.skip(reason)
    server = Sshd(
        tmp_path / "sshd", make_key(tmp_path / "user"), [make_key(tmp_path / "host")]
    ).start()
    yield server
    server.stop()


@pytest.mark.parametrize("files", [1, 100])
def test_a_first_ship_over_ssh_is_one_connection_and_two_sessions(
    server, tmp_path, layout, monkeypatch, files
):
    """Root by name is not asked whether it is root; each script makes sure of it."""
    lines = []

    def record(connection, start):
        lines.append(start.line)
        return open_session(connection, start)

    open_session = ssh.open_session
    monkeypatch.setattr(ssh, "open_session", record)
    with ssh.SshHost(server.target(server.known_hosts(tmp_path / "known_hosts"))) as opened:
        step = release_step(opened, layout, make_bundle(files))
        assert not step.check()
        list(step.do())
        assert step.verify()
    assert opened.connections == 1
    assert len(lines) == 2
    assert all('"$(id -u)" = 0' in line for line in lines)
