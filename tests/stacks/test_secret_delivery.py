"""How secrets reach their services: agents, wrappers that wait, the server's own configuration."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from installer.core.bundle import Bundle, BundleFile
from installer.core.events import CheckResult, Outcome
from installer.core.plan import Plan
from installer.core.policy import AuditContext, audit_compose, parse_hardening
from installer.core.segmentation import (
    FlowConditions,
    audit_networks,
    declared_flows,
    parse_segmentation,
)
from tests.stacks.builders import ROOT, make, services_of

Rendered = tuple[Plan, Bundle]

IMAGES = yaml.safe_load((ROOT / "tests/standins/images.yaml").read_text())
WRAPPERS = ("/opt/devplat/wait-for-secrets.sh", "/opt/devplat/with-secrets.sh")


def consumers_of(plan: Plan) -> list[str]:
    return [n for n in plan.services if plan.manifest(n).secret_files and n not in agents_of(plan)]


def agents_of(plan: Plan) -> list[str]:
    return [name for name in plan.services if plan.manifest(name).consumer]


def text_of(bundle: Bundle, path: str) -> str:
    return bundle.files[path].data.decode()


def find_hasty_starts(plan: Plan, bundle: Bundle) -> Iterator[str]:
    """Consumers that do not wait for all their files, or then start otherwise than their image."""
    for name in consumers_of(plan):
        body = services_of(bundle)[name]
        entry = body.get("entrypoint", [])
        mounts = [v for v in body["volumes"] if v["target"] == entry[-1] and v["read_only"]]
        if entry[:1] != ["/bin/sh"] or entry[-1] not in WRAPPERS or len(mounts) != 1:
            yield f"{name} is started by {' '.join(entry) or 'its image'}"
            continue
        wrapper = text_of(bundle, mounts[0]["source"].removeprefix("./"))
        awaited = re.findall(r"^for file in (.*); do$", wrapper, re.MULTILINE)[0].split()
        if awaited != sorted(plan.manifest(name).secret_files):
            yield f"{name} waits for {' '.join(awaited)}"
        own = IMAGES[plan.manifest(name).image.repository]["config"]["Entrypoint"]
        if body["command"][: len(own)] != own:
            yield f"{name} runs {' '.join(body['command'])}"


def test_every_consumer_waits_for_its_files_and_starts_as_its_image_does(
    rendered: Rendered,
) -> None:
    """After a reboot the engine starts all containers at once, `depends_on` or not."""
    assert list(find_hasty_starts(*rendered)) == []
    assert len(consumers_of(rendered[0])) > 5


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"entrypoint": ["docker-entrypoint.sh"]}, "postgres is started by docker-entrypoint.sh"),
        ({"command": ["postgres"]}, "postgres runs postgres"),
    ],
)
def test_a_consumer_that_does_not_wait_is_found(
    everything: Rendered, change: dict[str, object], found: str
) -> None:
    plan, bundle = everything
    services = services_of(bundle)
    changed = {**services, "postgres": {**services["postgres"], **change}}
    document = {**bundle.document, "services": changed}
    assert list(find_hasty_starts(plan, replace(bundle, document=document))) == [found]


def test_a_consumer_that_waits_for_too_little_is_found(everything: Rendered) -> None:
    plan, bundle = everything
    path = "gitea/wait-for-secrets.sh"
    text = text_of(bundle, path).replace("database_password ", "", 1)
    files = {**bundle.files, path: BundleFile(text.encode())}
    [found] = find_hasty_starts(plan, replace(bundle, files=files))
    assert found.startswith("gitea waits for database_roots.pem ")


def run_wrapper(
    tmp_path: Path, bundle: Bundle, path: str, *, after: int, files: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """The wrapper around `env`; its directory gets its files after so many seconds of waiting.

    `sleep` is replaced by a program that counts, so that no time passes.
    """
    secrets, programs, count = tmp_path / "secrets", tmp_path / "bin", tmp_path / "count"
    secrets.mkdir()
    programs.mkdir()
    count.write_text("0")
    lines = "".join(f"printf %s '{text}' >{secrets}/{name}\n" for name, text in files.items())
    (programs / "sleep").write_text(
        f"#!/bin/sh\nn=$(($(cat {count}) + $1)); echo $n >{count}\n"
        f"if [ $n -ge {after} ]; then\n{lines}fi\n"
    )
    (programs / "sleep").chmod(0o755)
    if after == 0:
        for name, text in files.items():
            (secrets / name).write_text(text)
    script = tmp_path / "wrapper.sh"
    script.write_text(text_of(bundle, path).replace("/run/secrets", str(secrets)))
    return subprocess.run(
        ["sh", str(script), "sh", "-c", "env; cat $0", str(secrets / next(iter(files)))],
        env={"PATH": f"{programs}:{os.environ['PATH']}", "KEPT": "yes"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


FILES = {
    "CODER_PG_CONNECTION_URL": "postgres://u:p@h/d?x=1",
    "CODER_OIDC_CLIENT_SECRET": "s",
    "edge_roots.pem": "roots",
    "database_roots.pem": "roots",
}


def test_a_wrapper_starts_at_once_when_the_files_are_there(
    tmp_path: Path, everything: Rendered
) -> None:
    done = run_wrapper(tmp_path, everything[1], "coder/with-secrets.sh", after=0, files=FILES)
    assert "CODER_PG_CONNECTION_URL=postgres://u:p@h/d?x=1\n" in done.stdout
    assert "KEPT=yes\n" in done.stdout
    assert done.stderr == ""


def test_a_wrapper_says_every_30_seconds_what_it_waits_for(
    tmp_path: Path, everything: Rendered
) -> None:
    files = dict.fromkeys(("health_password", "redis_ca.pem", "tls.pem", "users.acl"), "x")
    done = run_wrapper(tmp_path, everything[1], "redis/wait-for-secrets.sh", after=75, files=files)
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert all("/secrets/health_password" in line for line in lines)
    assert done.stdout.endswith("x")


def test_only_the_wrapper_for_variables_puts_secrets_into_the_environment(
    tmp_path: Path, everything: Rendered
) -> None:
    files = {"tls_fullchain.pem": "x", "tls_key.pem": "x", "CF_DNS_API_TOKEN": "canary"}
    done = run_wrapper(tmp_path, everything[1], "traefik/wait-for-secrets.sh", after=0, files=files)
    assert "canary" not in done.stdout


def test_scripts_are_read_by_a_plain_shell(rendered: Rendered) -> None:
    scripts = {p: f for p, f in rendered[1].files.items() if p.endswith(".sh")}
    assert len(scripts) > 8
    for path, file in scripts.items():
        done = subprocess.run(["sh", "-n"], input=file.data, capture_output=True, check=False)
        assert done.returncode == 0, (path, done.stderr)
        assert file.mode == 0o755, path


@pytest.mark.parametrize("variant", ["everything", "acme-behind-balancer", "nothing-optional"])
def test_every_consumer_has_an_agent_of_its_own_and_shares_nothing_else(variant: str) -> None:
    """SE-13, SE-16."""
    plan, bundle = make(variant)
    services = services_of(bundle)
    assert {plan.manifest(a).consumer.name for a in agents_of(plan)} == set(consumers_of(plan))  # type: ignore[union-attr]
    for name in agents_of(plan):
        consumer = plan.manifest(name).consumer
        assert consumer is not None
        body = services[name]
        assert body["user"] == consumer.user
        assert list(body["networks"]) == [f"{name}-to-vault"]
        assert services[consumer.name]["depends_on"][name]["condition"] == "service_healthy"
        room = [entry for entry in body["tmpfs"] if entry.startswith("/run/agent:")]
        uid, gid = consumer.user.split(":")
        assert re.search(rf"\buid={uid},gid={gid},mode=0700\b", room[0])
        written = [v for v in body["volumes"] if not v.get("read_only")]
        read = [v for v in services[consumer.name]["volumes"] if v["target"] == "/run/secrets"]
        assert [v["source"] for v in written] == [v["source"] for v in read]
        assert read[0]["read_only"] is True


def test_an_agent_renders_every_file_of_its_service_and_its_marker_last(
    everything: Rendered,
) -> None:
    plan, bundle = everything
    for name in agents_of(plan):
        consumer = plan.manifest(name).consumer
        assert consumer is not None
        text = text_of(bundle, f"{name}/agent.hcl")
        targets = [json.loads(t) for t in re.findall(r'^  destination +=( ".*")$', text, re.M)]
        wanted = [f"/run/secrets/{file}" for file in sorted(consumer.secret_files)]
        assert targets == [*wanted, "/run/agent/rendered"]
        assert text.count('perms                = "0400"') == len(targets)
        assert f'"auth/approle/role/devplat-{consumer.name}/secret-id"' in text
        assert "${" not in text
        for file, template in plan.agent_files(consumer.name).items():
            assert template.replace("{{", "") != template or "${" not in consumer.secret_files[file]


@pytest.mark.parametrize(
    ("variant", "is_vault"), [("everything", False), ("acme-behind-balancer", True)]
)
def test_the_server_is_hardened_in_both_flavors(variant: str, is_vault: bool) -> None:
    """TL-16, SE-19, and the row of the hardening table."""
    _, bundle = make(variant)
    text, body = text_of(bundle, "vault/server.hcl"), services_of(bundle)["vault"]
    lines = {
        re.sub(r"\s*#.*", "", re.sub(r"\s*=\s*", "=", line.strip())) for line in text.splitlines()
    }
    assert {"ui=false", "raw_storage_endpoint=false", 'tls_min_version="tls12"'} <= lines
    assert "tls_disable" not in text
    assert "unauthenticated_metrics_access=true" in lines
    assert len(re.findall(r'^audit "file" ', text, re.M)) == (0 if is_vault else 2)
    assert ("disable_mlock=true" in lines) == is_vault
    assert body.get("cap_add", []) == (["IPC_LOCK"] if is_vault else [])
    assert body["ulimits"]["core"] == 0
    assert "ports" not in body
    wanted = "docker.io/hashicorp/vault" if is_vault else "docker.io/openbao/openbao"
    assert body["image"].startswith(wanted)
    assert not any("egress" in network for network in body["networks"])


def test_a_server_that_another_one_unseals_reaches_it_and_has_its_token_in_no_file() -> None:
    _, bundle = make("unsealed-by-another-server")
    text, script = text_of(bundle, "vault/server.hcl"), text_of(bundle, "vault/server.sh")
    assert re.search(r'^seal "transit" \{$', text, re.M)
    assert re.search(r'address += "https://vault.company.com:8200"', text)
    assert 'mount_path = "transit/"' in text
    assert "token" not in re.search(r"seal \"transit\" \{.*?\}", text, re.S)[0]  # type: ignore[index]
    assert "VAULT_TOKEN=$(cat " in script
    assert "vault-egress" in services_of(bundle)["vault"]["networks"]
    assert "-recovery-shares" in text_of(bundle, "vault/init.sh")
    assert '"auth/approle/role/dev-2-coder/secret-id"' in text_of(
        bundle, "vault-agent-coder/agent.hcl"
    )
    assert "secret/data/teams/platform/coder-" in text_of(bundle, "vault-agent-coder/agent.hcl")


def test_a_server_that_aws_unseals_names_the_key() -> None:
    _, bundle = make("unsealed-by-aws")
    text = text_of(bundle, "vault/server.hcl")
    assert re.search(
        r'seal "awskms" \{\n  region +="? ?"eu-central-1"\n  kms_key_id = "alias/unseal"', text
    )


def test_without_a_secret_server_files_are_mounted_one_by_one() -> None:
    plan, bundle = make("no-secret-server")
    assert not any(name.startswith("vault") for name in plan.services)
    for name in consumers_of(plan):
        targets = [entry["target"] for entry in services_of(bundle)[name]["secrets"]]
        assert targets == sorted(plan.manifest(name).secret_files)


def failures(results: tuple[CheckResult, ...]) -> set[tuple[str, str | None]]:
    return {(r.id, r.where) for r in results if r.outcome is Outcome.FAIL}


def test_a_way_out_of_the_secret_server_counts_only_where_it_is_declared() -> None:
    """SD-58."""
    plan, bundle = make("unsealed-by-another-server")
    table = parse_segmentation((ROOT / "assets/segmentation.yaml").read_bytes())
    declared = declared_flows(map(plan.manifest, plan.services), plan.edge, "internet")
    assert failures(audit_networks(bundle.document, table, FlowConditions(declared))) == set()
    fewer = FlowConditions(declared - {("vault", "internet")})
    assert failures(audit_networks(bundle.document, table, fewer)) == {
        ("SD-58", "vault -> internet"),
        ("segmentation.internal", "vault-egress"),
    }


def test_an_agent_may_write_its_one_directory_and_only_as_declared(everything: Rendered) -> None:
    """HD-23."""
    plan, bundle = everything
    table = parse_hardening((ROOT / "assets/hardening.yaml").read_bytes())
    name = "vault-agent-redis"
    body = services_of(bundle)[name]
    declared = AuditContext(exceptions={name: plan.manifest(name).exceptions})
    more = {
        **body,
        "volumes": [*body["volumes"], {**body["volumes"][-1], "target": "/run/secrets/x"}],
    }

    def audit(body: object, context: AuditContext) -> set[str]:
        results = audit_compose({"services": {name: body}}, table, context)
        return {id for id, _ in failures(results)}

    assert audit(body, declared) == set()
    assert audit(body, AuditContext()) == {"HD-23"}
    assert audit(more, declared) == {"HD-23"}
    assert audit({**body, "cap_add": ["SYS_PTRACE"]}, declared) == {"HD-04"}


def test_the_audit_log_is_turned_over_before_it_fills_the_disk(
    tmp_path: Path, everything: Rendered
) -> None:
    """SE-19. The server is a program that ends once it was told to open its log anew."""
    log, programs = tmp_path / "audit.log", tmp_path / "bin"
    programs.mkdir()
    for name, text in {
        "sleep": "exec /bin/sleep 0.02",
        "vault": f"trap 'touch {tmp_path}/reopened; exit 0' HUP\necho $* >{tmp_path}/words\n"
        "while :; do /bin/sleep 0.02; done",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    log.write_bytes(b"x" * 3000)
    for number in range(1, 9):
        (tmp_path / f"audit.log.{number}").write_text(f"old {number}")
    script = text_of(everything[1], "vault/server.sh")
    script = script.replace("/openbao/logs", str(tmp_path)).replace("=65536", "=1")
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "VAULT_ADDR": "x",
        "VAULT_CACERT": "x",
    }
    # a shell cannot listen to a signal that it was started to ignore, as under nohup
    hears = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL)"
    argv = [sys.executable, "-c", f"{hears}; os.execvp('sh', ['sh', '-c', sys.argv[1]])", script]
    with subprocess.Popen(argv, env=environment, start_new_session=True) as server:
        try:
            assert server.wait(30) == 0
        finally:
            os.killpg(server.pid, signal.SIGKILL)
    assert (tmp_path / "words").read_text() == "server -config=/etc/openbao/server.hcl\n"
    assert (tmp_path / "reopened").exists()
    assert (tmp_path / "audit.log.1").read_bytes() == b"x" * 3000
    assert (tmp_path / "audit.log.2").read_text() == "old 1"
    assert (tmp_path / "audit.log.8").read_text() == "old 7"
    assert not log.exists()
