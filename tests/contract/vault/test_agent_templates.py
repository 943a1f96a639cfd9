"""What an agent renders is, byte for byte, what `secrets.expand` gives; and what its scripts do."""

from __future__ import annotations

import json
import os
import random
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from installer.core.bundle import Bundle, BundleFile
from installer.core.errors import StackError
from installer.core.manifest import ServiceManifest
from installer.core.plan import Plan
from installer.core.secrets import ISSUED, Secret, SecretKind, expand, make_secret, named_secrets
from tests.contract.vault.agent_lab import Agent, join_blocks, prepare_server, put_secret
from tests.contract.vault.authority import Authority
from tests.contract.vault.servers import Program, VaultServer, wait_until
from tests.stacks.builders import make

pytestmark = pytest.mark.slow

StartAgent = Callable[..., Agent]

PEM = (
    "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEH+/==\n"
    "-----END PRIVATE KEY-----\n"
)
AWKWARD = (
    PEM * 40,
    "",
    " ",
    "\n",
    "\r\n\ttrailing blanks \n\n",
    '"quoted" and \\backslash\\',
    "{{ .Data }} {{ end }} }} {{",
    "${other} $${x} $ {",
    "a+b c%20d&e=f?g#h/i:j@k~l!m*n'(o)",
    "<script>&amp;</script>",
    "\u00e4\u00f6\u00fc \u20ac \U0001f511 \u65e5\u672c\u8a9e",
    "\u2028line\u2029paragraph\u0085\u00a0",
    "".join(chr(code) for code in range(1, 0x80)),
)
FILTERS = ("", "id:", "json:", "sha256:", "url:")


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, vault_authority: Authority, vault_program: Program
) -> Iterator[VaultServer]:
    server = VaultServer(vault_program, tmp_path_factory.mktemp("vault"), vault_authority)
    server.start()
    try:
        server.initialise()
        plan, _ = make("everything")
        prepare_server(server, plan, make_values(plan))
        yield server
    finally:
        server.stop()


@pytest.fixture
def start_agent(server: VaultServer, tmp_path: Path) -> Iterator[StartAgent]:
    agents: list[Agent] = []

    def start(consumer: str, bundle: Bundle | None = None, **more: str) -> Agent:
        plan, rendered = make("everything")
        agent = Agent(server, plan, bundle or rendered, consumer, tmp_path / consumer, **more)
        agents.append(agent)
        return agent.start()

    yield start
    for agent in agents:
        agent.stop()


def make_values(plan: Plan) -> dict[str, Secret]:
    """A value for every secret of the plan, and PEM texts for the edge's files."""
    made = {
        spec.name: Secret(PEM) if spec.kind in ISSUED else make_secret(spec.kind, os.urandom)
        for spec in plan.secrets
    }
    assert {spec.kind for spec in plan.secrets} >= set(SecretKind) - {
        SecretKind.HEX32,
        SecretKind.PEM,
    }
    names = {
        n
        for m in plan.catalog.services.values()
        for t in m.secret_files.values()
        for n in named_secrets(t)
    }
    return made | {name: Secret(PEM) for name in names - made.keys()}


def stored_values(server: VaultServer, plan: Plan, names: frozenset[str]) -> dict[str, Secret]:
    found = {
        name: server.ask("GET", f"secret/data/devplat/{plan.deployment}/{name}").data
        for name in names
    }
    return {name: Secret(data["data"]["value"]) for name, data in found.items()}


def expected_files(server: VaultServer, plan: Plan, manifest: ServiceManifest) -> dict[str, bytes]:
    names = frozenset().union(*(named_secrets(t) for t in manifest.secret_files.values()))
    values = stored_values(server, plan, names)
    return {f: expand(t, values).reveal().encode() for f, t in manifest.secret_files.items()}


@pytest.mark.parametrize("consumer", sorted(make("everything")[0].agents))
def test_every_secret_file_is_rendered_to_the_bytes_that_the_installer_would_deliver(
    server: VaultServer, start_agent: StartAgent, consumer: str
) -> None:
    """SE-27: mode and owner too."""
    agent = start_agent(consumer)
    agent.log_in()
    wanted = expected_files(server, agent.plan, agent.plan.manifest(consumer))
    there = str(agent.secrets).encode()  # texts that name a file beside them, as a URL its roots
    assert agent.rendered() == {
        file: data.replace(b"/run/secrets", there) for file, data in wanted.items()
    }
    for path in agent.secrets.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o400
        assert path.stat().st_uid == os.geteuid()
    assert not (agent.room / "secret_id").exists()


def awkward_texts(seed: int) -> Mapping[str, str]:
    """File → text with every filter, in the neighbourhood of what a template could misread."""
    chooser = random.Random(seed)
    pieces = [
        "{",
        "}",
        "{{",
        "}}",
        "$",
        "$${",
        '"',
        "\\",
        "\n",
        "%",
        "/*",
        "*/",
        "`",
        "\u00e9",
        "-",
        " ",
        "#",
        "'",
    ]
    texts = {
        f"filter-{f.strip(':') or 'none'}": "".join(
            f"[${{{f}v{n}}}]\n" for n in range(len(AWKWARD))
        )
        for f in FILTERS
    }
    for number in range(40):
        parts: list[str] = []
        for _ in range(chooser.randrange(1, 12)):
            parts.append(chooser.choice(pieces))
            if chooser.random() < 0.4:
                parts.append(f"${{{chooser.choice(FILTERS)}v{chooser.randrange(len(AWKWARD))}}}")
        texts[f"text-{number}"] = "".join(parts)
    return texts


def test_awkward_values_and_texts_are_rendered_to_the_same_bytes(
    server: VaultServer, start_agent: StartAgent
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    plan, bundle = make("everything")
    values = {f"v{number}": Secret(value) for number, value in enumerate(AWKWARD)}
    texts = {file: text for file, text in awkward_texts(seed).items() if can_expand(text, values)}
    assert len(texts) > 20
    services = dict(plan.catalog.services)
    services["redis"] = services["redis"].model_copy(update={"secret_files": texts})
    awkward = replace(plan, catalog=replace(plan.catalog, services=services))
    prefix = f"secret/data/devplat/{plan.deployment}"
    policy = f'path "{prefix}/*" {{ capabilities = ["read"] }}'
    assert server.ask("PUT", "sys/policies/acl/devplat-redis", {"policy": policy}).status == 204
    for name, value in values.items():
        put_secret(server, plan, name, value)
    config = replace_templates(bundle, awkward)
    agent = start_agent("redis", config)
    agent.log_in()
    wanted = {file: expand(text, values).reveal().encode() for file, text in texts.items()}
    found = agent.rendered()
    assert found.keys() == wanted.keys()
    assert {f: found[f] for f in found if found[f] != wanted[f]} == {}


def can_expand(text: str, values: Mapping[str, Secret]) -> bool:
    """Random pieces may make an unclosed placeholder, which both refuse."""
    try:
        expand(text, values)
    except StackError:
        return False
    return True


def replace_templates(bundle: Bundle, plan: Plan) -> Bundle:
    """The rendered agent of redis with the templates of another plan."""
    path = "vault-agent-redis/agent.hcl"
    head = bundle.files[path].data.decode().split("\ntemplate {")[0].split("\n# The last one")[0]
    stanza = (
        '\ntemplate {{\n  destination = {}\n  contents = {}\n  perms = "0400"\n'
        "  error_on_missing_key = true\n}}\n"
    )
    files = {f"/run/secrets/{f}": t for f, t in plan.agent_files("redis").items()}
    files["/run/agent/rendered"] = plan.agent_marker("redis")
    text = head + "".join(stanza.format(json.dumps(f), json.dumps(t)) for f, t in files.items())
    return replace(bundle, files={**bundle.files, path: BundleFile(text.encode())})


def test_a_new_value_is_rendered_and_the_marker_says_which_version(
    server: VaultServer, start_agent: StartAgent
) -> None:
    agent = start_agent("minio", interval="1s")
    agent.log_in()
    assert "minio-root-password 1\n" in (agent.room / "rendered").read_text()
    put_secret(server, agent.plan, "minio-root-password", Secret("SecondValue"))
    path = agent.secrets / "minio_root_password"
    wait_until(lambda: path.read_bytes() == b"SecondValue", lambda: agent.log[-2000:])
    marker = agent.room / "rendered"
    wait_until(lambda: "minio-root-password 2\n" in marker.read_text(), lambda: agent.log[-2000:])


def test_files_outlive_the_agent_the_server_and_its_sealing(
    server: VaultServer, start_agent: StartAgent
) -> None:
    agent = start_agent("gitea", interval="1s")
    agent.log_in()
    before = agent.rendered()
    marker = (agent.room / "rendered").read_text()
    server.restart(kill=True)  # sealed from now on
    wait_until(lambda: "error" in agent.log.lower(), lambda: agent.log[-2000:])
    assert agent.rendered() == before
    server.unseal()
    wait_until(lambda: (agent.room / "rendered").read_text() != marker, lambda: agent.log[-3000:])
    assert agent.rendered() == before
    assert agent.stop() == 0
    assert agent.rendered() == before


def test_a_second_login_starts_the_agent_anew_and_a_used_one_is_worth_nothing(
    start_agent: StartAgent,
) -> None:
    agent = start_agent("drone-runner")
    assert not agent.is_healthy
    first = agent.make_login()
    assert agent.receive(join_blocks(*first)).returncode == 0
    wait_until(lambda: agent.is_healthy, lambda: agent.log[-2000:])
    pid = (agent.room / "pid").read_text()
    agent.log_in()
    assert (agent.room / "pid").read_text() != pid
    assert agent.receive(join_blocks(*first)).returncode == 0
    wait_until(lambda: "wrapping token is not valid" in agent.log, lambda: agent.log[-2000:])
    assert not agent.is_healthy
    agent.log_in()


def test_an_agent_that_dies_waits_for_a_new_login(start_agent: StartAgent) -> None:
    agent = start_agent("coder")
    agent.log_in()
    os.kill(int((agent.room / "pid").read_text()), 9)
    wait_until(lambda: not agent.is_healthy, lambda: "still healthy")
    assert agent.process and agent.process.poll() is None
    agent.log_in()


@pytest.mark.parametrize(
    ("stdin", "said"),
    [
        (b"", b"role_id is missing"),
        (b"x\nrole", b"no number"),
        (b"-4\nrole", b"no number"),
        (b"1000000\nrole", b"no number"),
        (b"9\nrole", b"ended early"),
        (b"4\nrole6\nsecret", b"ca.pem is missing"),
    ],
)
def test_half_a_login_is_refused_and_changes_nothing(
    start_agent: StartAgent, stdin: bytes, said: bytes
) -> None:
    agent = start_agent("postgres")
    agent.log_in()
    done = agent.receive(stdin)
    assert done.returncode != 0
    assert said in done.stderr
    assert agent.is_healthy
    assert not (agent.room / "secret_id").exists()


def test_no_login_opens_the_files_of_another_consumer(
    server: VaultServer, start_agent: StartAgent
) -> None:
    """SE-16."""
    agent = start_agent("drone-runner")
    done = agent.receive(join_blocks(*start_agent("coder").make_login()))
    assert done.returncode == 0
    wait_until(
        lambda: "unable to validate wrapping token creation path" in agent.log,
        lambda: agent.log[-2000:],
    )
    assert not agent.is_healthy
    assert agent.rendered() == {}
