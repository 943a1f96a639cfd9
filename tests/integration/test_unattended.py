"""The main job on a real engine: answers in, a verified platform out; in the order written.

Covers invariants 1, 2, 3, 5; F-080, F-083, F-086 (edited release), HA-04, SD-39, SD-40, SE-01..SE-05.
"""

import json
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest

from installer.core.redaction import find_secrets
from installer.core.secrets import Secret
from tests.integration import way_back
from tests.integration.operator import PASSPHRASE, make_operator

pytestmark = pytest.mark.engine
CANARIES = {
    "CANARY_ADMIN": "canary-admin-Zq7 with blank and $dollar",
    "CANARY_REGISTRY": "canary-registry-Xw3-0123456789",
}
"""Secrets planted through fields of the answers; the store's passphrase is another one."""


@pytest.fixture(scope="module")
def operator(tmp_path_factory, module_host, testbed):
    made = make_operator(
        tmp_path_factory.mktemp("operator"),
        module_host,
        testbed.lock_file,
        registry={"username": "robot", "password": "env:CANARY_REGISTRY"},
    )
    made.answers["admin"]["password"] = "env:CANARY_ADMIN"
    made.environment = dict(CANARIES)
    return made


@pytest.fixture(scope="module")
def installed(operator, module_host):
    """The first run, told as JSON, with the process lists of both machines sampled meanwhile."""
    process = subprocess.Popen(
        operator.argv("--unattended", "--yes", "--log-format", "json", "--verbose"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=operator.env(), text=True,
    )  # fmt: skip
    seen = subprocess.Popen(
        module_host.ssh_argv("while :; do ps -eo args; sleep 0.1; done"), stdout=subprocess.PIPE
    )
    out, err = process.communicate(timeout=600)
    seen.terminate()
    processes, _ = seen.communicate()
    assert process.returncode == 0, err + out[-3000:]
    return {"out": out, "err": err, "processes": processes}


def test_without_consent_nothing_is_changed_and_the_proposal_is_shown(operator, module_host):
    done = operator.run("--unattended")
    assert done.returncode == 24, done.stderr
    assert "+ service postgres is added" in done.stdout
    assert "--yes" in done.stderr
    assert module_host.ssh("ls /opt /var/lib; docker ps -aq").split().count("devplat") == 0


def test_every_line_of_the_run_is_an_event_of_the_published_schema(installed):
    schema = json.loads(Path("docs/events.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    lines = [json.loads(line) for line in installed["out"].splitlines()]
    assert [e.message for line in lines for e in validator.iter_errors(line)] == []
    assert [line["seq"] for line in lines if line["type"] == "run_finished"]
    started = [line["step"] for line in lines if line["type"] == "step_started"]
    finished = [line["step"] for line in lines if line["type"] == "step_finished"]
    assert sorted(started) == sorted(finished)


def test_the_report_says_what_was_done_and_its_hash_finds_a_changed_byte(operator, installed):
    from installer.core.report import hash_evidence

    report = operator.reports()[-1]
    assert (report["exit_status"], report["class"], report["changed"]) == (0, "ok", True)
    assert report["evidence"] == hash_evidence(report)
    assert hash_evidence({**report, "changed": False}) != report["evidence"]
    markdown = next(operator.run_dir.glob("runs/*/report.md")).read_text()
    for check in report["checks"]:
        assert check["id"] in markdown
    outcomes = {check["outcome"] for check in report["checks"]}
    assert outcomes <= {"pass", "warn", "waived", "unknown", "unmet"}
    assert [check for check in report["checks"] if check["id"].startswith("smoke.https.")]


def test_the_engine_shows_the_hardening_in_force(installed, module_host):
    """HD-03, HD-05, HD-08, HD-10, HD-13, HD-26 by the engine's own words."""
    ids = module_host.ssh("docker ps -q").split()
    found = json.loads(module_host.ssh(f"docker inspect {' '.join(ids)}"))
    assert len(found) == 13
    for container in found:
        host = container["HostConfig"]
        assert host["CapDrop"] == ["ALL"]
        assert host["ReadonlyRootfs"] is True
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["Memory"] == host["MemorySwap"] > 0
        assert 16 <= host["PidsLimit"] <= 4096
    publishing = [c["Name"] for c in found if c["HostConfig"]["PortBindings"]]
    assert publishing == ["/trial-traefik-1"]


@pytest.mark.parametrize(("name", "port"), [("postgres", 5432), ("redis", 6379)])
def test_the_data_tier_cannot_be_reached_from_the_edge(installed, module_host, name, port):
    """SD-39, SD-40: neither by name nor by address, while its consumers can."""
    template = "{{range $n, $c := .NetworkSettings.Networks}}{{$n}} {{$c.IPAddress}}\n{{end}}"
    lines = module_host.ssh(f"docker inspect -f '{template}' trial-{name}-1").split()
    address_on = dict(zip(lines[::2], lines[1::2], strict=True))
    assert f"trial_gitea-to-{name}" in address_on
    for address in address_on.values():
        assert connect(module_host, "traefik", address, port) == "refused", address
    assert connect(module_host, "gitea", address_on[f"trial_gitea-to-{name}"], port) == "open"
    known = (
        "docker exec trial-{}-1 nslookup {} 127.0.0.11 | grep -q ^Name: && echo known || echo no"
    )
    assert module_host.ssh(known.format("traefik", name)).strip() == "no"
    assert module_host.ssh(known.format("gitea", name)).strip() == "known"


def connect(host, service, address, port):
    """What a TCP connect from inside a service's network name space gives."""
    pid = f"$(docker inspect -f '{{{{.State.Pid}}}}' trial-{service}-1)"
    code = f"import socket; socket.create_connection(('{address}', {port}), 2)"
    script = (
        f'sudo nsenter -t {pid} -n python3 -c "{code}" 2>/dev/null && echo open || echo refused'
    )
    return host.ssh(script).strip()


def test_every_container_was_probed_from_inside(operator, installed, module_host):
    """SM-04 and the rows of the catalogue, on the real engine: nothing open that must not be."""
    checks = {check["id"]: check for check in operator.reports()[-1]["checks"]}
    probed = {i.rpartition(".")[2] for i in checks if i.startswith("segmentation.reach.")}
    services = set(
        module_host.ssh("docker ps --format '{{.Label \"com.docker.compose.service\"}}'").split()
    )
    assert probed == services | {"ipv6", "host"}
    # listeners of health checks, and the metadata service where these tests run in a cloud
    tolerated = ("reaches ports that nobody declared", "reaches the credentials of the cloud")
    for name in services:
        check = checks[f"segmentation.reach.{name}"]
        assert check["outcome"] == "pass" or check["found"].startswith(tolerated), check
    assert "SD-39" in checks["segmentation.reach.traefik"]["found"]
    assert "postgres:5432" in checks["segmentation.reach.gitea"]["found"]
    assert checks["host.published"]["outcome"] == "pass"
    assert "443" in checks["ports.bastion"]["found"]


def test_a_wrong_network_a_published_port_and_the_hosts_network_are_found(
    operator, installed, module_host
):
    """SM-01, SM-02: each names who it is about; without them everything passes again."""
    run = "docker run -d --rm --entrypoint sleep --label com.docker.compose.project=trial"
    image = "$(docker inspect -f '{{.Image}}' trial-traefik-1)"
    module_host.ssh(
        "docker network connect trial_gitea-to-postgres trial-traefik-1;"
        f"{run} --label com.docker.compose.service=loud -p 15432:5432 --name loud {image} 300;"
        f"{run} --label com.docker.compose.service=near --network host --name near {image} 300"
    )
    try:
        done = operator.run("verify")
    finally:
        module_host.ssh(
            "docker rm -f -v loud near; docker network disconnect trial_gitea-to-postgres trial-traefik-1"
        )
    assert done.returncode == 16
    failed = {
        check["id"]: check["found"]
        for check in operator.reports()[-1]["checks"]
        if check["outcome"] == "fail" and not check["id"].startswith("HD-")
    }
    assert {"segmentation.reach.traefik", "segmentation.reach.near", "host.published"} <= set(
        failed
    )
    assert "postgres:5432 (SD-39" in failed["segmentation.reach.traefik"]
    assert "loud 5432/tcp" in failed["host.published"]
    assert operator.run("verify").returncode == 0


def test_a_second_run_changes_nothing_and_says_so(operator, installed, module_host):
    before = state_of(module_host)
    done = operator.install()
    assert done.returncode == 0, done.stderr
    assert "changed     no changes" in done.stdout
    assert state_of(module_host) == before
    assert operator.reports()[-1]["changed"] is False


def state_of(host):
    """Containers with their start times, the release's files and the secrets' hashes."""
    return host.ssh(
        "docker inspect -f '{{.Id}} {{.State.StartedAt}}' $(docker ps -q) | sort;"
        "sudo find /opt/devplat -type f -exec sha256sum {} + | sort; sudo readlink /opt/devplat/current"
    )


def test_a_secret_of_the_run_is_nowhere_it_must_not_be(operator, installed, module_host, tmp_path):
    """SE-01..SE-05, SE-07, SE-27: every generated value, in every usual encoding."""
    secrets = read_secrets(module_host)
    assert len(secrets) > 10
    secrets["passphrase"] = Secret(PASSPHRASE)
    secrets |= {name: Secret(value) for name, value in CANARIES.items()}
    places = {
        "standard output": installed["out"].encode(),
        "standard error": installed["err"].encode(),
        "process lists": installed["processes"],
        "inspect": module_host.ssh("docker inspect $(docker ps -aq)").encode(),
        "engine logs": module_host.ssh(
            "for c in $(docker ps -q); do docker logs $c 2>&1; done"
        ).encode(),
        "shell histories": module_host.ssh(
            "sudo cat /root/.*history ~/.*history 2>/dev/null; :"
        ).encode(),
        "the release": module_host.ssh(
            "sudo tar c /opt/devplat/releases /opt/devplat/state"
        ).encode(),
    }
    for path in operator.run_dir.rglob("*"):
        if path.is_file():
            places[path.name] = path.read_bytes()
    hits = {place: find_secrets(data, secrets) for place, data in places.items()}
    assert {place: [h.name for h in found] for place, found in hits.items() if found} == {}
    planted = places["inspect"] + secrets["db"].reveal().encode()
    assert find_secrets(planted, secrets), "the detector does not detect"


def read_secrets(host):
    """Values of the secret files that are nothing but a value, and the database URL's password."""
    names = host.ssh("sudo find /opt/devplat/secrets -type f").split()
    found = {}
    for name in names:
        text = host.ssh(f"sudo cat {name}")
        if re.fullmatch(r"[A-Za-z0-9_-]{32,}\n?", text):
            found[name] = Secret(text.strip())
    url = host.ssh("sudo cat /opt/devplat/secrets/coder/CODER_PG_CONNECTION_URL")
    found["db"] = Secret(re.search(r"coder_[0-9a-f]{8}:([^@]+)@", url)[1])
    return found


def test_secret_files_belong_to_their_consumer_alone(installed, module_host):
    """HH-13, SE-27."""
    lines = module_host.ssh(
        "sudo find /opt/devplat/secrets -type f -exec stat -c '%a %u %n' {} +; sudo stat -f -c %T /opt/devplat/secrets"
    ).splitlines()
    assert lines.pop() == "tmpfs"
    assert {line.split()[0] for line in lines} == {"400"}
    assert {line.split()[1] for line in lines if "/postgres/" in line} == {"999"}


def test_the_saved_answers_repeat_the_run(operator, installed):
    saved = operator.run_dir / "answers.yaml"
    shown = [
        operator.run("answers", "show", "--answers", str(p)) for p in (operator.answers_file, saved)
    ]
    values = [[line.rsplit("  (", 1)[0] for line in s.stdout.splitlines()] for s in shown]
    assert values[0] == values[1]
    assert len(values[0]) > 40


def test_an_edited_release_is_a_conflict_until_somebody_decides(operator, installed, module_host):
    """F-083: the difference is shown, the edited file is kept."""
    path = "/opt/devplat/current/traefik/dynamic/middlewares.yml"
    module_host.ssh(f"echo '# by hand' | sudo tee -a {path}")
    done = operator.install()
    assert done.returncode == 18, done.stderr
    assert "changed on the target" in done.stderr
    assert "traefik/dynamic/middlewares.yml" in done.stderr
    repaired = operator.install("--repair")
    assert repaired.returncode == 0, repaired.stderr
    assert "by hand" not in module_host.ssh(f"sudo cat {path}")
    assert "by hand" in module_host.ssh(
        "sudo sh -c 'cat /opt/devplat/releases/*.edited/traefik/dynamic/middlewares.yml'"
    )


def test_verification_finds_a_stopped_service(operator, installed, module_host):
    module_host.ssh("docker stop trial-gitea-1")
    done = operator.run("verify")
    assert done.returncode == 16
    assert "gitea" in done.stderr
    again = operator.install()
    assert again.returncode == 0, again.stderr
    assert operator.run("verify").returncode == 0


def test_the_checklist_is_measured_stated_and_checked(operator, installed, tmp_path):
    """CK-04, AU-01 and AU-03 by what runs; the evidence pack of it is whole."""
    done = operator.run("checklist", "run", "CK-04", "CK-35", "AU-01", "AU-03")
    assert done.returncode == 0, done.stdout + done.stderr
    attest = ("checklist", "attest", "CK-18", "--by", "Ada", "--note", "rota in the wiki")
    assert operator.run(*attest).returncode == 0
    shown = operator.run("checklist", "show")
    assert shown.returncode == 16, shown.stderr
    assert "attested          CK-18" in shown.stdout
    assert operator.run("report", "--output", str(tmp_path)).returncode == 16
    checked = operator.run("report", "check", str(tmp_path))
    assert (checked.returncode, checked.stdout.count("intact")) == (0, 3)
    page = tmp_path / "evidence.html"
    page.write_bytes(page.read_bytes().replace(b"gitea", b"gitee", 1))
    assert operator.run("report", "check", str(tmp_path)).returncode == 19


def test_another_machine_without_the_store_cannot_make_new_secrets(
    operator, installed, module_host, testbed, tmp_path
):
    """Invariant 3: data with unknown secrets stops the run, with the choices named."""
    stranger = make_operator(tmp_path / "stranger", module_host, testbed.lock_file)
    done = stranger.install()
    assert done.returncode == 18, done.stderr
    assert "secrets are not in the store" in done.stderr


def test_a_wrong_passphrase_is_told_and_nothing_is_contacted(operator, installed):
    operator.environment["DEVPLAT_STORE_PASSPHRASE"] = "another passphrase altogether"
    try:
        done = operator.install()
    finally:
        del operator.environment["DEVPLAT_STORE_PASSPHRASE"]
    assert done.returncode == 12, done.stderr
    assert "passphrase" in done.stderr


def test_the_release_before_is_gone_back_to(operator, installed, module_host):
    """F-085."""
    # Compose makes those anew that depend on a service that it makes anew
    anew = {"/trial-gitea-1", "/trial-drone-server-1", "/trial-drone-runner-1"}
    assert way_back.go_back(operator, module_host) == anew


def test_a_support_bundle_of_a_whole_platform_has_no_secret(operator, installed, module_host):
    """SE-05."""
    secrets = {**read_secrets(module_host), "passphrase": Secret(PASSPHRASE)}
    secrets |= {name: Secret(value) for name, value in CANARIES.items()}
    files = way_back.ask_for_help(operator)
    found = {path: [str(hit) for hit in find_secrets(d, secrets)] for path, d in files.items()}
    assert found == {path: [] for path in files}
    left = json.loads(files["MANIFEST.json"])["left_out"]
    assert [item for item in left if "known secret" in item["why"]] == []
    assert b" LOG:  connection received" in files["containers/trial-postgres-1/log.txt"]
    assert {"host/engine-info.txt", "target/state/history.json"} <= set(files)


def test_uninstalled_and_installed_again_the_data_works_with_the_same_secrets(
    operator, installed, module_host
):
    """Invariants 3, 4."""
    data = way_back.listing(module_host)
    assert way_back.leave_and_return(operator, module_host) == data
