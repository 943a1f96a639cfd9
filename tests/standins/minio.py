"""A stand-in for MinIO: `minio server DIR`, buckets and objects by path-style S3 with signature
version 4 checked, health and a console page.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

import s3
from standin import (
    Answer,
    App,
    Refused,
    Request,
    exposition,
    read_secret,
    require_writable,
    run_program,
    say,
    serve,
    wait_for_signal,
)

VERSION = "RELEASE.2025-09-07T16-13-09Z-stand-in"
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
SYSTEM = ".minio.sys"


def read_credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """The root user and password, from files below /run/secrets where so given.

    Raises:
        Refused: where MinIO refuses them.
    """
    found = {}
    for name in ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"):
        path = environment.get(f"{name}_FILE", "")
        if path:
            path = path if path.startswith("/") else f"/run/secrets/{path}"
            found[name] = read_secret(path, f"{name}_FILE").strip()
        else:
            found[name] = environment.get(name, "")
        if not found[name]:
            raise Refused(f"{name} is not set: MinIO would run with minioadmin")
    user, password = found["MINIO_ROOT_USER"], found["MINIO_ROOT_PASSWORD"]
    if len(user) < 3 or len(password) < 8:
        raise Refused("ERROR Invalid credentials: access key length should be at least 3, and"
                      " secret key length at least 8 characters")  # fmt: skip
    return {user: password}


class Store:
    """Buckets are directories, objects are files below them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, bucket: str, key: str) -> Path | None:
        """Where an object lies; None for a name that leaves its bucket."""
        root = (self.folder / bucket).resolve()
        path = (root / key).resolve()
        return path if path.is_relative_to(root) and path != root else None

    def buckets(self) -> list[str]:
        """The names of the buckets."""
        names = (path.name for path in self.folder.iterdir() if path.is_dir())
        return sorted(name for name in names if not name.startswith("."))

    def objects(self, bucket: str) -> list[str]:
        """The keys of a bucket."""
        root = self.folder / bucket
        return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def make_app(store: Store, keys: Mapping[str, str], auth: str = "jwt") -> App:
    """The S3 API, the health endpoints and, for everybody when `auth` is `public`, metrics."""
    app = App("minio", VERSION)

    def api(request: Request) -> Answer:
        query = urlencode(sorted(request.query.items()))
        code = s3.refusal(request.method, request.path, query, request.headers, request.body, keys)
        if code:
            return _error(403, code)
        bucket, _, key = request.path.lstrip("/").partition("/")
        if not bucket:
            return _listing("ListAllMyBucketsResult", "Bucket", "Name", store.buckets())
        if not BUCKET.fullmatch(bucket):
            return _error(400, "InvalidBucketName")
        if not key:
            return _bucket(store, request.method, bucket)
        return _object(store, request, bucket, key)

    app.add("*", "/.*", api)
    app.add("GET", "/minio/health/(live|ready|cluster)", lambda _: Answer(200))
    text = b"minio_cluster_drive_offline_total 0\nminio_cluster_drive_online_total 1\n"
    shown = exposition(text) if auth == "public" else Answer(403)
    app.add("GET", "/minio/v2/metrics/cluster", lambda _: shown)
    app.add("GET", "/version", lambda _: Answer(body=app.about()))
    return app


def _bucket(store: Store, method: str, bucket: str) -> Answer:
    folder = store.folder / bucket
    if method == "PUT":
        if folder.exists():
            return _error(409, "BucketAlreadyOwnedByYou")
        folder.mkdir()
        return Answer(200, b"", {"Location": f"/{bucket}"})
    if not folder.is_dir():
        return _error(404, "NoSuchBucket")
    if method == "DELETE":
        if store.objects(bucket):
            return _error(409, "BucketNotEmpty")
        shutil.rmtree(folder)
        return Answer(204)
    return _listing("ListBucketResult", "Contents", "Key", store.objects(bucket))


def _object(store: Store, request: Request, bucket: str, key: str) -> Answer:
    path = store.path(bucket, key)
    if not (store.folder / bucket).is_dir():
        return _error(404, "NoSuchBucket")
    if path is None:
        return _error(400, "XMinioInvalidObjectName")
    if request.method == "PUT":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(request.body)
        return Answer(200, b"", {"ETag": '"stand-in"'})
    if not path.is_file():
        return _error(404, "NoSuchKey")
    if request.method == "DELETE":
        path.unlink()
        return Answer(204)
    return Answer(200, path.read_bytes(), {"ETag": '"stand-in"'})


def _error(status: int, code: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>stand-in</Message></Error>".encode()
    return Answer(status, body, {"Content-Type": "application/xml"})


def _listing(root: str, item: str, name: str, values: list[str]) -> Answer:
    rows = "".join(f"<{item}><{name}>{value}</{name}></{item}>" for value in values)
    return Answer(200, f"<{root}>{rows}</{root}>".encode(), {"Content-Type": "application/xml"})


def run_server(words: list[str], environment: Mapping[str, str]) -> int:
    """`minio server [--address A] [--console-address A] DIR`."""
    address, console, folders = ":9000", "", []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name in ("--address", "--console-address"):
            value = value if equals else (rest.pop(0) if rest else "")
            address, console = (value, console) if name == "--address" else (address, value)
        elif word.startswith("-"):
            raise Refused(f"flag provided but not defined: {word}")
        else:
            folders.append(word)
    if len(folders) != 1:
        raise Refused("the stand-in wants one directory")
    keys = read_credentials(environment)
    require_writable(folders[0], "unable to write to the backend")
    Path(folders[0], SYSTEM).mkdir(exist_ok=True)
    auth = environment.get("MINIO_PROMETHEUS_AUTH_TYPE", "") or "jwt"
    if auth not in ("jwt", "public"):
        raise Refused(f"MINIO_PROMETHEUS_AUTH_TYPE: {auth!r} is neither jwt nor public")
    serve(make_app(Store(Path(folders[0])), keys, auth), address)
    if console and environment.get("MINIO_BROWSER", "on") != "off":
        page = App("minio-console", VERSION)
        page.add("GET", "/(login)?", lambda _: Answer(body=b"<title>MinIO (stand-in)</title>"))
        serve(page, console)
    say(f"MinIO Object Storage Server (stand-in), API: http://{address}")
    return wait_for_signal()


def main(argv: list[str]) -> int:
    """`minio`, also as the image's entry point."""

    def body() -> int:
        words = argv[1:]
        if words[:1] == ["minio"]:
            words = words[1:]
        if words[:1] == ["server"]:
            return run_server(words[1:], os.environ)
        if words == ["--version"]:
            say(f"minio version {VERSION} (a stand-in)")
            return 0
        raise Refused(f"unknown command: {' '.join(words)}")

    return run_program("minio", body)
