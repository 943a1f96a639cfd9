"""After a reboot without custodians: the host's own login has logins made for agents, and no more.

Against a server on loopback with the rules that the product makes; the rendered program is run as
the unit runs it. SE-15, SE-16.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from installer.adapters.vault_server import VaultServer as Admin
from installer.adapters.vault_session import VaultSession
from installer.adapters.vault_transport import Address
from installer.core.bundle import Bundle
from installer.core.plan import Plan
from installer.core.rendering import render
from installer.core.secrets import Secret
from installer.core.store_rules import boot_role, boots_alone, consumer_role, make_store_rules
from installer.phases.boot_login import boot_login_step
from installer.stacks import load_templates
from tests.contract.vault.conftest import (  # noqa: F401 - fixtures
    fresh_vault,
    launch_vault,
    vault_authority,
    vault_program,
)
from tests.contract.vault.servers import VaultServer
from tests.host.machine import Machine, carry_out
from tests.stacks.builders import ROOT, load, make_plan_for

pytestmark = pytest.mark.slow
OFF = {"backup": {"enabled": False}}
UNIT = {**OFF, "host": {"apply": ["systemd"]}}

# `docker exec` beside the server runs the script here; a login for an agent ends in a file.
DOCKER = """#!/bin/sh
case $1 in
  info) exit 0 ;;
  ps)
    for word; do name=${{word##*compose.service=}}; done
    echo "id-$name" ;;
  inspect)
    case $3 in
      *Running*) echo true ;;
      *) if [ -e {root}/healthy-"${{4#id-}}" ]; then echo healthy; else echo unhealthy; fi ;;
    esac ;;
  exec)
    shift
    [ "$1" = -i ] && shift
    id=${{1#id-}}
    shift
    echo "exec $id $*" >>{root}/exec.log
    case $id in
      vault) exec "$@" ;;
      *) exec cat >{root}/login-"$id" ;;
    esac ;;
esac
"""


def plan_of(variant: str = "unsealed-by-aws", more: dict[str, Any] | None = None) -> Plan:
    return make_plan_for(load(), variant, UNIT if more is None else more)


class Host:
    """The machine after a reboot, its server open, the rules made."""

    def __init__(self, machine: Machine, vault: VaultServer) -> None:
        self.machine, self.vault, self.root = machine, vault, machine.root
        self.plan = plan_of()
        self.bundle: Bundle = render(self.plan, load_templates(ROOT, load()))
        self.session = VaultSession(Address(vault.address, vault.ca_file))
        self.admin = Admin(self.session)
        self.admin.log_in(Secret(vault.token))
        rules = make_store_rules(self.plan)
        # audit devices lie at paths of the container
        self.admin.configure(cast(Any, type(rules))(
            rules.mount, rules.prefix, rules.policies, rules.roles, {}
        ))  # fmt: skip
        machine.program("docker", DOCKER.format(root=self.root))
        machine.program("vault", f'#!/bin/sh\nexec {shlex.join(vault.program.argv)} "$@"\n')
        for agent in self.plan.agents.values():  # a process for each of the others takes its time
            if not agent.endswith(("-coder", "-gitea")):
                (self.root / f"healthy-{agent}").touch()
        tls = self.root / "data/vault/tls"
        tls.mkdir(parents=True)
        (tls / "ca.pem").write_bytes(Path(vault.ca_file).read_bytes())

    def give_login(self, *, anew: bool = False) -> None:
        server = SimpleNamespace(
            layout=self.machine.layout,
            host=self.machine.host,
            plan=self.plan,
            ports=SimpleNamespace(admin=self.admin),
        )
        carry_out([boot_login_step(cast(Any, server), anew=anew)])

    @property
    def login(self) -> Path:
        return self.root / "opt/state/boot-login"

    def start(self) -> subprocess.CompletedProcess[str]:
        script = self.bundle.files["host/start.sh"].data.decode()
        script = script.replace(self.plan.install_dir, str(self.root / "opt"))
        script = script.replace(self.plan.data_dir, str(self.root / "data"))
        script = script.replace("-lt 300", "-lt 1")  # seconds of patience
        env = {**self.vault.environment, "PATH": os.environ["PATH"]}
        env = {key: value for key, value in env.items() if not key.endswith("_TOKEN")}
        return subprocess.run(
            ["sh", "-c", script], capture_output=True, text=True, check=False, env=env
        )

    def received(self, consumer: str) -> list[bytes]:
        """The blocks that an agent was given."""
        data = (self.root / f"login-{self.plan.agents[consumer]}").read_bytes()
        blocks = []
        while data:
            length, _, rest = data.partition(b"\n")
            blocks.append(rest[: int(length)])
            data = rest[int(length) :]
        return blocks

    def token(self) -> str:
        """What the host's login logs in to."""
        role_id, secret_id = self.login.read_text().split()
        body = {"role_id": role_id, "secret_id": secret_id}
        answer = self.vault.ask("POST", "auth/approle/login", body, token="")
        return str(answer.body["auth"]["client_token"])


@pytest.fixture
def host(machine: Machine, fresh_vault: VaultServer) -> Iterator[Host]:  # noqa: F811
    made = Host(machine, fresh_vault)
    yield made
    made.session.close()


def test_an_agent_gets_a_login_of_its_own_without_anybody(host: Host) -> None:
    host.give_login()
    done = host.start()
    assert done.returncode == 0, done.stderr
    for consumer in ("coder", "gitea"):
        role_id, wrapped, authority = host.received(consumer)
        assert authority == Path(host.vault.ca_file).read_bytes()
        unwrapped = host.vault.ask("POST", "sys/wrapping/unwrap", {}, token=wrapped.decode())
        body = {"role_id": role_id.decode(), "secret_id": unwrapped.data["secret_id"]}
        entered = host.vault.ask("POST", "auth/approle/login", body, token="")
        assert consumer_role("devplat", consumer) in entered.body["auth"]["policies"]
        again = host.vault.ask("POST", "sys/wrapping/unwrap", {}, token=wrapped.decode())
        assert again.status == 400


def test_no_secret_is_among_the_arguments_of_a_program(host: Host) -> None:
    host.give_login()
    assert host.start().returncode == 0
    log = (host.root / "exec.log").read_text()
    _, secret_id = host.login.read_text().split()
    assert secret_id not in log
    assert host.received("coder")[1].decode() not in log


def test_the_host_s_login_reads_no_secret_and_sees_no_login_in_clear(host: Host) -> None:
    host.give_login()
    token, rules = host.token(), make_store_rules(host.plan)
    path = f"{rules.mount}/data/{rules.prefix}/coder-database-password"
    assert host.vault.ask("POST", path, {"data": {"value": "x"}}).status == 200
    assert host.vault.ask("GET", path, token=token).status == 403
    login = f"auth/approle/role/{consumer_role('devplat', 'coder')}/secret-id"
    assert host.vault.ask("POST", login, {}, token=token).status == 403
    wrapped = host.vault.ask("POST", login, {}, token=token, headers={"X-Vault-Wrap-TTL": "60"})
    assert wrapped.status == 200
    longer = host.vault.ask("POST", login, {}, token=token, headers={"X-Vault-Wrap-TTL": "3600"})
    assert longer.status == 403
    for role in ("devplat-installer", "devplat-boot"):
        own = f"auth/approle/role/{role}/secret-id"
        refused = host.vault.ask("POST", own, {}, token=token, headers={"X-Vault-Wrap-TTL": "60"})
        assert refused.status == 403, role


def test_without_the_rule_on_wrapping_a_login_would_be_seen_in_clear(host: Host) -> None:
    """The check above, shown to fail."""
    name = boot_role("devplat")
    text = make_store_rules(host.plan).policies[name]
    loose = "\n".join(line for line in text.splitlines() if "wrapping_ttl" not in line)
    assert host.vault.ask("PUT", f"sys/policies/acl/{name}", {"policy": loose}).status == 204
    host.give_login()
    login = f"auth/approle/role/{consumer_role('devplat', 'coder')}/secret-id"
    assert host.vault.ask("POST", login, {}, token=host.token()).status == 200


def test_it_is_root_s_alone_and_made_once(host: Host) -> None:
    host.give_login()
    first = host.login.read_text()
    assert stat.S_IMODE(host.login.stat().st_mode) == 0o600
    host.give_login()
    assert host.login.read_text() == first
    host.login.chmod(0o644)
    host.give_login()
    assert host.login.read_text() != first
    assert stat.S_IMODE(host.login.stat().st_mode) == 0o600
    second = host.login.read_text()
    host.give_login(anew=True)
    assert host.login.read_text() != second


def test_who_is_logged_in_keeps_his_login(host: Host) -> None:
    host.give_login()
    (host.root / "healthy-vault-agent-coder").touch()
    assert host.start().returncode == 0
    assert not (host.root / "login-vault-agent-coder").exists()
    assert (host.root / "login-vault-agent-gitea").exists()


@pytest.mark.parametrize("how", ["gone", "refused"])
def test_a_login_that_does_not_work_fails_the_unit_with_what_to_do(host: Host, how: str) -> None:
    if how == "refused":
        host.give_login()
        role_id, _ = host.login.read_text().split()
        host.login.write_text(f"{role_id}\nno-secret-id\n")
    done = host.start()
    assert done.returncode == 1
    assert "vault-agent-coder" in done.stderr
    assert "devplat-install unseal" in done.stderr


def test_a_server_that_stays_sealed_fails_the_unit(host: Host) -> None:
    host.give_login()
    host.vault.seal()
    done = host.start()
    assert done.returncode == 1
    assert "does not open by itself" in done.stderr


def test_no_agent_is_left_out(host: Host) -> None:
    script = host.bundle.files["host/start.sh"].data.decode()
    for consumer, agent in host.plan.agents.items():
        assert f"\ngive {agent} {consumer_role('devplat', consumer)} /bin/sh " in script


@pytest.mark.parametrize(
    ("variant", "more", "alone"),
    [
        ("unsealed-by-aws", UNIT, True),
        ("unsealed-by-another-server", UNIT, True),
        ("unsealed-by-aws", OFF, False),
        ("everything", UNIT, False),
        ("no-secret-server", UNIT, False),
    ],
)
def test_there_is_such_a_login_only_where_it_is_agreed_to_and_of_use(
    variant: str, more: dict[str, Any], alone: bool
) -> None:
    plan = plan_of(variant, more)
    assert boots_alone(plan) is alone
    text = render(plan, load_templates(ROOT, load())).files["host/start.sh"].data.decode()
    assert ("boot-login" in text) is alone
    if plan.server:
        assert (boot_role(plan.deployment) in make_store_rules(plan).roles) is alone
