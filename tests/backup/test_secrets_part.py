"""The secret server's snapshot as a part of the backup: on the stand-in, and on a real server where
`DEVPLAT_TEST_VAULT_BIN` names one. SE-26, BK-01, SA-76.
"""

from __future__ import annotations

import functools
import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from installer.core.bundle import Bundle
from installer.core.plan import Plan
from installer.core.rendering import render
from installer.stacks import load_templates
from tests.backup.world import ANSWERS, World
from tests.contract.vault.agent_lab import Agent, prepare_server
from tests.contract.vault.authority import make_authority
from tests.contract.vault.conftest import (  # noqa: F401 - fixtures
    fresh_vault,
    launch_vault,
    vault_authority,
    vault_program,
)
from tests.contract.vault.servers import VaultServer
from tests.stacks.builders import ROOT, load, make_plan_for

pytestmark = pytest.mark.slow

SERVICE = "backup-secrets"


@functools.cache
def rendered() -> tuple[Plan, Bundle]:
    without = {name: {"enabled": False} for name in ("ai_gateway", "drone", "minio", "redis")}
    plan = make_plan_for(load(), "everything", {**ANSWERS, **without})
    return plan, render(plan, load_templates(ROOT, load()))


@dataclass
class Maker:
    """The service that makes the part, with its agent and the server."""

    server: VaultServer
    agent: Agent
    folder: Path
    programs: Path

    @property
    def settings(self) -> dict[str, str]:
        return {
            "PATH": f"{self.folder / 'bin'}:{self.programs}",
            "BAO_ADDR": self.server.address,
            "BAO_CACERT": str(self.agent.secrets / "ca.pem"),
            "BACKUP_TOKEN": str(self.agent.secrets / "token"),
            "HOME": str(self.folder),
        }

    def run(self, script: str, *words: str, **more: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["sh", str(self.folder / SERVICE / script), *words],
            env={**self.settings, **more}, capture_output=True, check=False, timeout=60,
        )  # fmt: skip

    def make(self, **more: str) -> tuple[int, bytes, dict[str, Any]]:
        """Status, the stream, and what is said of it."""
        work = self.folder / "work"
        subprocess.run(["rm", "-rf", str(work)], check=True)
        work.mkdir()
        done = self.run("part.sh", str(work), **more)
        facts = work / "facts.json"
        return (
            done.returncode,
            done.stdout,
            json.loads(facts.read_text() if facts.exists() else "{}"),
        )

    def fetched(self, stream: bytes, facts: dict[str, Any]) -> dict[str, str]:
        """The part as the collector fetches it; what the drill has to be told."""
        place = self.folder / "fetched"
        place.mkdir(exist_ok=True)
        (place / "secrets.tar").write_bytes(stream)
        (place / "secrets.json").write_text(json.dumps(facts, indent=2) + "\n")
        (self.folder / "ready").mkdir(exist_ok=True)
        return {"BACKUP_RESTORE": str(place), "BACKUP_READY": str(self.folder / "ready")}


@pytest.fixture
def maker(
    fresh_vault: VaultServer,  # noqa: F811
    tmp_path: Path,
    programs: Path,
) -> Iterator[Maker]:
    plan, bundle = rendered()
    prepare_server(fresh_vault, plan, {})
    agent = Agent(fresh_vault, plan, bundle, SERVICE, tmp_path / "agent").start()
    for path, file in bundle.files.items():
        if path.startswith(f"{SERVICE}/"):
            (tmp_path / SERVICE).mkdir(exist_ok=True)
            (tmp_path / path).write_bytes(file.data)
    caller = tmp_path / "bin" / "bao"
    caller.parent.mkdir()
    caller.write_text(f'#!/bin/sh\nexec {shlex.join(fresh_vault.program.argv)} "$@"\n')
    caller.chmod(0o755)
    try:
        agent.log_in()
        yield Maker(fresh_vault, agent, tmp_path, programs)
    finally:
        agent.stop()


def test_a_snapshot_is_taken_by_a_login_that_may_do_nothing_else(maker: Maker) -> None:
    """SE-16, SE-26, SA-76: the agent leaves a token and the authority, each for its owner alone."""
    modes = {path.name: path.stat().st_mode & 0o777 for path in maker.agent.secrets.iterdir()}
    assert modes == {"token": 0o400, "ca.pem": 0o400}
    status, stream, facts = maker.make()
    assert status == 0, facts
    assert facts["bytes"] > 100 and len(facts["sha256"]) == 64 and facts["index"] >= 1
    tried = maker.run("drill.sh", "secrets", **maker.fetched(stream, facts))
    assert tried.returncode == 0, tried.stderr
    assert json.loads(tried.stdout)["bytes of snapshot"] == facts["bytes"]
    assert [p.name for p in (maker.folder / "ready").iterdir()] == ["secrets.snap"]
    assert maker.run("rights.sh").stdout == b"snapshot-only\n"
    token = (maker.agent.secrets / "token").read_text()
    for method, path in (("LIST", "sys/policies/acl"), ("GET", "sys/audit"), ("PUT", "sys/seal")):
        assert maker.server.ask(method, path, token=token).status == 403, path


def test_a_login_that_may_do_more_is_noticed(maker: Maker) -> None:
    role = f"{maker.agent.plan.deployment}-{SERVICE}"
    body = {"policy": 'path "*" { capabilities = ["read", "list"] }'}
    assert maker.server.ask("PUT", f"sys/policies/acl/{role}", body).status == 204
    found = maker.run("rights.sh")
    assert found.returncode != 0 and b"it may read" in found.stderr


def refuse_sealed(maker: Maker) -> dict[str, str]:
    maker.server.seal()
    return {}


def refuse_permission(maker: Maker) -> dict[str, str]:
    role = f"{maker.agent.plan.deployment}-{SERVICE}"
    body = {"policy": 'path "sys/storage/raft/configuration" { capabilities = ["read"] }'}
    assert maker.server.ask("PUT", f"sys/policies/acl/{role}", body).status == 204
    return {}


def refuse_authority(maker: Maker) -> dict[str, str]:
    folder = maker.folder / "another"
    folder.mkdir()
    return {"BAO_CACERT": str(make_authority(folder).root)}


def refuse_absent(maker: Maker) -> dict[str, str]:
    return {"BACKUP_TOKEN": str(maker.folder / "none")}


def refuse_gone(maker: Maker) -> dict[str, str]:
    maker.server.stop()
    return {"BAO_MAX_RETRIES": "0"}


@pytest.mark.parametrize(
    ("prevent", "said"),
    [
        (refuse_sealed, "is sealed; open it with devplat-install unseal"),
        (refuse_permission, "may take no snapshot; devplat-install apply sets its policy"),
        (refuse_authority, "certificate"),
        (refuse_absent, "there is no login"),
        (refuse_gone, "refused"),
    ],
    ids=["sealed", "no permission", "another authority", "no login", "gone"],
)
def test_nothing_is_sent_and_the_reason_is_told(
    maker: Maker, prevent: Callable[[Maker], dict[str, str]], said: str
) -> None:
    """BK-03: TLS is verified, and no failure passes for a small snapshot."""
    status, stream, facts = maker.make(**prevent(maker))
    assert (status, stream) == (1, b"")
    assert said in facts["why"]


def flip(data: bytes) -> bytes:
    """One byte in the middle."""
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("harm", [flip, lambda d: d[: len(d) // 2], lambda d: d[:-4]],
                         ids=["flipped byte", "half", "without its end"])  # fmt: skip
def test_a_damaged_snapshot_is_neither_sent_nor_taken_for_good(
    maker: Maker, harm: Callable[[bytes], bytes]
) -> None:
    """SE-26: by its own checksums when it is taken, and by the manifest's in the drill."""
    status, stream, facts = maker.make()
    assert status == 0
    snapshot = maker.folder / "work/part/secrets.snap"
    whole = snapshot.read_bytes()
    harmed = maker.folder / "harmed.snap"
    harmed.write_bytes(harm(whole))
    checked = maker.run("check.sh", str(harmed), str(maker.folder / "unpacked"))
    assert checked.returncode != 0 and b"the snapshot is of no use" in checked.stderr
    snapshot.write_bytes(harmed.read_bytes())
    stream = subprocess.run(
        ["tar", "-C", snapshot.parent, "-c", "-f", "-", snapshot.name],
        capture_output=True,
        check=True,
    ).stdout
    tried = maker.run("drill.sh", "secrets", **maker.fetched(stream, facts))
    assert tried.returncode != 0 and b"its manifest says" in tried.stderr
    # the server's own program gives it to the collector, which finds out all the same
    caller = maker.folder / "bin/bao"
    caller.write_text(f'#!/bin/sh\nfor last; do :; done\ncat {harmed} >"$last"\n')
    status, stream, facts = maker.make()
    assert (status, stream) == (1, b"")
    assert "the snapshot is of no use" in facts["why"]


def test_a_snapshot_of_another_moment_is_not_the_one_of_the_manifest(maker: Maker) -> None:
    _, _, facts = maker.make()
    assert maker.server.ask("PUT", "sys/policies/acl/new", {"policy": 'path "x" {}'}).status == 204
    _, later, _ = maker.make()
    tried = maker.run("drill.sh", "secrets", **maker.fetched(later, facts))
    assert tried.returncode != 0 and b"sha256" in tried.stderr


def test_a_backup_has_the_part_and_fails_by_its_name_while_the_server_is_sealed(
    maker: Maker, programs: Path
) -> None:
    """BK-01, BK-03, BK-05, SE-26: encrypted again with the passphrase; the one before stays."""
    world = World(maker.folder / "world", programs, parts=("secrets",))
    try:
        for name in ("serve.sh", "part.sh", "check.sh"):
            target = world.root / SERVICE / name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes((maker.folder / SERVICE / name).read_bytes())
        world.serve("secrets", SERVICE, **maker.settings)
        status, told = world.backup()
        assert status == 0, told
        (part,) = world.manifest()["parts"]
        assert part["name"] == "secrets" and part["facts"]["bytes"] > 100
        assert world.fetch("drill")["state"] == "ready"
        place = {"BACKUP_RESTORE": str(world.root / "scratch/drill")}
        (maker.folder / "ready").mkdir()
        tried = maker.run("drill.sh", "secrets", BACKUP_READY=str(maker.folder / "ready"), **place)
        assert tried.returncode == 0, tried.stderr
        before = world.complete()
        maker.server.seal()
        status, told = world.backup()
        assert status != 0
        assert world.last()["why"] == (
            "part secrets: the secret server is sealed; open it with devplat-install unseal"
        )
        assert world.metrics()['devplat_backup_last_result{part="secrets"}'] == 0
        assert world.complete() == before
    finally:
        world.close()


def test_a_snapshot_out_of_a_backup_brings_secrets_back_with_the_shares_of_its_time(
    maker: Maker,
    launch_vault: Callable[..., VaultServer],  # noqa: F811
) -> None:
    """SE-26: as the runbook says, an empty server takes it by force and asks for the old shares."""
    if maker.server.kind != "real":
        pytest.skip("the stand-in takes no snapshot back; give DEVPLAT_TEST_VAULT_BIN")
    lost = maker.server
    secret = f"secret/data/devplat/{maker.agent.plan.deployment}/word"
    assert lost.ask("POST", secret, {"data": {"value": "kept"}}).status == 200
    _, stream, facts = maker.make()
    tried = maker.run("drill.sh", "secrets", **maker.fetched(stream, facts))
    assert tried.returncode == 0
    lost.stop()
    fresh = launch_vault(audit={"file": f"{lost.folder}/audit.log"}).initialise(1, 1)
    data = (maker.folder / "ready/secrets.snap").read_bytes()
    words = ("operator", "raft", "snapshot", "restore", "-force", "/dev/stdin")
    assert fresh.run(*words, stdin=data).status == 0
    fresh.restart()
    given = fresh.ask("PUT", "sys/unseal", {"key": fresh.shares[0]}, token="")
    assert given.body.get("sealed", True), "its own share opens it no more"
    fresh.ask("PUT", "sys/unseal", {"reset": True}, token="")
    fresh.shares, fresh.threshold, fresh.token = lost.shares, lost.threshold, lost.token
    fresh.unseal()
    assert fresh.ask("GET", secret).data["data"] == {"value": "kept"}
