"""The images as they are pulled: programs at the real places, and refusals inside a container."""

from __future__ import annotations

import shlex

import pytest

from tests.testbed.catalogue import product_references, read_images, wanted_references
from tests.testbed.commands import attempt

pytestmark = pytest.mark.engine
IMAGES = read_images()
REFERENCES = {
    spec.repository.rpartition("/")[2]: reference
    for reference, spec in wanted_references(IMAGES).items()
    if reference in product_references()
}


@pytest.fixture
def run(module_host):
    """Status and output of a container of an image, by the last part of its repository."""

    def run(image, *command, options="", limit=60):
        words = shlex.join(command)
        script = f"timeout -k 1 {limit} docker run --rm {options} {REFERENCES[image]} {words} 2>&1"
        status, out, error = attempt(module_host.ssh_argv(script), timeout=90)
        return status, out + error

    return run


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("coder", "CODER_ACCESS_URL is not set"),
        ("server", "unknown command"),
        ("gitea", "DB_TYPE"),
        ("drone", "not configured"),
        ("drone-runner-docker", "DRONE_RPC_HOST missing"),
        ("minio", "unknown command"),
        ("litellm-non_root", "--config"),
        ("traefik", "no configuration file"),
        ("socket-proxy", "socket not available"),
        ("grafana", "default key is public"),
        ("loki", "failed parsing config"),
        ("alloy", "/etc/alloy/config.alloy"),
        ("postgres", "superuser password is not specified"),
    ],
)
def test_an_image_without_settings_says_what_is_missing(run, image, reason):
    status, output = run(image)
    assert status != 0
    assert reason in output


@pytest.mark.parametrize(
    ("image", "program"),
    [
        ("server", "curl"),
        ("server", "wget"),
        ("litellm-non_root", "curl"),
        ("drone", "curl"),
        ("traefik", "curl"),
        ("socket-proxy", "sh"),
        ("loki", "sh"),
        ("alloy", "curl"),
        ("alloy", "wget"),
    ],
)
def test_a_program_that_the_real_image_lacks_is_not_there(run, image, program):
    status, output = run(image, "--help", options=f"--entrypoint {program}")
    assert status == 127, output


@pytest.mark.parametrize(
    ("image", "program"),
    [
        ("coder", "curl"),
        ("coder", "wget"),
        ("gitea", "curl"),
        ("drone", "wget"),
        ("traefik", "wget"),
        ("minio", "curl"),
        ("minio", "mc"),
        ("server", "ak"),
        ("valkey", "valkey-cli"),
        ("valkey", "redis-cli"),
        ("postgres", "pg_dump"),
    ],
)
def test_a_program_that_the_real_image_has_is_there(run, image, program):
    status, output = run(image, "--help", options=f"--entrypoint {program}")
    assert status not in (126, 127), output


def test_coder_needs_a_home_that_it_can_run_programs_from(run):
    settings = {
        "CODER_ACCESS_URL": "https://coder.x",
        "CODER_HTTP_ADDRESS": "0.0.0.0:7080",
        "CODER_PG_CONNECTION_URL": "postgres://coder:x@127.0.0.1:1/coder?connect_timeout=1",
    }
    options = "--read-only " + " ".join(f"-e {name}='{value}'" for name, value in settings.items())
    home = "--tmpfs /home/coder:uid=1000,gid=1000,mode=0700"
    assert "Read-only file system" in run("coder", options=options)[1]
    assert "Permission denied" in run("coder", options=f"{options} {home}")[1]
    # stopped while it looks for its database: the home is good
    status, output = run("coder", options=f"{options} {home},exec", limit=5)
    assert status in (124, 137)
    assert "fork/exec" not in output


def test_postgres_takes_its_password_from_a_file_and_initialises_as_told(module_host):
    image = REFERENCES["postgres"]
    module_host.ssh(
        "printf s3cret > pw && chmod 444 pw && docker run -d --name pg --user 999:999"
        " -v $PWD/pw:/run/secrets/pw:ro -e POSTGRES_PASSWORD_FILE=/run/secrets/pw"
        " -e POSTGRES_INITDB_ARGS='--data-checksums --auth-local=peer --auth-host=scram-sha-256'"
        f" {image} postgres -c log_connections=on"
    )
    try:
        ready = "docker exec pg pg_isready -q -h 127.0.0.1"
        module_host.ssh(f"timeout 60 sh -c 'until {ready}; do sleep 0.2; done'")
        ask = "psql -At -U postgres -c 'SHOW data_checksums' -c 'SHOW log_connections'"
        assert module_host.ssh(f"docker exec pg {ask}").split() == ["on", "on"]
        url = "postgres://postgres:%s@127.0.0.1/postgres"
        right, wrong = url % "s3cret", url % "other"
        assert module_host.ssh(f"docker exec pg psql -Atc 'SELECT 1' {right}") == "1\n"
        status, _, error = attempt(
            module_host.ssh_argv(f"docker exec pg psql -c 'SELECT 1' {wrong}")
        )
        assert status != 0
        assert "password authentication failed" in error
    finally:
        module_host.ssh("docker rm -fv pg")
