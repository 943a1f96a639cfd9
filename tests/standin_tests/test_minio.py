"""The stand-in for MinIO checks credentials and signatures, and keeps objects apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import minio
import minio_client
import pytest
import s3
from standin import Refused

KEYS = {"access-key": "s3cret-s3cret"}
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def signed(method, url, body=b"", secret=KEYS["access-key"], now=None):
    return s3.sign(method, url, body, "access-key", secret, now=now)


def test_the_signature_is_that_of_the_public_example():
    # AWS, "Authenticating Requests: Using the Authorization Header", example GET Object
    headers = {
        "host": "examplebucket.s3.amazonaws.com",
        "range": "bytes=0-9",
        "x-amz-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "x-amz-date": "20130524T000000Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
        "aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    }
    keys = {"AKIAIOSFODNN7EXAMPLE": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
    now = datetime(2013, 5, 24, 0, 1, tzinfo=UTC)
    assert s3.refusal("GET", "/test.txt", "", headers, b"", keys, now) == ""
    assert s3.refusal("GET", "/test.tx", "", headers, b"", keys, now) == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, ""),
        ({"authorization": ""}, "AccessDenied"),
        ({"x-amz-date": "20261124T121600Z"}, "RequestTimeTooSkewed"),
        ({"x-amz-content-sha256": "0" * 64}, "XAmzContentSHA256Mismatch"),
        ({"host": "elsewhere"}, "SignatureDoesNotMatch"),
    ],
)
def test_a_request_that_was_changed_is_refused(change, code):
    headers = {**signed("PUT", "http://minio:9000/b/k", b"data", now=NOW), **change}
    assert s3.refusal("PUT", "/b/k", "", headers, b"data", KEYS, NOW) == code


def test_foreign_keys_wrong_secrets_and_old_requests_are_refused():
    def code(headers, keys=KEYS, now=NOW):
        return s3.refusal("GET", "/b/k", "", headers, b"", keys, now)

    good = signed("GET", "http://minio/b/k", now=NOW)
    assert code(good) == ""
    assert code(good, keys={}) == "InvalidAccessKeyId"
    assert code(good, now=NOW + timedelta(hours=1)) == "RequestTimeTooSkewed"
    wrong = signed("GET", "http://minio/b/k", secret="other", now=NOW)
    assert code(wrong) == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "MINIO_ROOT_USER is not set"),
        ({"MINIO_ROOT_USER": "me", "MINIO_ROOT_PASSWORD": "long-enough"}, "at least 3"),
        ({"MINIO_ROOT_USER": "root", "MINIO_ROOT_PASSWORD": "short"}, "at least 8"),
        ({"MINIO_ROOT_USER_FILE": "/nowhere"}, "No such file"),
        ({"MINIO_ROOT_USER_FILE": "access_key"}, "/run/secrets/access_key"),
    ],
)
def test_credentials_that_minio_refuses_are_refused(environment, reason):
    with pytest.raises(Refused, match=reason):
        minio.read_credentials(environment)


def test_credentials_come_from_files(tmp_path):
    (tmp_path / "user").write_text("root-user\n")
    (tmp_path / "password").write_text("long-enough\n")
    files = {
        "MINIO_ROOT_USER_FILE": str(tmp_path / "user"),
        "MINIO_ROOT_PASSWORD_FILE": str(tmp_path / "password"),
    }
    assert minio.read_credentials(files) == {"root-user": "long-enough"}


@pytest.fixture
def store(tmp_path, serve):
    return serve(minio.make_app(minio.Store(tmp_path), KEYS))


def mc(address, *words, monkeypatch, tmp_path, secret=KEYS["access-key"]):
    monkeypatch.setenv("MC_HOST_here", f"http://access-key:{secret}@{address}")
    monkeypatch.setenv("MC_CONFIG_DIR", str(tmp_path / "mc"))
    return minio_client.main(["mc", *words])


def test_a_bucket_and_an_object_live_and_die(store, monkeypatch, tmp_path, capfdbinary, fetch):
    def go(*words):
        return mc(store, *words, monkeypatch=monkeypatch, tmp_path=tmp_path)

    assert go("ready", "here") == 0
    assert go("mb", "here/smoke") == 0
    assert go("mb", "here/smoke") == 1
    url = f"http://{store}/smoke/a/word"
    assert minio_client._call("PUT", url, b"object-seen", "access-key", KEYS["access-key"]) == b""
    assert go("cat", "here/smoke/a/word") == 0
    assert capfdbinary.readouterr().out.endswith(b"object-seen")
    assert go("ls", "here/smoke") == 0
    assert b"a/word" in capfdbinary.readouterr().out
    assert go("rm", "here/smoke/a/word") == 0
    assert go("cat", "here/smoke/a/word") == 1
    assert fetch(store, "/smoke/a/word")[0] == 403
    assert fetch(store, "/minio/health/live")[0] == 200


def test_a_wrong_secret_and_a_name_outside_the_bucket_get_nothing(store, monkeypatch, tmp_path):
    assert mc(store, "mb", "here/smoke", monkeypatch=monkeypatch, tmp_path=tmp_path) == 0
    assert (
        mc(store, "ls", "here/smoke", monkeypatch=monkeypatch, tmp_path=tmp_path, secret="no") == 1
    )
    assert minio.Store(tmp_path).path("smoke", "../mc/x") is None
    assert minio.Store(tmp_path).path("smoke", "x") is not None


@pytest.mark.parametrize(("auth", "status"), [("jwt", 403), ("public", 200)])
def test_metrics_are_for_everybody_only_when_they_are_public(tmp_path, ask, auth, status):
    answer = ask(
        minio.make_app(minio.Store(tmp_path), KEYS, auth), "GET", "/minio/v2/metrics/cluster"
    )
    assert answer.status == status
    assert (answer.headers.get("Content-Type", "").startswith("text/plain")) is (status == 200)


def test_a_way_of_protecting_metrics_that_does_not_exist_is_refused(tmp_path):
    (tmp_path / "user").write_text("access-key")
    (tmp_path / "password").write_text("s3cret-s3cret")
    environment = {
        "MINIO_ROOT_USER_FILE": str(tmp_path / "user"),
        "MINIO_ROOT_PASSWORD_FILE": str(tmp_path / "password"),
        "MINIO_PROMETHEUS_AUTH_TYPE": "none",
    }
    with pytest.raises(Refused, match="neither jwt nor public"):
        minio.run_server([str(tmp_path)], environment)
