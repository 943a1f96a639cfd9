"""A bucket, an account and a policy for each consumer: the rendered programs against a real MinIO
and the stand-in. SA-19, SA-25: who has a flow to the store has no more of it than its bucket.
"""

from __future__ import annotations

import json

import pytest
from drone import require_log_bucket
from gitea import read_environment as read_gitea
from gitea_storage import check_storage
from standin import Refused

from tests.stacks.builders import load, services_of
from tests.storage.world import KEYS, ROOT, World

OBJECT = "/lfs/ab/cd"


def accounts(world: World) -> list[str]:
    return sorted(world.mc("--json", "admin", "user", "list", "local").stdout.splitlines())


def separation(world: World) -> tuple[int, str]:
    done = world.run("separation.sh")
    return done.returncode, (done.stdout + done.stderr).strip()


def test_each_consumer_uses_its_own_bucket_and_no_other(sound: World) -> None:
    for name, keys in KEYS.items():
        (other,) = KEYS.keys() - {name}
        assert sound.ask(keys, "PUT", f"/{name}{OBJECT}", b"object")[0] == 200
        assert sound.ask(keys, "GET", f"/{name}{OBJECT}") == (200, b"object")
        for path in (f"/{other}", f"/{other}{OBJECT}", f"/{other}?location="):
            assert sound.ask(keys, "GET", path)[0] == 403
        assert sound.ask(keys, "PUT", f"/{other}{OBJECT}", b"object")[0] == 403
        assert sound.ask(keys, "DELETE", f"/{other}{OBJECT}")[0] == 403
        assert sound.ask(keys, "PUT", f"/{name}-more")[0] == 403, "no bucket of its own making"
        assert sound.ask(keys, "DELETE", f"/{name}")[0] == 403
        assert other.encode() not in sound.ask(keys, "GET", "/")[1]
    assert separation(sound) == (0, "buckets-apart")


@pytest.mark.slow
def test_a_second_start_changes_nothing_and_keeps_the_objects(world: World) -> None:
    keys = KEYS["gitea"]
    assert world.ask(keys, "PUT", f"/gitea{OBJECT}", b"object")[0] == 200
    before = accounts(world)
    world.restart()
    assert accounts(world) == before
    assert world.ask(keys, "GET", f"/gitea{OBJECT}") == (200, b"object")


@pytest.mark.slow
def test_a_new_secret_ends_the_old_one(world: World) -> None:
    access, old = KEYS["gitea"]
    new = old[::-1]
    assert world.run("proof.sh", "gitea", stdin=f"{old}\n").stdout == "status 200\n"
    assert world.run("proof.sh", "gitea", stdin=f"{new}\n").stdout == "status 403\n"
    world.secret("consumer_gitea", f"{access}\n{new}\n")
    world.restart()
    assert world.run("proof.sh", "gitea", stdin=f"{new}\n").stdout == "status 200\n"
    assert world.run("proof.sh", "gitea", stdin=f"{old}\n").stdout == "status 403\n"


@pytest.mark.slow
def test_who_is_a_consumer_no_more_has_no_account(world: World) -> None:
    assert (
        world.mc("admin", "user", "add", "local", "somebody", "of-the-administrators").returncode
        == 0
    )
    # what a rendering without it leaves out
    (world.folder / "secrets/consumer_drone").unlink()
    (world.folder / "minio/consumers/drone.json").unlink()
    start = world.folder / "minio/wait-for-secrets.sh"
    start.write_text(start.read_text().replace(" consumer_drone ", " "))
    world.restart()
    assert world.ask(KEYS["drone"], "GET", "/drone")[0] == 403
    assert world.ask(KEYS["gitea"], "GET", "/gitea")[0] == 200
    listed = "".join(accounts(world))
    assert "somebody" in listed, "accounts that others made are theirs"
    assert KEYS["drone"][0] not in listed


@pytest.mark.slow
def test_a_policy_that_opens_too_much_is_found_and_mended(world: World) -> None:
    wide = (world.folder / "minio/consumers/drone.json").read_text().replace(":::drone", ":::*")
    (world.folder / "wide.json").write_text(wide)
    made = world.mc(
        "admin", "policy", "create", "local", "consumer-drone", f"{world.folder}/wide.json"
    )
    assert made.returncode == 0, made.stderr
    status, said = separation(world)
    assert (status, said) == (1, "drone asks for gitea/: 200, want 403")
    world.restart()
    assert separation(world) == (0, "buckets-apart")


@pytest.mark.slow
def test_a_consumer_without_its_bucket_is_found(world: World) -> None:
    assert world.ask(ROOT, "DELETE", "/gitea")[0] == 204
    status, said = separation(world)
    assert status == 1
    assert said.startswith("gitea and its own bucket: 404 written")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Version": "2011-10-17"}, "invalid version '2011-10-17'"),
        ({"Statement": []}, "Invalid arguments specified"),
        ({"Effect": "Alow"}, "invalid Effect Alow"),
        ({"Action": ["s3:GetObjekt"]}, "unsupported action 's3:GetObjekt'"),
        ({"Action": []}, "empty actions not allowed"),
        ({"Resource": []}, "Resource must not be empty"),
        ({"Resource": ["gitea/*"]}, "invalid resource 'gitea/*'"),
    ],
)
def test_a_policy_with_a_mistake_keeps_the_store_unhealthy_and_says_why(
    sound: World, change: dict, reason: str
) -> None:
    path = sound.folder / "minio/consumers/broken.json"
    policy = json.loads((path.parent / "gitea.json").read_text())
    place = policy if change.keys() <= policy.keys() else policy["Statement"][0]
    place.update(change)
    path.write_text(json.dumps(policy))
    done = sound.run("consumers.sh")
    path.unlink()
    assert done.returncode == 1
    assert reason in done.stderr


def test_the_smoke_tests_of_the_manifest_pass_on_a_sound_store(sound: World) -> None:
    checks = {check.id: check for check in load().services["minio"].checks}
    stdin = f"{ROOT[0]}:{ROOT[1]}\n"
    for name in ("minio-object", "minio-consumers", "minio-anonymous"):
        done = sound.check(list(checks[name].argv), stdin)
        assert checks[name].expect in done.stdout, (name, done.stdout, done.stderr)


def test_services_start_with_the_settings_that_are_rendered_for_them(sound: World) -> None:
    services = services_of(sound.bundle)
    (access, secret), drone = KEYS["gitea"], KEYS["drone"]
    sound.secret("storage_key", access)
    sound.secret("storage_secret", secret)
    told = services["gitea"]["environment"]
    settings = {
        name: sound.placed(str(value)).replace("minio:9000", sound.address)
        for name, value in told.items()
        if name.startswith("GITEA__storage__")
    }
    assert len(settings) >= 8
    check_storage(read_gitea(settings))
    for name, value, reason in (
        ("GITEA__storage__MINIO_BUCKET", "drone", "403"),
        ("GITEA__storage__MINIO_BUCKET_LOOKUP_TYPE", "virtual", "lookup type"),
        ("GITEA__storage__STORAGE_TYPE", "s3", "unsupported storage type"),
        ("GITEA__storage__MINIO_SECRET", "x", "is no setting"),
    ):
        with pytest.raises(Refused, match=reason):
            check_storage(read_gitea({**settings, name: value}))

    values = {
        name: str(value).replace("minio:9000", sound.address)
        for name, value in services["drone-server"]["environment"].items()
    }
    values |= {"AWS_ACCESS_KEY_ID": drone[0], "AWS_SECRET_ACCESS_KEY": drone[1]}
    assert values["DRONE_S3_BUCKET"] == "drone"
    require_log_bucket(values)
    with pytest.raises(Refused, match="403"):
        require_log_bucket({**values, "DRONE_S3_BUCKET": "gitea"})
    with pytest.raises(Refused, match="AWS_REGION"):
        require_log_bucket({**values, "AWS_REGION": ""})


def test_no_key_is_in_the_settings_or_in_the_arguments_of_a_program(sound: World) -> None:
    assert sound.process is not None
    (sound.folder / "bin/mc").rename(sound.folder / "bin/mc-itself")
    spy = sound.folder / "bin/mc"
    spy.write_text(
        f'#!/bin/sh\necho "$@" >>{sound.folder}/seen\nexec {sound.folder}/bin/mc-itself "$@"\n'
    )
    spy.chmod(0o755)
    assert sound.run("consumers.sh").returncode == 0
    seen = (sound.folder / "seen").read_text() + json.dumps(sound.environment)
    assert "user add local" in seen
    spy.unlink()
    (sound.folder / "bin/mc-itself").rename(spy)
    assert not [secret for _, secret in (*KEYS.values(), ROOT) if secret in seen]
