"""The login at a registry: for one command, on a tmpfs, and gone whatever happens.

The engine's client is stood in for by a script that writes down what it was given; the login at a
real engine is in `test_engine.py`.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from installer.adapters.docker import ComposeEngine
from installer.adapters.docker_failures import Cause, login_failure
from installer.adapters.docker_login import (
    LOGIN_FAILED,
    RegistryLogin,
    choose_login,
    with_login,
)
from installer.adapters.local import LocalHost
from installer.core.errors import AnswersError, ExitCode, ImageError
from installer.core.redaction import find_secrets
from installer.core.secrets import Secret
from installer.ports import Command, Completed
from tests.contract.test_engine_failures import PROJECT, ScriptedHost

CANARY = Secret("canary $(id) 'pass\" word\\n")
LOGIN = RegistryLogin("mirror.company.com:5000", "robot$ci", CANARY)
PULL = Command("docker compose pull")
CLIENT = """#!/bin/sh
printf '%s\\n' "$*" >> "$FAKE/calls"
[ "$1 $2" = "context show" ] && { cat "$FAKE/context" 2>/dev/null; exit; }
env > "$FAKE/env.$1"
tr '\\0' '\\n' < /proc/$PPID/cmdline > "$FAKE/parent.$1"
stat -f -c %T "$DOCKER_CONFIG" > "$FAKE/type.$1"
stat -c %a "$DOCKER_CONFIG" > "$FAKE/mode.$1"
cp -RH "$DOCKER_CONFIG" "$FAKE/config.$1"
if [ "$1" = login ]; then
cat > "$FAKE/password"
echo 'WARNING! Your password will be stored unencrypted' >&2
fi
[ ! -x "$FAKE/$1" ] || . "$FAKE/$1"
"""


class Client:
    """The script, and what it wrote down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.own = self.home / ".docker"
        self.own.mkdir(parents=True)
        self.program("bin/docker", CLIENT)

    def program(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    @property
    def place(self) -> Path:
        """Where the configuration was."""
        lines = self.read("env.compose").splitlines()
        return Path(next(x for x in lines if x.startswith("DOCKER_CONFIG=")).partition("=")[2])


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    if not Path("/dev/shm").is_dir():
        pytest.skip("no /dev/shm: there is no tmpfs for a login here")
    made = Client(tmp_path)
    monkeypatch.setenv("FAKE", str(tmp_path))
    monkeypatch.setenv("HOME", str(made.home))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    before = left_over()
    yield made
    assert left_over() <= before


def left_over() -> set[Path]:
    return set(Path("/dev/shm").glob("devplat-login.*"))


def run(login: RegistryLogin = LOGIN, command: Command = PULL) -> Completed:
    return LocalHost().run(with_login(command, login))


def test_the_password_goes_by_standard_input_and_is_nowhere_else(client: Client) -> None:
    """INV-03."""
    done = run()
    assert done.status == 0
    assert client.read("password") == CANARY.reveal()
    assert client.read("calls").splitlines() == [
        "context show",
        "login --username=robot$ci --password-stdin mirror.company.com:5000",
        "compose pull",
    ]
    searched = [*client.folder.glob("env.*"), *client.folder.glob("parent.*")]
    searched += [client.folder / "calls"]
    assert len(searched) == 5
    for path in searched:
        assert list(find_secrets(path.read_bytes(), {"password": CANARY})) == []
    assert "WARNING" not in done.error_text + done.text


def test_the_search_would_find_a_password_in_an_argument(client: Client) -> None:
    LocalHost().run(Command(f"docker login -p {shlex.quote(CANARY.reveal())}"))
    assert list(find_secrets((client.folder / "calls").read_bytes(), {"password": CANARY}))


def test_the_configuration_is_on_a_tmpfs_for_its_owner_alone_and_removed(client: Client) -> None:
    run()
    assert client.place.parent == Path("/dev/shm")
    for call in ("login", "compose"):
        assert client.read(f"type.{call}").strip() == "tmpfs"
        assert client.read(f"mode.{call}").strip() == "700"
        assert f"DOCKER_CONFIG={client.place}\n" in client.read(f"env.{call}")
    assert not client.place.exists()
    assert list(client.own.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "ending", "status"),
    [
        ("compose", "exit 18", 18),
        ("compose", "kill -TERM $PPID; exit 1", 143),
        ("compose", "kill -HUP $PPID; exit 1", 129),
        ("login", "echo unauthorized >&2; exit 1", LOGIN_FAILED),
        ("login", "exit 127", 127),
    ],
)
def test_it_is_removed_however_the_command_ends(
    client: Client, call: str, ending: str, status: int
) -> None:
    client.program("login", "touch $DOCKER_CONFIG/with-password")
    client.program(call, ending)
    assert run().status == status
    assert ("compose pull" in client.read("calls")) == (call == "compose")
    assert left_over() == set()


def test_a_run_that_is_broken_off_removes_it(client: Client) -> None:
    client.program("compose", "sleep 60")
    talk = LocalHost().stream(with_login(PULL, LOGIN))
    while not (client.folder / "config.compose").exists():
        next(talk)
    assert client.place.exists()
    talk.close()
    deadline = time.monotonic() + 10
    while client.place.exists():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def test_what_a_killed_run_left_goes_with_the_next_and_a_running_ones_stays(
    client: Client,
) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = Path(f"/dev/shm/devplat-login.{dead.pid}.abc")
    other = Path(f"/dev/shm/devplat-login.{os.getpid()}.abc")
    for path in (left, other):
        path.mkdir(mode=0o700)
        (path / "config.json").write_text("{}")
    try:
        run()
        assert not left.exists()
        assert (other / "config.json").exists()
    finally:
        (other / "config.json").unlink()
        other.rmdir()


def test_without_a_tmpfs_nothing_is_stored_and_nothing_is_started(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.program("bin/stat", "#!/bin/sh\necho ext2/ext3\n")
    done = run()
    assert done.status == LOGIN_FAILED
    assert "no tmpfs" in done.error_text
    assert not (client.folder / "calls").exists()


@pytest.mark.parametrize(
    ("own", "kept"),
    [
        pytest.param('{"auths": {"r.example": {"auth": "eDp5"}}}', True, id="other logins"),
        pytest.param('{"auths": {}, "credsStore": "pass"}', False, id="a store"),
        pytest.param('{"auth": 1, "credHelpers": {"x": "y"}}', False, id="stores of registries"),
        pytest.param('{"currentContext": "there"}', False, id="no login"),
        pytest.param(None, False, id="no file"),
    ],
)
def test_other_logins_stay_in_force_and_no_store_of_the_machine_is_used(
    client: Client, own: str | None, kept: bool
) -> None:
    """The client puts a login for good into a store that its file names, or that it finds itself
    when its file has no login at all."""
    if own is not None:
        (client.own / "config.json").write_text(own)
    run()
    used = client.folder / "config.login" / "config.json"
    assert (used.read_text() == own) is kept
    assert '"cred' not in used.read_text()
    assert '"auth' in used.read_text()
    assert stat.S_IMODE(used.stat().st_mode) == 0o600
    if own is not None:
        assert (client.own / "config.json").read_text() == own


def test_the_accounts_plugins_and_context_stay_in_force(client: Client) -> None:
    (client.own / "cli-plugins").mkdir()
    (client.own / "cli-plugins" / "docker-compose").touch()
    (client.folder / "context").write_text("rootless\n")
    run()
    assert (client.folder / "config.compose" / "cli-plugins" / "docker-compose").exists()
    assert "DOCKER_CONTEXT=rootless\n" in client.read("env.compose")


def test_only_a_pull_logs_in() -> None:
    host = ScriptedHost({"config": [Completed(0, b'{"services": {}}', b"")]})
    engine = ComposeEngine(host, login=LOGIN)
    list(engine.pull(PROJECT, ()))
    list(engine.down(PROJECT))
    assert ["docker login" in command.script for command in host.seen] == [True, False]
    assert host.seen[0].stdin == (CANARY.reveal().encode(),)
    assert CANARY.reveal() not in host.seen[0].script
    assert host.seen[0].privileged
    list(ComposeEngine(host).pull(PROJECT, ()))
    assert "docker login" not in host.seen[-1].script


@pytest.mark.parametrize(
    ("said", "code", "tries"),
    [
        ('Get "https://mirror.company.com:5000/v2/": unauthorized: bad', "image.login", 1),
        ("error storing credentials: no space left on device", "image.login", 1),
        ("something nobody has seen", "image.login", 1),
        ("dial tcp: lookup mirror.company.com: no such host", "image.network", 3),
        ("tls: failed to verify certificate: x509: unknown", "image.untrusted", 1),
        ("toomanyrequests: slow down", "image.rate_limit", 3),
    ],
)
def test_a_login_that_does_not_succeed_names_the_registry_and_the_answer(
    said: str, code: str, tries: int
) -> None:
    failed = Completed(LOGIN_FAILED, b"", f"Error response from daemon: {said}\n".encode())
    host = ScriptedHost({"docker login": [failed]})
    with pytest.raises(ImageError) as caught:
        list(ComposeEngine(host, login=LOGIN, pauses_s=(0, 0)).pull(PROJECT, ()))
    (problem,) = caught.value.problems
    assert caught.value.exit_code is ExitCode.IMAGE
    assert (problem.code, problem.where) == (code, "registry.password")
    assert "mirror.company.com:5000" in problem.summary
    assert "robot$ci" in problem.summary
    assert "registry.password" in f"{problem.remedy.summary} {problem.where}"
    assert problem.detail == said
    assert len(host.seen) == tries


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_of_a_failed_login_has_a_remedy(cause: Cause) -> None:
    (problem,) = login_failure(cause, "the message", LOGIN, "h").problems
    assert problem.remedy.summary
    assert "{" not in problem.summary + problem.remedy.summary


@pytest.mark.parametrize(
    ("mirror", "server"),
    [
        (None, "docker.io"),
        ("https://mirror.company.com", "mirror.company.com"),
        ("https://mirror.company.com:5000/cache/all", "mirror.company.com:5000"),
    ],
)
def test_the_account_is_offered_to_one_registry_alone(mirror: str | None, server: str) -> None:
    assert choose_login(mirror, "u", CANARY) == RegistryLogin(server, "u", CANARY)
    assert choose_login(mirror, None, None) is None


@pytest.mark.parametrize(
    ("username", "password", "missing"),
    [("u", None, "registry.password"), (None, CANARY, "registry.username")],
)
def test_half_a_login_is_refused_before_anything_is_contacted(
    username: str | None, password: Secret | None, missing: str
) -> None:
    with pytest.raises(AnswersError) as caught:
        choose_login(None, username, password)
    assert caught.value.problems[0].where == missing
    assert CANARY.reveal() not in repr(caught.value.problems)
