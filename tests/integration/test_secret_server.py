"""Secrets in a server of the platform, on a real engine; in the order written.

Covers F-025 (sealed after a restart), F-049, SE-01, SE-02, SE-04, SE-17, SE-18, SE-20, SE-27.
"""

import json
import re
import subprocess
from pathlib import Path

import pyrage
import pytest

from installer.adapters.filestore import open_store
from installer.core.redaction import find_secrets
from installer.core.secrets import Secret
from tests.integration.operator import (
    PASSPHRASE,
    REHEARSAL,
    Operator,
    make_bundled_operator,
    rendered_secrets,
)

pytestmark = pytest.mark.engine
PEOPLE = {name: pyrage.x25519.Identity.generate() for name in ("ada", "ben", "cleo")}
SHARES = {"SHARE_1": "ada", "SHARE_2": "cleo"}


@pytest.fixture(scope="module")
def operator(tmp_path_factory, module_host, testbed):
    folder = tmp_path_factory.mktemp("operator")
    people = {name: str(key.to_public()) for name, key in PEOPLE.items()}
    made = make_bundled_operator(folder, module_host, testbed.lock_file, people, 2)
    made.answers["vault"]["single_sign_on"] = True
    made.answers["backup"] = {"enabled": True, "place": "path"}
    made.answers["minio"] = {"enabled": False}  # room for what the two above add
    for code in ("backup.same_host", "backup.key_on_host_only"):
        made.answers["waivers"][code] = REHEARSAL
    return made


@pytest.fixture(scope="module")
def installed(operator):
    done = operator.install("--log-format", "json", "--verbose")
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]
    return done


def decrypt(operator, custodian):
    """What a custodian does at home."""
    file = next((operator.run_dir / "custody").glob(f"*-{custodian}.age"))
    return pyrage.decrypt(file.read_bytes(), [PEOPLE[custodian]]).decode().strip()


def give_shares(operator):
    operator.answers["vault"]["unseal_shares"] = [f"env:{name}" for name in SHARES]
    operator.environment = {name: decrypt(operator, who) for name, who in SHARES.items()}


def keep_shares_away(operator):
    operator.answers["vault"].pop("unseal_shares", None)
    operator.environment = {}


def in_agent(host, consumer, script):
    return host.ssh(f"docker exec trial-vault-agent-{consumer}-1 sh -c '{script}'")


def inspect_all(host):
    ids = host.ssh("docker ps -aq").split()
    return json.loads(host.ssh(f"docker inspect {' '.join(ids)}"))


def test_every_consumer_has_its_files_as_its_own_user_and_nobody_else(installed, module_host):
    """SE-27: owner is the service user, mode 0400, not writable."""
    services = {
        c["Config"]["Labels"]["com.docker.compose.service"]: c for c in inspect_all(module_host)
    }
    consumers = [n.removeprefix("vault-agent-") for n in services if n.startswith("vault-agent-")]
    assert {"coder", "postgres", "traefik", "gitea"} <= set(consumers)
    for consumer in consumers:
        mount = next(m for m in services[consumer]["Mounts"] if m["Destination"] == "/run/secrets")
        assert mount["RW"] is False and mount["Type"] == "volume"
        user = services[consumer]["Config"]["User"]
        facts = in_agent(module_host, consumer, 'stat -c "%a %u:%g" /run/secrets/*').split("\n")
        assert {line for line in facts if line} == {f"400 {user}"}


def test_no_secret_is_seen_from_outside(installed, operator, module_host):
    """SE-01, SE-02, SE-04: bundle, logs and events, environments that inspect shows."""
    texts = [text for path, text in rendered_secrets(module_host).items() if "pem" not in path]
    tokens = {token for text in texts for token in re.findall(r"[A-Za-z0-9_-]{30,}", text)}
    values = {token[:6]: Secret(token) for token in tokens}
    assert len(values) > 15
    places = {
        "inspect": json.dumps(inspect_all(module_host)),
        "events": installed.stdout + installed.stderr,
        "releases": module_host.ssh(
            "sudo sh -c 'find /opt/devplat/releases /opt/devplat/state -type f -exec cat {} +'"
        ),
        "logs": module_host.ssh("for c in $(docker ps -aq); do docker logs $c 2>&1; done"),
        "run": "".join(
            p.read_text(errors="replace")
            for p in operator.run_dir.rglob("*")
            if p.is_file() and p.suffix in (".json", ".jsonl", ".md", ".yaml")
        ),
    }
    for place, text in places.items():
        assert [str(hit) for hit in find_secrets(text.encode(), values)] == [], place
    assert find_secrets(f"x{next(iter(tokens))}".encode(), values)


def test_what_opens_the_server_is_not_on_the_target(installed, module_host):
    """SE-17, SE-18."""
    assert module_host.ssh("sudo ls -A /var/lib/devplat/vault/ceremony").strip() == ""
    files = module_host.ssh(
        "sudo find /opt/devplat /var/lib/devplat -name '*.age' -o -name '*answer*' -not -path '*/state/answers*'"
    )
    assert files.strip() == ""


def test_a_second_run_changes_nothing(installed, operator):
    done = operator.install()
    assert done.returncode == 0, done.stderr[-2000:]
    assert "no changes" in done.stdout


def test_a_backup_has_the_server_and_a_drill_compares_it(installed, operator, module_host):
    """BK-01, SE-26, SA-76: by its own login; nobody but people puts it in place."""
    done = operator.run("backup", "now")
    assert done.returncode == 0, done.stderr[-3000:]
    assert " secrets" in operator.run("backup", "list").stdout.splitlines()[0]
    done = operator.run("restore", "--into", "drill", "--part", "secrets")
    assert done.returncode == 0, done.stderr[-3000:]
    compared = [c for c in operator.reports()[-1]["checks"] if c["id"] == "restore.compared"]
    assert [(c["outcome"], c["where"]) for c in compared] == [("pass", "backup-secrets")]
    done = operator.run("restore", "--part", "secrets", "--yes", "--confirm", "trial")
    assert done.returncode == 2 and "runbook.md" in done.stderr
    (runbook,) = operator.run_dir.rglob("runbook.md")
    assert "ctl.sh fetch by-hand ID secrets" in runbook.read_text()
    script = "sh /opt/backup/ctl.sh fetch by-hand newest secrets"
    module_host.ssh(f"docker exec trial-backup-1 {script}")
    told = "docker exec trial-backup-1 sh /opt/backup/ctl.sh fetched by-hand"
    module_host.ssh(f"until {told} | grep -q ready; do sleep 1; done")
    scratch = "/var/lib/devplat/backup/scratch/by-hand"
    found = module_host.ssh(
        f"sudo sh -c 'tar -xOf {scratch}/secrets.tar secrets.snap | tar -tz; rm -r {scratch}'"
    )
    assert {"meta.json", "state.bin", "SHA256SUMS"} <= set(found.split())


def test_administrators_are_sent_to_the_identity_provider(installed, module_host):
    """SD-41, MF-05: through the relay, for the edge and the server do not meet."""
    ask = (
        "docker exec trial-vault-1 vault write -field=auth_url auth/oidc/oidc/auth_url"
        " role=operator redirect_uri=http://localhost:8250/oidc/callback"
    )
    address = module_host.ssh(ask).strip()
    assert address.startswith("https://auth.trial.test/application/o/authorize/?"), address
    names = "{{range $n, $c := .NetworkSettings.Networks}}{{$n}} {{end}}"
    vault, edge = (
        set(module_host.ssh(f"docker inspect -f '{names}' trial-{service}-1").split())
        for service in ("vault", "traefik")
    )
    assert vault and edge and not vault & edge


def test_a_restarted_agent_disturbs_nobody_and_gets_a_new_login(installed, operator, module_host):
    before = rendered_secrets(module_host)
    module_host.ssh("docker restart -t 1 trial-vault-agent-coder-1")
    started = module_host.ssh("docker inspect -f {{.State.StartedAt}} trial-coder-1")
    assert rendered_secrets(module_host) == before
    done = operator.install()
    assert done.returncode == 0, done.stderr[-2000:]
    assert module_host.ssh("docker inspect -f {{.State.StartedAt}} trial-coder-1") == started


def token_of(operator, host):
    """A token of the installer's own policy, from the login that the first machine keeps."""
    courier = open_store(operator.run_dir / "secrets.store", Secret(PASSPHRASE))
    kept = json.loads(courier.get("vault-access").reveal())
    login = json.dumps({"role_id": kept["role_id"], "secret_id": kept["secret_id"]})
    curl = "curl -sS --cacert /var/lib/devplat/vault/tls/ca.pem --connect-to vault::"
    address = host.ssh(
        "docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' trial-vault-1"
    ).split()[0]
    answer = host.ssh(
        f"echo '{login}' | sudo {curl}{address}:8200 -d @- https://vault:8200/v1/auth/approle/login"
    )
    return json.loads(answer)["auth"]["client_token"]


def test_on_another_machine_a_token_is_enough_to_go_on(installed, operator, module_host):
    """Break glass: the roots come from the target, and a login of its own is kept there."""
    vault = {**operator.answers["vault"], "token": "env:BREAK_GLASS"}
    other = Operator(operator.folder / "elsewhere", {**operator.answers, "vault": vault})
    other.folder.mkdir()
    done = other.run("plan", "--unattended", "--set=vault.token=env:NOT_SET")
    assert done.returncode == 3, done.stderr
    other.environment = {"BREAK_GLASS": token_of(operator, module_host)}
    before = rendered_secrets(module_host)
    done = other.install()
    assert done.returncode == 0, done.stderr[-3000:]
    assert rendered_secrets(module_host) == before
    changed = {s["step"] for s in other.reports()[-1]["steps"] if s["changed"]}
    assert "vault.configure" in changed
    assert changed.isdisjoint({"vault.certificate", "vault.initialise", "vault.move", "release"})

    del other.answers["vault"]["token"], other.environment["BREAK_GLASS"]
    done = other.install()
    assert done.returncode == 0, done.stderr[-2000:]
    assert "no changes" in done.stdout


def test_a_rotated_password_is_in_use_and_the_old_one_is_dead(installed, operator, module_host):
    """SE-20: for a database and for a password of another kind."""
    before = rendered_secrets(module_host)
    names = ("coder-database-password", "gitea-redis-password")
    done = operator.run("rotate", "--unattended", "--yes", *names)
    assert done.returncode == 0, done.stderr[-3000:]
    after = rendered_secrets(module_host)
    assert {path for path in before if before[path] != after[path]} >= {
        "coder/CODER_PG_CONNECTION_URL",
        "redis/users.acl",
        "gitea/redis_cache",
    }
    old = before["coder/CODER_PG_CONNECTION_URL"]
    login = f"docker exec trial-postgres-1 psql '{old.replace('@postgres:', '@127.0.0.1:')}' -c 'select 1'"
    assert subprocess.run(module_host.ssh_argv(login), capture_output=True).returncode != 0
    new = after["coder/CODER_PG_CONNECTION_URL"]
    login = f"docker exec trial-postgres-1 psql '{new.replace('@postgres:', '@127.0.0.1:')}' -c 'select 1'"
    assert subprocess.run(module_host.ssh_argv(login), capture_output=True).returncode == 0


def test_a_secret_that_encrypts_data_is_not_rotated(installed, operator):
    done = operator.run("rotate", "--unattended", "--yes", "drone-database-secret")
    assert done.returncode == 18
    assert "cannot be replaced" in done.stderr


def test_after_a_restart_the_platform_waits_for_its_custodians(installed, operator, module_host):
    """F-025, F-049: everything stops and comes back, as in a reboot: what lay in memory is gone."""
    module_host.ssh("docker stop -t 10 $(docker ps -q) >/dev/null", timeout=300)
    module_host.ssh("docker start $(docker ps -aq) >/dev/null")
    keep_shares_away(operator)
    done = operator.install()
    assert done.returncode == 12, done.stderr[-2000:]
    assert "unseal" in done.stderr and "threshold" in done.stderr

    give_shares(operator)
    done = operator.run("unseal", "--unattended")
    assert done.returncode == 0, done.stderr[-3000:]
    report = operator.reports()[-1]
    standstill = [c for c in report["checks"] if c["id"] == "vault.standstill"]
    assert standstill and "minutes" in standstill[0]["found"]
    keep_shares_away(operator)


def test_data_whose_secrets_are_unknown_gets_no_new_ones(installed, operator, module_host):
    """Invariant 3: an empty server beside old data."""
    module_host.ssh("docker stop trial-vault-1")
    module_host.ssh("sudo mv /var/lib/devplat/vault /var/lib/devplat-vault-aside")
    aside = operator.run_dir.rename(operator.folder / "aside")
    done = operator.install()
    assert done.returncode == 18, done.stderr[-2000:]
    assert "secrets are not in the store" in done.stderr
    assert Path(aside).exists()
