"""The stand-ins for Drone's server and runner refuse what those refuse."""

from __future__ import annotations

import drone
import pytest
from drone_keys import RUNNER, SERVER
from standin import Answer, App, Refused

GOOD = {
    "DRONE_GITEA_SERVER": "https://git.company.com",
    "DRONE_GITEA_CLIENT_ID": "id",
    "DRONE_RPC_SECRET": "0123456789abcdef",
    "DRONE_DATABASE_DRIVER": "postgres",
    "DRONE_DATABASE_SECRET": "s" * 32,
    "DRONE_USER_CREATE": "username:root-admin,admin:true,token:abc",
}


def check(values):
    drone.check_environment(values, SERVER)
    drone.check_server(values)


def test_a_name_that_the_image_already_sets_beats_the_env_file(tmp_path):
    (tmp_path / "env").write_text(
        "# a comment\nDRONE_RPC_SECRET='from file'\nDRONE_X = new # why\n"
    )
    values = drone.read_environment({"DRONE_RPC_SECRET": "set"}, str(tmp_path / "env"))
    assert values == {"DRONE_RPC_SECRET": "set", "DRONE_X": "new"}
    (tmp_path / "env").write_text("no pair here\n")
    with pytest.raises(Refused, match="env:1"):
        drone.read_environment({}, str(tmp_path / "env"))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("DRONE_RPC_SECERT", "x", "not read"),
        ("DRONE_RUNNER_CAPACITY", "2", "not read"),
        ("DRONE_LOGS_TEXT", "no", "ParseBool"),
        ("DRONE_COOKIE_TIMEOUT", "8", "invalid duration"),
        ("DRONE_GITEA_SERVER", "", "not configured"),
        ("DRONE_GITEA_CLIENT_ID", "", "nobody could log in"),
        ("DRONE_RPC_SECRET", "short", "at least 16"),
        ("DRONE_DATABASE_DRIVER", "sqlite3", "postgres only"),
        ("DRONE_DATABASE_SECRET", "s" * 31, "invalid key size"),
    ],
)
def test_a_server_setting_that_is_wrong_is_refused(name, value, reason):
    check(GOOD)
    with pytest.raises(Refused, match=reason):
        check({**GOOD, name: value})


def test_a_runner_setting_that_is_wrong_is_refused():
    drone.check_environment({"DRONE_RUNNER_CAPACITY": "2", "DRONE_RPC_HOST": "drone:80"}, RUNNER)
    with pytest.raises(Refused, match="not read"):
        drone.check_environment({"DRONE_SERVER_NAME": "x"}, RUNNER)
    with pytest.raises(Refused, match="DRONE_RPC_HOST missing"):
        drone.run_runner({}, "")


def test_the_server_takes_a_runner_with_the_same_secret_only(database, serve):
    address = serve(drone.make_server(GOOD, database))
    values = {"DRONE_RPC_HOST": address, "DRONE_RPC_SECRET": GOOD["DRONE_RPC_SECRET"]}
    drone.ping_server(values)
    with pytest.raises(Refused, match="401"):
        drone.ping_server({**values, "DRONE_RPC_SECRET": "another-secret-16"})


def test_metrics_ask_for_the_token_of_the_first_user(database, ask):
    app = drone.make_server(GOOD, database)
    assert ask(app, "GET", "/metrics").status == 401
    assert ask(app, "GET", "/metrics", headers={"Authorization": "Bearer abc"}).status == 200
    assert ask(app, "GET", "/healthz").body == b"OK"


def test_the_runner_pings_the_engine_as_its_client_does(serve):
    engine = App("engine", "1")
    address = serve(engine)
    with pytest.raises(Refused, match="404"):
        drone.ping_engine(f"tcp://{address}")
    engine.add("GET", "/_ping", lambda _: Answer(200, b"OK"))
    drone.ping_engine(f"tcp://{address}")
    with pytest.raises(Refused, match="want unix"):
        drone.ping_engine("http://engine")
