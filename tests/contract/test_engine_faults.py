"""An engine that stops, restarts or is forbidden, and sudo as it really is, on a fresh host."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from installer.adapters.docker import ComposeEngine
from installer.adapters.ssh import SshHost
from installer.core.errors import ContainerRuntimeError, DeployError, PrivilegeError
from installer.core.secrets import Secret
from installer.ports import Command
from tests.contract.engine_lab import SLEEP, Lab, drain, states, target_of, text_of
from tests.testbed.bed import Testbed
from tests.testbed.hosts import Host as Machine

pytestmark = pytest.mark.engine

STOP = "pkill -x dockerd; while pgrep -x dockerd >/dev/null; do sleep 0.1; done"
START = "setsid dockerd </dev/null >>/var/log/dockerd.log 2>&1 & "
WAIT = "until docker info >/dev/null 2>&1; do sleep 0.1; done"


@pytest.fixture(scope="module")
def lab(testbed: Testbed, module_host: Machine) -> Iterator[Lab]:
    assert testbed.lock_file is not None
    images = yaml.safe_load(testbed.lock_file.read_text())["images"]
    lab = Lab(module_host, next(name for name in images if "valkey" in name))
    drain(lab.engine.pull(lab.project("pulled", {"a": SLEEP}), ()))
    yield lab
    lab.close()


def test_a_stopped_engine_is_told_and_its_return_is_noticed(lab: Lab) -> None:
    """F-026."""
    project = lab.project("stopped", {"a": SLEEP})
    assert lab.engine.info().memory > 0
    lab.root(STOP)
    for ask in (
        lab.engine.info,
        lambda: lab.engine.containers(project),
        lambda: drain(lab.engine.pull(project, ())),
        lambda: lab.engine.exec(project, "a", ["true"]),
    ):
        with pytest.raises(ContainerRuntimeError) as caught:
            ask()
        assert caught.value.problems[0].code == "engine.stopped"
        assert "start the service" in text_of(caught.value)
    lab.root(START + WAIT)
    assert lab.engine.info().memory > 0


def test_a_daemon_that_restarts_while_services_start_is_waited_for(lab: Lab) -> None:
    """F-027: what counts in the end is what the engine says."""
    check = {"test": "true", "interval": "4s", "start_period": "1s"}
    project = lab.project("restarts", {"a": {**SLEEP, "healthcheck": check}})
    restarted = False
    for line in lab.engine.up(project, (), wait_s=60):
        if "Waiting" in line.text and not restarted:
            restarted = True
            lab.root(STOP + "; sleep 2; " + START + WAIT)
    assert restarted
    assert states(lab.engine, project) == [("a", "running", "healthy")]
    drain(lab.engine.down(project))


def test_a_daemon_that_stops_while_services_start_fails_the_start(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-027."""
    monkeypatch.setattr("installer.adapters.docker.ENGINE_BACK_S", 3.0)
    check = {"test": "true", "interval": "4s", "start_period": "1s"}
    project = lab.project("stops", {"a": {**SLEEP, "healthcheck": check}})
    try:
        with pytest.raises(DeployError) as caught:
            for line in lab.engine.up(project, (), wait_s=60):
                if "Waiting" in line.text:
                    lab.root(STOP)
    finally:
        lab.root(f"pgrep -x dockerd >/dev/null || {{ {START} }}; {WAIT}")
    assert caught.value.problems[0].code == "deploy.engine_restarted"
    assert "daemon restarted" in text_of(caught.value)


@pytest.fixture
def asker(lab: Lab) -> str:
    """An account that sudo asks for a password, and that is not in the engine's group."""
    name = "asker"
    lab.root(
        f"id {name} >/dev/null 2>&1 || useradd -m -s /bin/bash -G sudo {name}; "
        f"echo '{name}:canary pass' | chpasswd; install -d -m 700 -o {name} ~{name}/.ssh; "
        f"install -m 600 -o {name} /lab/authorized_keys ~{name}/.ssh/authorized_keys"
    )
    return name


def test_real_sudo_takes_the_password_from_standard_input(lab: Lab, asker: str) -> None:
    """F-017."""
    target = target_of(lab.machine, user=asker, become_password=Secret("canary pass"))
    with SshHost(target) as host:
        done = host.run(Command("id -un; cat", stdin=[b"first\nsecond\n"], privileged=True))
        assert done.text == "root\nfirst\nsecond\n"
        assert ComposeEngine(host).info().memory > 0
        assert host.connections == 1


@pytest.mark.parametrize("password", [None, "wrong-canary"])
def test_real_sudo_that_refuses_is_told_with_the_rule_that_would_suffice(
    lab: Lab, asker: str, password: str | None
) -> None:
    """F-016, F-017."""
    secret = Secret(password) if password else None
    with SshHost(target_of(lab.machine, user=asker, become_password=secret)) as host:
        with pytest.raises(PrivilegeError) as caught:
            host.run(Command("cat", stdin=[b"data-canary\n"], privileged=True))
        text = text_of(caught.value)
        assert f"{asker} ALL=(root) NOPASSWD: /bin/sh" in text
        assert "wrong-canary" not in text
    log = lab.root("cat /var/log/sshd.log; cat /var/log/auth.log 2>/dev/null; true")
    assert "data-canary" not in log


def test_the_rule_of_the_remedy_suffices(lab: Lab, asker: str) -> None:
    """F-016: the command can be copied as it stands."""
    target = target_of(lab.machine, user=asker)
    with SshHost(target) as host, pytest.raises(PrivilegeError) as caught:
        host.run(Command("true", privileged=True))
    lab.root(caught.value.problems[0].remedy.commands[0])
    try:
        with SshHost(target) as host:
            assert host.run(Command("id -un", privileged=True)).text == "root\n"
    finally:
        lab.root("rm /etc/sudoers.d/devplat-install")


def test_an_account_outside_the_engines_group_is_told_so(lab: Lab, asker: str) -> None:
    """F-016, F-026."""
    with (
        SshHost(target_of(lab.machine, user=asker)) as host,
        pytest.raises(PrivilegeError) as caught,
    ):
        ComposeEngine(host, privileged=False).info()
    assert caught.value.problems[0].code == "privilege.docker_group"
    assert "group docker" in text_of(caught.value)


def test_no_script_or_password_is_seen_in_the_hosts_process_list(lab: Lab, asker: str) -> None:
    """INV-03."""
    target = target_of(lab.machine, user=asker, become_password=Secret("canary pass"))
    with SshHost(target) as host:
        done = host.run(Command("ps axww -o args", stdin=[b"canary input"], privileged=True))
    assert "ps axww" in done.text
    assert "canary" not in done.text
