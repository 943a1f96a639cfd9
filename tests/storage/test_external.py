"""An S3 service outside: what the answers say of it, what becomes of the stack, and what a look at
its buckets tells apart, against a real MinIO behind TLS and the stand-in.
"""

from __future__ import annotations

import dataclasses
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from installer.adapters.object_store import BucketLister
from installer.core.buckets import BucketPlace, bucket_places, find_fault
from installer.core.errors import AnswersError
from installer.core.plan import Plan
from installer.core.rendering import render
from installer.core.s3_signature import S3Key
from installer.core.secrets import Secret
from installer.stacks import load_templates
from tests.preflight.servers import Authority
from tests.stacks.builders import ROOT, load, make_plan_for, services_of
from tests.storage.world import KEYS, World

EXTERNAL: dict[str, Any] = {
    "mode": "external",
    "endpoint": "https://s3.company.com",
    "region": "eu-west-1",
    "buckets": {"gitea": "company-git", "drone": "company-builds"},
    "access_keys": {"gitea": "env:GIT_KEY", "drone": "env:CI_KEY"},
    "secret_keys": {"gitea": "env:GIT_SECRET", "drone": "env:CI_SECRET"},
}


def plan_with(**changes: Any) -> Plan:
    return make_plan_for(load(), "everything", {"storage": {**EXTERNAL, **changes}})


def codes_of(**changes: Any) -> set[tuple[str, str | None]]:
    with pytest.raises(AnswersError) as refused:
        plan_with(**changes)
    return {(p.code, p.where) for p in refused.value.problems}


def test_services_keep_their_objects_outside_and_nothing_is_installed_for_them() -> None:
    plan = plan_with(ca_file="/etc/ssl/company.pem")
    services = services_of(render(plan, load_templates(ROOT, load())))
    assert "minio" not in services
    gitea = services["gitea"]["environment"]
    told = {
        name.rpartition("__")[2]: value for name, value in gitea.items() if "__storage__" in name
    }
    assert told["MINIO_ENDPOINT"] == "s3.company.com"
    assert (told["MINIO_USE_SSL"], told["MINIO_BUCKET_LOOKUP_TYPE"]) == ("true", "path")
    assert (told["MINIO_BUCKET"], told["MINIO_LOCATION"]) == ("company-git", "eu-west-1")
    drone = services["drone-server"]["environment"]
    assert drone["DRONE_S3_ENDPOINT"] == "https://s3.company.com"
    assert (drone["DRONE_S3_BUCKET"], drone["AWS_REGION"]) == ("company-builds", "eu-west-1")
    for name, environment in (("gitea", gitea), ("drone-server", drone)):
        assert plan.manifest(name).secret_files["storage_roots.pem"] == "${storage-roots}"
        assert environment["SSL_CERT_DIR"] == "/run/secrets"
        assert f"{name}-egress" in services[name]["networks"]
    answers = {spec.name: spec.answer for spec in plan.secrets}
    assert answers["gitea-storage-secret"] == "storage.secret_keys.gitea"
    assert answers["storage-roots"] == "storage.ca_file"


def test_a_bucket_in_the_name_of_the_host_is_asked_for_in_every_service() -> None:
    plan = plan_with(path_style=False)
    services = services_of(render(plan, load_templates(ROOT, load())))
    assert services["gitea"]["environment"]["GITEA__storage__MINIO_BUCKET_LOOKUP_TYPE"] == "dns"
    assert services["drone-server"]["environment"]["DRONE_S3_PATH_STYLE"] == "false"
    place = next(p for p in bucket_places(plan) if p.consumer == "gitea")
    assert (place.host, place.path) == ("company-git.s3.company.com", "/")


def test_without_any_object_store_there_are_no_keys_of_one() -> None:
    plan = make_plan_for(load(), "everything", {"minio": {"enabled": False}})
    names = {spec.name for spec in plan.secrets}
    assert not [name for name in names if "-storage-" in name]
    environment = services_of(render(plan, load_templates(ROOT, load())))["gitea"]["environment"]
    assert not [name for name in environment if "__storage__" in name]


@pytest.mark.parametrize("field", ["buckets", "access_keys", "secret_keys"])
@pytest.mark.parametrize("consumer", ["gitea", "drone"])
def test_a_consumer_of_whom_nothing_is_said_is_refused(field: str, consumer: str) -> None:
    left = {name: value for name, value in EXTERNAL[field].items() if name != consumer}
    assert codes_of(**{field: left}) == {
        ("storage.consumer_missing", f"storage.{field}.{consumer}")
    }


def test_who_is_not_installed_needs_no_bucket() -> None:
    one = {f: {"gitea": EXTERNAL[f]["gitea"]} for f in ("buckets", "access_keys", "secret_keys")}
    more = {"storage": {**EXTERNAL, **one}, "drone": {"enabled": False}}
    assert [p.consumer for p in bucket_places(make_plan_for(load(), "everything", more))] == [
        "gitea"
    ]


@pytest.mark.parametrize(
    ("changes", "code", "where"),
    [
        ({"buckets": {"gitea": "one", "drone": "one"}}, "storage.bucket_shared",
         "storage.buckets.gitea"),
        ({"endpoint": "http://s3.company.com"}, "storage.endpoint_plain", "storage.endpoint"),
        ({"endpoint": "https://s3.company.com/git"}, "storage.endpoint_path", "storage.endpoint"),
        ({"endpoint": "s3"}, "storage.endpoint_form", "storage.endpoint"),
        ({"endpoint": ""}, "storage.endpoint_form", "storage.endpoint"),
        ({"region": "EU WEST"}, "storage.region_form", "storage.region"),
        ({"region": "-eu"}, "storage.region_form", "storage.region"),
        ({"buckets": {"gitea": "Company_Git", "drone": "one"}}, "bucket.form",
         "storage.buckets.gitea"),
    ],
)  # fmt: skip
def test_what_is_no_place_for_objects_is_refused(
    changes: dict[str, Any], code: str, where: str
) -> None:
    assert code in {found for found, place in codes_of(**changes) if place == where}


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("https://S3.Company.com/", "https://s3.company.com"),
        ("https://s3.company.com:9443", "https://s3.company.com:9443"),
        ("https://s3.company.com:443", "https://s3.company.com"),
    ],
)
def test_an_address_is_kept_in_one_form(written: str, kept: str) -> None:
    assert plan_with(endpoint=written).answers.storage.endpoint == kept


@contextmanager
def behind_tls(address: str, certificate: Path) -> Iterator[int]:
    """A relay that ends TLS in front of a server in clear text; gives its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))
    host, _, port = address.partition(":")

    def carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            try:
                near = context.wrap_socket(raw, server_side=True)
            except OSError:  # whoever does not trust the certificate ends here
                raw.close()
                continue
            far = socket.create_connection((host, int(port)))
            back = threading.Thread(target=carry, args=(far, near), daemon=True)
            back.start()
            carry(near, far)
            back.join(5)
            near.close()
            far.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def place_at(port: int, ca_file: Path | None, **changes: str) -> BucketPlace:
    place = BucketPlace(
        consumer="gitea",
        bucket="gitea",
        host=f"localhost:{port}",
        path="/gitea",
        region="eu-central-1",
        ca_file=str(ca_file) if ca_file else None,
        access_key="gitea-storage-key",
        secret_key="gitea-storage-secret",
    )
    return dataclasses.replace(place, **changes)


def look(place: BucketPlace, keys: tuple[str, str] = KEYS["gitea"]) -> tuple[str, str | None]:
    """Code and place of what the look finds."""
    key = S3Key(Secret(keys[0]), Secret(keys[1]))
    problem = find_fault(place, BucketLister(lambda: datetime.now(UTC)).look(place, key))
    if problem is None:
        return ("", None)
    assert not [secret for secret in keys if secret in problem.summary + problem.remedy.summary]
    return (problem.code, problem.where)


@pytest.fixture(scope="module")
def regional(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A store in a region of its own, behind nothing yet."""
    from tests.storage.conftest import make_world

    made = make_world(tmp_path_factory.mktemp("regional"), kind)
    try:
        made.start()
        made.stop()
        made.start(healthy=False, MINIO_SITE_REGION="eu-central-1")
        made.wait_until_it_answers()
        yield made
    finally:
        made.stop()


@pytest.mark.slow
def test_a_look_at_a_bucket_tells_apart_what_can_be_wrong(regional: World, tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path)
    root, wrong = tmp_path / "root.pem", tmp_path / "other.pem"
    root.write_bytes(authority.pem)
    wrong.write_bytes(other.pem)
    (access, secret), drone = KEYS["gitea"], KEYS["drone"]
    with behind_tls(regional.address, authority.issue("localhost")) as port:
        sound = place_at(port, root)
        assert look(sound) == ("", None)
        assert look(sound, ("nobody", secret)) == (
            "storage.access_key",
            "storage.access_keys.gitea",
        )
        assert look(sound, (access, "x")) == ("storage.secret_key", "storage.secret_keys.gitea")
        assert look(sound, drone) == ("storage.denied", "storage.buckets.gitea")
        missing = dataclasses.replace(sound, bucket="absent", path="/absent")
        root_keys = tuple(
            (regional.folder / "secrets" / name).read_text()
            for name in ("minio_root_user", "minio_root_password")
        )
        assert look(missing, root_keys) == ("storage.bucket_missing", "storage.buckets.gitea")
        assert look(place_at(port, root, region="us-west-2")) == (
            "storage.region",
            "storage.region",
        )
        assert look(place_at(port, wrong)) == ("storage.untrusted", "storage.ca_file")
        assert look(place_at(port, None)) == ("storage.untrusted", "storage.ca_file")
        named_otherwise = place_at(port, root, host=f"127.0.0.1:{port}")
        assert look(named_otherwise) == ("storage.untrusted", "storage.ca_file")
    assert look(place_at(port, root)) == ("storage.unreachable", "storage.endpoint")


def test_the_policy_that_a_company_needs_is_that_of_the_bundle() -> None:
    """What a consumer may do is written once; with a bucket of another name it is the same."""
    text = (ROOT / "stacks/compose/gitea/to/minio/consumers/gitea.json.j2").read_text()
    assert "policy('gitea')" in text
    rendered = render(make_plan_for(load()), load_templates(ROOT, load())).files
    policy = json.loads(rendered["minio/consumers/gitea.json"].data)
    resources = [r for s in policy["Statement"] for r in s["Resource"]]
    assert resources == ["arn:aws:s3:::gitea", "arn:aws:s3:::gitea/*"]
