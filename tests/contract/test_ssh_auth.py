"""Who the operator is: key files, passphrases and the agent, against a real sshd."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from installer.adapters.ssh import SshHost
from installer.adapters.ssh_keyfile import is_encrypted, load_key
from installer.core.errors import ExitCode, InstallError, LocalIoError, SshAuthError
from installer.core.secrets import Secret
from installer.ports import Command
from tests.contract.conftest import Launch
from tests.contract.sshd import ACCOUNT, Sshd, fingerprint, make_key, public_line

OpenHost = Callable[..., SshHost]
PASSPHRASE = "correct horse battery"


@pytest.fixture
def locked_key(tmp_path: Path, user_key: Path) -> Path:
    """The accepted key, encrypted."""
    copy = tmp_path / "locked"
    copy.write_bytes(user_key.read_bytes())
    copy.chmod(0o600)
    Path(f"{copy}.pub").write_bytes(Path(f"{user_key}.pub").read_bytes())
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", PASSPHRASE, "-f", copy],
        check=True,
        capture_output=True,
    )
    return copy


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """An agent; call it to load a key."""
    socket = tmp_path / "agent.sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    while not socket.exists():
        assert process.poll() is None
        os.sched_yield()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))

    def load(key: Path) -> None:
        subprocess.run(["ssh-add", "-q", key], check=True, capture_output=True)

    yield load
    process.terminate()
    process.wait(10)


def fail(host: SshHost, kind: type[InstallError]) -> InstallError:
    with pytest.raises(kind) as caught:
        host.connect()
    return caught.value


def text_of(error: InstallError) -> str:
    parts: list[str] = []
    for problem in error.problems:
        remedy = problem.remedy
        parts += [problem.summary, problem.detail or "", remedy.summary, *remedy.commands]
    return "\n".join(parts)


def test_a_key_the_host_does_not_know_is_refused_with_methods_and_the_key_to_install(
    sshd: Sshd, open_host: OpenHost, tmp_path: Path
) -> None:
    """F-012."""
    other = make_key(tmp_path / "other")
    error = fail(open_host(sshd, key_file=str(other)), SshAuthError)
    assert error.exit_code is ExitCode.SSH_AUTH
    assert error.problems[0].code == "ssh.auth_refused"
    text = text_of(error)
    assert "methods the server allows: publickey" in text
    assert f"public key to install: {public_line(other)}" in text
    assert fingerprint(other) in text
    assert f"ssh-copy-id -i {other}.pub -p {sshd.port} {ACCOUNT}@127.0.0.1" in text
    assert other.read_text().splitlines()[1] not in text


def test_few_keys_are_offered_so_that_no_account_is_locked(
    launch: Launch, open_host: OpenHost, agent: Callable[[Path], None], tmp_path: Path
) -> None:
    """F-012."""
    server = launch()
    for number in range(8):
        agent(make_key(tmp_path / f"k{number}"))
    fail(open_host(server, key_file=None, use_agent=True), SshAuthError)
    assert 1 <= (server.directory / "log").read_text().count("Failed publickey") <= 5


def test_an_encrypted_key_without_passphrase_asks_for_passphrase_or_agent(
    sshd: Sshd, open_host: OpenHost, locked_key: Path
) -> None:
    """F-013."""
    error = fail(open_host(sshd, key_file=str(locked_key)), SshAuthError)
    assert error.problems[0].code == "ssh.key_encrypted"
    assert "passphrase" in text_of(error)
    assert "agent" in text_of(error)


def test_an_encrypted_key_opens_with_its_passphrase(
    sshd: Sshd, open_host: OpenHost, locked_key: Path
) -> None:
    """F-013."""
    host = open_host(sshd, key_file=str(locked_key), passphrase=Secret(PASSPHRASE))
    assert host.run(Command("echo in")).text == "in\n"


def test_a_wrong_passphrase_is_told_apart_and_not_repeated(
    sshd: Sshd, open_host: OpenHost, locked_key: Path
) -> None:
    """F-013."""
    host = open_host(sshd, key_file=str(locked_key), passphrase=Secret("canary-wrong"))
    error = fail(host, SshAuthError)
    assert error.problems[0].code == "ssh.passphrase_wrong"
    assert "canary-wrong" not in text_of(error) + repr(error)


def test_an_encrypted_key_is_used_through_the_agent(
    sshd: Sshd,
    open_host: OpenHost,
    locked_key: Path,
    user_key: Path,
    agent: Callable[[Path], None],
    tmp_path: Path,
) -> None:
    """F-013: the agent's key of the same name is offered first, whatever else the agent holds."""
    for number in range(6):
        agent(make_key(tmp_path / f"k{number}"))
    agent(user_key)
    host = open_host(sshd, key_file=str(locked_key), use_agent=True)
    assert host.run(Command("echo in")).text == "in\n"


def test_a_passphrase_for_a_key_that_needs_none_does_no_harm(
    sshd: Sshd, open_host: OpenHost
) -> None:
    host = open_host(sshd, passphrase=Secret("unneeded"))
    assert host.run(Command("echo in")).text == "in\n"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666, 0o620])
def test_a_key_that_others_may_read_is_refused_with_the_mode_it_must_have(
    sshd: Sshd, open_host: OpenHost, tmp_path: Path, mode: int
) -> None:
    """F-014."""
    key = make_key(tmp_path / "open")
    key.chmod(mode)
    error = fail(open_host(sshd, key_file=str(key)), LocalIoError)
    assert error.exit_code is ExitCode.LOCAL_IO
    assert error.problems[0].code == "ssh.key_mode"
    assert f"{mode:04o}" in text_of(error)
    assert "0600" in text_of(error)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_that_only_its_owner_may_read_is_taken(tmp_path: Path, mode: int) -> None:
    key = make_key(tmp_path / "key")
    key.chmod(mode)
    assert load_key(key, None).get_name() == "ssh-ed25519"


def test_a_missing_key_file_is_an_error_of_this_machine(
    sshd: Sshd, open_host: OpenHost, tmp_path: Path
) -> None:
    error = fail(open_host(sshd, key_file=str(tmp_path / "none")), LocalIoError)
    assert error.problems[0].code == "ssh.key_missing"
    assert str(tmp_path / "none") in text_of(error)


@pytest.mark.parametrize("content", [b"", b"hello\n", b"\x00\xff" * 40, b"PuTTY-User-Key-File-3\n"])
def test_a_file_that_is_no_key_is_refused(
    sshd: Sshd, open_host: OpenHost, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    file.chmod(0o600)
    error = fail(open_host(sshd, key_file=str(file)), LocalIoError)
    assert error.problems[0].code == "ssh.key_format"


def test_the_public_half_named_by_mistake_is_refused(
    sshd: Sshd, open_host: OpenHost, tmp_path: Path
) -> None:
    key = make_key(tmp_path / "key")
    public = Path(f"{key}.pub")
    public.chmod(0o600)
    error = fail(open_host(sshd, key_file=str(public)), LocalIoError)
    assert "not the .pub file" in text_of(error)


def test_nothing_to_offer_is_said_before_anything_is_contacted(
    sshd: Sshd, open_host: OpenHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    before = (sshd.directory / "log").read_text()
    error = fail(open_host(sshd, key_file=None, use_agent=True), SshAuthError)
    assert error.problems[0].code == "ssh.no_key"
    assert (sshd.directory / "log").read_text() == before


def test_without_a_named_key_the_usual_files_are_tried(
    sshd: Sshd,
    open_host: OpenHost,
    user_key: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/id_ed25519").write_bytes(user_key.read_bytes())
    (tmp_path / ".ssh/id_ed25519").chmod(0o600)
    (tmp_path / ".ssh/id_rsa").write_text("broken")
    assert open_host(sshd, key_file=None).run(Command("echo in")).text == "in\n"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("form", ["RFC4716", "PEM", "PKCS8"])
@pytest.mark.parametrize("passphrase", ["", PASSPHRASE])
def test_keys_of_every_type_and_form_are_read(
    tmp_path: Path, kind: str, form: str, passphrase: str
) -> None:
    """F-013."""
    key = make_key(tmp_path / "key", kind)
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", passphrase, "-m", form, "-f", key],
        check=True,
        capture_output=True,
    )
    loaded = load_key(key, Secret(passphrase) if passphrase else None)
    assert f"{loaded.get_name()} {loaded.get_base64()}" == public_line(key)
    assert is_encrypted(key.read_bytes()) is bool(passphrase)
    if passphrase:
        with pytest.raises(SshAuthError) as caught:
            load_key(key, Secret("wrong"))
        assert caught.value.problems[0].code == "ssh.passphrase_wrong"


def test_a_host_that_wants_a_second_factor_says_which(launch: Launch, open_host: OpenHost) -> None:
    methods = "PasswordAuthentication yes\nAuthenticationMethods publickey,password\n"
    server = launch(extra=methods)
    error = fail(open_host(server), SshAuthError)
    assert error.problems[0].code == "ssh.auth_partial"
    assert "password" in error.problems[0].summary
