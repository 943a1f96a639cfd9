"""CI by either engine: what is installed, what the programs are told, and how Gitea knows them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import drone
import pytest
import standin
import woodpecker
from drone_keys import RUNNER
from drone_keys import SERVER as DRONE_SERVER

from installer.core.catalog import read_catalog
from installer.core.errors import StackError

ENGINES = {"drone": "drone-server", "woodpecker": "woodpecker-server"}
SERVERS = {
    "HOST", "GITEA_CLIENT", "GITEA_SECRET", "AGENT_SECRET", "GRPC_SECRET", "DATABASE_DATASOURCE",
}  # fmt: skip


def environment_of(bundle: Any, name: str, folder: Path) -> dict[str, str]:
    """What a container is told; secret files are there, with something in them."""
    environment = dict(bundle.document["services"][name]["environment"])
    for key, value in environment.items():
        if value.startswith("/run/secrets/"):
            path = folder / Path(value).name
            path.write_text(f"{key.lower()}-0123456789abcdef")
            environment[key] = str(path)
    return environment


@pytest.mark.parametrize("engine", ENGINES)
def test_one_engine_is_there_and_has_the_public_name(make_bundle, engine):
    plan, _ = make_bundle(ci={"engine": engine})
    servers = [name for name in plan.services if name in ENGINES.values()]
    assert servers == [ENGINES[engine]]
    (route,) = [route for route in plan.routes if route.host_key == "ci"]
    assert route.service == ENGINES[engine]
    assert "/metrics" in route.deny


def test_without_ci_nothing_of_it_is_there(make_bundle):
    plan, bundle = make_bundle(drone={"enabled": False}, ci={"engine": "woodpecker"})
    assert not [n for n in plan.services if "woodpecker" in n or "drone" in n or "build" in n]
    assert not [path for path in bundle.files if path.startswith("postgres/ci/")]


def test_two_services_of_one_name_must_be_alternatives(make_bundle):
    plan, _ = make_bundle()
    one = plan.manifest("drone-server").model_dump(by_alias=True)
    other = {
        **one, "name": "other", "secrets": [], "secret_files": {}, "bootstrap": [], "gives": [],
        "requires": [], "connects": [],
    }  # fmt: skip
    mine = {**one, **{key: [] for key in ("requires", "connects", "bootstrap", "gives")}}
    read_catalog({"drone-server": mine, "other": {**other, "when": {**one["when"], "equals": "x"}}})
    for when in (None, one["when"], {"answer": "other.engine", "equals": "x"}):
        with pytest.raises(StackError, match="host ci declared twice"):
            read_catalog({"drone-server": mine, "other": {**other, "when": when}})


def test_woodpecker_takes_its_settings_and_lets_nobody_register(make_bundle, tmp_path):
    _, bundle = make_bundle(ci={"engine": "woodpecker"})
    told = environment_of(bundle, "woodpecker-server", tmp_path)
    settings = woodpecker.read_settings(told, woodpecker.SERVER)
    woodpecker.check_server(settings)
    assert settings["OPEN"] == "false"
    assert settings["PLUGINS_PRIVILEGED"] == ""
    assert settings["DISABLE_USER_AGENT_REGISTRATION"] == "true"
    assert settings["SESSION_EXPIRES"] == "8h"
    agent = woodpecker.read_settings(
        environment_of(bundle, "woodpecker-agent", tmp_path), woodpecker.AGENT
    )
    assert agent["BACKEND_DOCKER_HOST"] == "tcp://socket-proxy-build:2375"
    assert agent["BACKEND_DOCKER_LIMIT_MEM"] == agent["BACKEND_DOCKER_LIMIT_MEM_SWAP"]


def test_members_of_organisations_are_let_in_by_answer(make_bundle, tmp_path):
    for engine, name in ENGINES.items():
        _, bundle = make_bundle(ci={"engine": engine, "organisations": "dev,ops", "capacity": 7})
        told = environment_of(bundle, name, tmp_path)
        if engine == "woodpecker":
            settings = woodpecker.read_settings(told, woodpecker.SERVER)
            woodpecker.check_server(settings)
            assert (settings["OPEN"], settings["ORGS"]) == ("true", "dev,ops")
            agent = bundle.document["services"]["woodpecker-agent"]["environment"]
            assert agent["WOODPECKER_MAX_WORKFLOWS"] == "7"
        else:
            drone.check_environment(told, DRONE_SERVER)
            assert told["DRONE_USER_FILTER"] == "dev,ops"
            runner = bundle.document["services"]["drone-runner"]["environment"]
            drone.check_environment(runner, RUNNER)
            assert runner["DRONE_RUNNER_CAPACITY"] == "7"


def test_drone_sends_no_statistics(make_bundle):
    _, bundle = make_bundle()
    told = bundle.document["services"]["drone-server"]["environment"]
    assert (told["DRONE_DATADOG_ENABLED"], told["DRONE_DATADOG_ENDPOINT"]) == ("false", "")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("WOODPECKER_NO_SUCH", "1", "not read"),
        ("WOODPECKER_ESCALATE", "plugins/docker", "not read"),
        ("WOODPECKER_OPEN", "yes", "ParseBool"),
        ("WOODPECKER_OPEN", "true", "lets everybody in"),
        ("WOODPECKER_HOST", "https://ci.company.com/", "without a slash"),
        ("WOODPECKER_PLUGINS_PRIVILEGED", "plugins/docker", "owns the host"),
        ("WOODPECKER_SESSION_EXPIRES", "8", "duration"),
        ("WOODPECKER_GITEA", "false", "forge"),
        ("WOODPECKER_GRPC_SECRET_FILE", "/nowhere", "GRPC_SECRET"),
    ],
)
def test_the_stand_in_refuses_what_woodpecker_would(make_bundle, tmp_path, name, value, reason):
    _, bundle = make_bundle(ci={"engine": "woodpecker"})
    told = {**environment_of(bundle, "woodpecker-server", tmp_path), name: value}
    with pytest.raises(standin.Refused, match=reason):
        woodpecker.check_server(woodpecker.read_settings(told, woodpecker.SERVER))


def test_an_agent_joins_with_the_secret_of_the_server_only():
    settings = {"AGENT_SECRET": "right", "GITEA_URL": "https://git", "GITEA_CLIENT": "id"}
    queue = standin.serve(woodpecker.make_queue(settings), "127.0.0.1:0")
    try:
        where = f"127.0.0.1:{queue.server_address[1]}"
        woodpecker.join_server({"SERVER": where, "AGENT_SECRET": "right"})
        with pytest.raises(standin.Refused, match="401"):
            woodpecker.join_server({"SERVER": where, "AGENT_SECRET": "wrong"})
    finally:
        queue.shutdown()
        queue.server_close()


def test_only_the_running_engine_reaches_the_filter(make_bundle):
    for engine, client in (("drone", "drone-runner"), ("woodpecker", "woodpecker-agent")):
        _, bundle = make_bundle(ci={"engine": engine})
        command = bundle.document["services"]["socket-proxy-build"]["command"]
        assert f"-allowfrom={client}" in command


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    """PostgreSQL itself, with Gitea's table."""
    if shutil.which("initdb") is None and not Path("/usr/lib/postgresql").exists():
        pytest.skip("no PostgreSQL on this machine")
    programs = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"))), None)
    where = f"{programs}:{os.environ['PATH']}" if programs else os.environ["PATH"]
    base = Path(tempfile.mkdtemp(prefix="devplat-pg-"))  # short, and open to its account
    environment = {"PATH": where, "PGHOST": str(base), "PGUSER": "postgres", "LC_ALL": "C"}
    as_postgres: dict[str, Any] = {"env": environment, "check": True, "capture_output": True}
    if os.geteuid() == 0:
        shutil.chown(base, "postgres")
        as_postgres |= {"user": "postgres", "group": "postgres", "cwd": base}
    data = base / "data"
    subprocess.run(["initdb", "-D", data, "-A", "trust", "-U", "postgres"], **as_postgres)
    options = f"-c listen_addresses= -k {base}"
    subprocess.run(["pg_ctl", "-D", data, "-w", "-o", options, "-l", base / "log", "start"],
                   **{**as_postgres, "capture_output": False})  # fmt: skip
    try:
        table = (
            "CREATE TABLE oauth2_application (id bigserial PRIMARY KEY, uid bigint,"
            " name varchar(255), client_id varchar(255) UNIQUE, client_secret varchar(255),"
            " confidential_client boolean NOT NULL DEFAULT true,"
            " skip_secondary_authorization boolean NOT NULL DEFAULT false, redirect_uris text,"
            " created_unix bigint, updated_unix bigint)"
        )
        # as the installer makes them: an owner, and a login that acts as the owner
        sql = (
            "CREATE ROLE gitea; CREATE ROLE gitea_0 LOGIN IN ROLE gitea;"
            "ALTER ROLE gitea_0 SET role TO gitea"
        )
        for argv in (
            ["psql", "-q", "-d", "postgres", "-c", sql],
            ["createdb", "-O", "gitea", "gitea"],
            ["psql", "-q", "-U", "gitea_0", "-d", "gitea", "-c", table],
        ):
            subprocess.run(argv, env=environment, check=True)
        yield environment
    finally:
        subprocess.run(["pg_ctl", "-D", data, "-m", "immediate", "stop"], **as_postgres)
        shutil.rmtree(base)


def register(environment: dict[str, str], script: Path, secret: str, *words: str) -> int:
    done = subprocess.run(
        ["sh", script, *words], input=f"gitea_0\nno password\n0123abcd\n{secret}\n", text=True,
        env={**environment, "DATABASE_HOST": environment["PGHOST"]},
        check=False, capture_output=True,
    )  # fmt: skip
    return done.returncode


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "callback"), [("drone", "login"), ("woodpecker", "authorize")])
def test_ci_is_registered_in_gitea_once(make_bundle, tmp_path, cluster, engine, callback):
    _, bundle = make_bundle(ci={"engine": engine})
    script = tmp_path / "register.sh"
    script.write_bytes(bundle.files["postgres/ci/register.sh"].data)
    query = ["psql", "-XAtq", "-d", "gitea", "-c"]
    subprocess.run([*query, "TRUNCATE oauth2_application"], env=cluster, check=True)

    def rows(columns: str) -> str:
        text = f"SELECT {columns} FROM oauth2_application"
        return subprocess.run(
            [*query, text], env=cluster, check=True, capture_output=True, text=True
        ).stdout.strip()

    assert register(cluster, script, "first", "check") != 0
    assert register(cluster, script, "first") == 0
    assert register(cluster, script, "first", "check") == 0
    assert rows("redirect_uris") == f'["https://ci.company.com/{callback}"]'
    assert rows("uid, client_id, confidential_client") == "0|0123abcd|t"
    assert rows("client_secret").startswith("$2a$10$")  # bcrypt, as Gitea compares
    # another secret is another registration, in the place of the first
    assert register(cluster, script, "second", "check") != 0
    assert register(cluster, script, "second") == 0
    assert register(cluster, script, "second", "check") == 0
    assert rows("count(*)") == "1"
