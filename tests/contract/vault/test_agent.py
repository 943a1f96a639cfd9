"""The agent at its edges, on the stand-in and on a real one (`DEVPLAT_TEST_VAULT_BIN`): the wrapped
login used once, files and their modes, what is missing, what is sealed, how it ends.
"""

from __future__ import annotations

import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.contract.vault.authority import make_authority
from tests.contract.vault.servers import VaultServer, wait_until

HEAD = """\
pid_file = "{folder}/pid"
log_format = "json"
vault {{
  address = "{address}"
  ca_cert = "{ca}"
  retry {{
    num_retries = 1
  }}
}}
auto_auth {{
  method "approle" {{
    mount_path = "auth/approle"
    min_backoff = "1s"
    max_backoff = "2s"
    config = {{
      role_id_file_path = "{folder}/role_id"
      secret_id_file_path = "{folder}/secret_id"
      secret_id_response_wrapping_path = "auth/approle/role/{role}/secret-id"
    }}
  }}
  sink "file" {{
    config = {{
      path = "{folder}/token"
    }}
  }}
}}
template_config {{
  exit_on_retry_failure = {exits}
  static_secret_render_interval = "1s"
}}
"""
TEMPLATE = """
template {{
  destination = "{folder}/{file}"
  perms = "0400"
  error_on_missing_key = true
  contents = "{{{{ with secret \\"kv/data/{secret}\\" }}}}{{{{ .Data.data.{key} }}}}{{{{ end }}}}"
}}
"""


@dataclass
class Agent:
    """A process with a folder of its own."""

    server: VaultServer
    folder: Path
    role: str = "agent"
    templates: list[tuple[str, str, str]] = field(default_factory=list)
    exits: bool = False
    ca_file: Path | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> Agent:
        """Run it with the configuration that the fields say."""
        text = HEAD.format(
            folder=self.folder, address=self.server.address, ca=self.ca_file or self.server.ca_file,
            role=self.role, exits=str(self.exits).lower(),
        )  # fmt: skip
        for file, secret, key in self.templates:
            text += TEMPLATE.format(folder=self.folder, file=file, secret=secret, key=key)
        config = self.folder / "agent.hcl"
        config.write_text(text)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.server.program.argv, "agent", f"-config={config}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment,
            )  # fmt: skip
        return self

    @property
    def _environment(self) -> dict[str, str]:
        """Without address and authority, which would take precedence over the configuration."""
        given = self.server.environment.items()
        return {name: text for name, text in given if not name.startswith(("BAO_", "VAULT_"))}

    def hand_login(self, role: str = "", wrap: str = "60s") -> str:
        """Write role id and wrapped secret id; gives the wrapping token."""
        path = f"auth/approle/role/{role or self.role}"
        wrapped = self.server.ask("POST", f"{path}/secret-id", headers={"X-Vault-Wrap-TTL": wrap})
        found = self.server.ask("GET", f"auth/approle/role/{self.role}/role-id")
        (self.folder / "role_id").write_text(found.data["role_id"])
        (self.folder / "secret_id").write_text(wrapped.body["wrap_info"]["token"] + "\n")
        return str(wrapped.body["wrap_info"]["token"])

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.log, lambda: f"no {text!r} in {self.log[-3000:]}")

    def wait_for_file(self, name: str, content: str) -> None:
        path = self.folder / name
        wait_until(
            lambda: path.exists() and path.read_text() == content,
            lambda: f"{name} is not as wanted: {self.log[-3000:]}",
        )

    def stop(self) -> int:
        """End it; its status."""
        if self.process is None:
            return 0
        self.process.terminate()
        status, self.process = self.process.wait(20), None
        return status


@pytest.fixture
def server(fresh_vault: VaultServer) -> VaultServer:
    """A server with two secrets and a role that may read them."""
    made = fresh_vault
    body = {"type": "kv", "options": {"version": "2"}}
    assert made.ask("POST", "sys/mounts/kv", body).status == 204
    assert made.ask("POST", "sys/auth/approle", {"type": "approle"}).status == 204
    text = 'path "kv/data/*" { capabilities = ["read"] }'
    assert made.ask("PUT", "sys/policies/acl/agent", {"policy": text}).status == 204
    role = {"token_policies": ["agent"], "token_period": 3600, "secret_id_num_uses": 1}
    for name in ("agent", "other"):
        assert made.ask("POST", f"auth/approle/role/{name}", role).status == 204
    wait_until(lambda: write(made, "one", "first"), lambda: made.log)
    return made


def write(server: VaultServer, secret: str, value: str) -> bool:
    return server.ask("POST", f"kv/data/{secret}", {"data": {"value": value}}).status == 200


@pytest.fixture
def make_agent(server: VaultServer, tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    agents: list[Agent] = []

    def make(*templates: tuple[str, str, str], **more: Any) -> Agent:
        agents.append(Agent(server, tmp_path, templates=list(templates), **more))
        return agents[-1]

    yield make
    for agent in agents:
        agent.stop()


def test_a_login_is_used_once_and_leaves_files_for_their_owner_alone(server, make_agent) -> None:
    agent = make_agent(("out/one", "one", "value"))
    token = agent.hand_login()
    agent.start()
    agent.wait_for_file("out/one", "first")
    path = agent.folder / "out" / "one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert [entry.name for entry in path.parent.iterdir()] == ["one"]
    assert not (agent.folder / "secret_id").exists()
    assert server.ask("POST", "sys/wrapping/unwrap", {"token": token}).status == 400
    own = (agent.folder / "token").read_text()
    assert server.ask("GET", "auth/token/lookup-self", token=own).data["period"] == 3600
    assert stat.S_IMODE((agent.folder / "token").stat().st_mode) == 0o640
    assert (agent.folder / "pid").read_text().strip() == str(agent.process.pid)
    assert "first" not in agent.log
    assert agent.stop() == 0
    assert path.read_text() == "first"
    assert not (agent.folder / "pid").exists()


def test_a_new_value_takes_the_place_of_the_old_one(server, make_agent) -> None:
    agent = make_agent(("one", "one", "value"))
    agent.hand_login()
    agent.start()
    agent.wait_for_file("one", "first")
    before = (agent.folder / "one").stat().st_ino
    assert write(server, "one", "second")
    agent.wait_for_file("one", "second")
    assert (agent.folder / "one").stat().st_ino != before, "written in place"


def test_what_is_there_is_rendered_and_what_is_missing_is_waited_for(server, make_agent) -> None:
    agent = make_agent(("one", "one", "value"), ("two", "two", "value"))
    agent.hand_login()
    agent.start()
    agent.wait_for_file("one", "first")
    agent.wait_for("kv/data/two")
    assert not (agent.folder / "two").exists()
    assert write(server, "two", "late")
    agent.wait_for_file("two", "late")


def test_a_key_that_is_missing_renders_nothing(make_agent) -> None:
    agent = make_agent(("one", "one", "nothing"))
    agent.hand_login()
    agent.start()
    agent.wait_for("map has no entry for key")
    assert not (agent.folder / "one").exists()
    assert agent.process.poll() is None


def test_it_ends_where_it_is_told_to_when_something_is_missing(make_agent) -> None:
    agent = make_agent(("two", "two", "value"), exits=True)
    agent.hand_login()
    agent.start()
    assert agent.process.wait(30) == 1
    assert not (agent.folder / "two").exists()


def test_a_sealed_server_is_waited_for_and_files_stay(server, make_agent) -> None:
    agent = make_agent(("one", "one", "value"))
    agent.hand_login()
    agent.start()
    agent.wait_for_file("one", "first")
    server.restart()
    agent.wait_for("Vault is sealed")
    assert (agent.folder / "one").read_text() == "first"
    server.unseal()
    assert write(server, "one", "second")
    agent.wait_for_file("one", "second")


def test_a_login_given_while_the_server_is_sealed_works_afterwards(server, make_agent) -> None:
    agent = make_agent(("one", "one", "value"))
    agent.hand_login()
    server.restart()
    agent.start()
    agent.wait_for("Vault is sealed")
    assert (agent.folder / "secret_id").exists()
    server.unseal()
    agent.wait_for_file("one", "first")


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda agent: None, "wrapping token is not valid"),
        (
            lambda agent: agent.hand_login(role="other"),
            "unable to validate wrapping token creation path",
        ),
        (lambda agent: (agent.folder / "secret_id").unlink(), "no known secret ID"),
        (lambda agent: (agent.folder / "role_id").unlink(), "no known role ID"),
    ],
    ids=["used", "made for another role", "no secret id", "no role id"],
)
def test_what_is_no_login_is_tried_again_and_a_good_one_is_taken(
    server, make_agent, break_it, said
) -> None:
    agent = make_agent(("one", "one", "value"))
    token = agent.hand_login()
    assert server.ask("POST", "sys/wrapping/unwrap", {"token": token}).status == 200
    break_it(agent)
    agent.start()
    agent.wait_for(said)
    assert not (agent.folder / "one").exists()
    agent.hand_login()
    agent.wait_for_file("one", "first")


def test_an_authority_it_does_not_know_is_not_spoken_to(server, make_agent, tmp_path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    agent = make_agent(("one", "one", "value"), ca_file=make_authority(folder).root)
    token = agent.hand_login()
    agent.start()
    agent.wait_for("certificate")
    assert server.ask("POST", "sys/wrapping/lookup", {"token": token}).status == 200
    assert not (agent.folder / "one").exists()


def test_a_revoked_token_is_missed_and_a_hangup_is_none_of_its_business(server, make_agent) -> None:
    agent = make_agent(("one", "one", "value"))
    agent.hand_login()
    agent.start()
    agent.wait_for_file("one", "first")
    agent.process.send_signal(signal.SIGHUP)
    own = (agent.folder / "token").read_text()
    assert server.ask("POST", "auth/token/revoke", {"token": own}).status == 204
    agent.wait_for("permission denied")
    assert agent.process.poll() is None
    assert (agent.folder / "one").read_text() == "first"
