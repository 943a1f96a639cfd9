"""A stand-in for MinIO: `minio server DIR`, buckets and objects by path-style S3 with signature
version 4 checked, accounts with policies, keys for tokens of an identity provider, health. It
refuses settings that MinIO does not have, some of which the real one passes over.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import s3
from minio_iam import Accounts, PolicyError, check_policy
from minio_sts import SETTINGS, WebIdentity
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
ADMIN = "/minio/admin/stand-in/"
KNOWN = SETTINGS | {
    "MINIO_" + name
    for name in """
    ROOT_USER ROOT_PASSWORD ROOT_USER_FILE ROOT_PASSWORD_FILE ACCESS_KEY_FILE SECRET_KEY_FILE
    CONFIG_ENV_FILE KMS_SECRET_KEY_FILE UPDATE UPDATE_MINISIGN_PUBKEY BROWSER BROWSER_REDIRECT_URL
    PROMETHEUS_AUTH_TYPE SERVER_URL REGION_NAME REGION SITE_REGION SITE_NAME DOMAIN VOLUMES OPTS
    """.split()
}


def check_settings(environment: Mapping[str, str]) -> None:
    """Refuse names that MinIO does not read, and values that it does not take.

    Raises:
        Refused: for the first of them.
    """
    for name in sorted(environment):
        if name.startswith("MINIO_") and name not in KNOWN:
            raise Refused(f"The following environment variables are unknown: {name}")
    if environment.get("MINIO_BROWSER", "on") not in ("on", "off"):
        raise Refused("FATAL Invalid MINIO_BROWSER value in environment variable")


def read_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment, with what MINIO_CONFIG_ENV_FILE adds.

    Raises:
        Refused: for a name that is none, or a file that is named by its path and not there.
    """
    path = environment.get("MINIO_CONFIG_ENV_FILE", "")
    lines: list[str] = []
    if path.startswith("/") or Path("/run/secrets", path or "-").is_file():
        file = path if path.startswith("/") else f"/run/secrets/{path}"
        lines = read_secret(file, "MINIO_CONFIG_ENV_FILE").splitlines()
    added = (line.removeprefix("export ").partition("=") for line in lines if line.strip())
    settings = {**environment, **{name: value for name, _, value in added}}
    check_settings(settings)
    return settings


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


@dataclass(frozen=True)
class Service:
    """What answers requests: `keys` are root's, `region` is the one that signatures must name."""

    store: Store
    keys: Mapping[str, str]
    accounts: Accounts
    identity: WebIdentity
    region: str

    def authenticate(self, request: Request, region: str = "") -> str | Answer:
        """Who asks; or why that is not known. The region counts where objects are asked for."""
        if not self.identity.ready and (
            s3.access_key(request.headers) not in self.keys or request.path.startswith(ADMIN)
        ):
            return _error(503, "XMinioServerNotInitialized")
        query = urlencode(sorted(request.query.items()))
        known = self.accounts.keys()
        code = s3.refusal(
            request.method, request.path, query, request.headers, request.body, known, region=region
        )
        if code:
            return _error(400 if code == "AuthorizationHeaderMalformed" else 403, code)
        access = s3.access_key(request.headers)
        token = request.headers.get("x-amz-security-token", "")
        return access if self.accounts.is_token(access, token) else _error(403, "InvalidTokenId")

    def answer(self, request: Request) -> Answer:
        """The S3 API."""
        who = self.authenticate(request, self.region)
        if isinstance(who, Answer):
            return who
        bucket, _, key = request.path.lstrip("/").partition("/")
        if not bucket:
            names = self.store.buckets()
            seen = [b for b in names if self.accounts.may(who, "s3:ListBucket", b)]
            if not seen and who not in self.keys:
                return _error(403, "AccessDenied")
            return _listing("ListAllMyBucketsResult", "Bucket", "Name", seen)
        if not BUCKET.fullmatch(bucket):
            return _error(400, "InvalidBucketName")
        resource = f"{bucket}/{key}" if key else bucket
        if not self.accounts.may(who, action_of(request, key), resource):
            return _error(403, "AccessDenied")
        if not key:
            return _bucket(self.store, request.method, bucket)
        return _object(self.store, request, bucket, key)

    def administer(self, request: Request) -> Answer:
        """The API of policies and accounts, for root alone."""
        who = self.authenticate(request)
        if isinstance(who, Answer):
            return who
        if who not in self.keys:
            return _error(403, "AccessDenied")
        return administration(self.accounts, request)


def make_app(
    store: Store,
    keys: Mapping[str, str],
    auth: str = "jwt",
    settings: Mapping[str, str] | None = None,
) -> App:
    """The S3 API, the health endpoints and, for everybody when `auth` is `public`, metrics."""
    app = App("minio", VERSION)
    accounts = Accounts(store.folder / SYSTEM, keys)
    identity = WebIdentity(settings or {}, accounts)
    identity.start()
    region = (settings or {}).get("MINIO_SITE_REGION", "")
    service = Service(store, keys, accounts, identity, region)
    app.add("*", "/.*", service.answer)
    app.add("POST", "/", identity.assume)
    app.add("POST", f"{ADMIN}.*", service.administer)
    app.add("GET", "/minio/health/(live|ready|cluster)", lambda _: Answer(200))
    text = b"minio_cluster_drive_offline_total 0\nminio_cluster_drive_online_total 1\n"
    shown = exposition(text) if auth == "public" else Answer(403)
    app.add("GET", "/minio/v2/metrics/cluster", lambda _: shown)
    app.add("GET", "/version", lambda _: Answer(body=app.about()))
    return app


def action_of(request: Request, key: str) -> str:
    """The action of a request, by MinIO's names."""
    method = "GET" if request.method == "HEAD" else request.method
    if key:
        return {"GET": "s3:GetObject", "PUT": "s3:PutObject"}.get(method, "s3:DeleteObject")
    for name, action in (("location", "GetBucketLocation"), ("versioning", "GetBucketVersioning")):
        if name in request.query:
            return f"s3:{action}"
    return {"GET": "s3:ListBucket", "PUT": "s3:CreateBucket"}.get(method, "s3:DeleteBucket")


def administration(accounts: Accounts, request: Request) -> Answer:
    """Policies and users, for root."""
    held, asked = accounts.read(), request.json()
    name = asked.get("name", "")
    user = held["users"].get(name)
    command = request.path.removeprefix(ADMIN)
    if command == "policy create":
        try:
            held["policies"][name] = check_policy(asked["policy"].encode())
        except PolicyError as error:
            return Answer(400, {"error": str(error)})
    elif command == "user add":
        if len(name) < 3 or len(asked["secret"]) < 8:
            return Answer(400, {"error": "The access key or the secret key is too short"})
        kept = user["policies"] if user else []
        held["users"][name] = {"secret": asked["secret"], "enabled": True, "policies": kept}
    elif command == "user list":
        return Answer(body={name: user["policies"] for name, user in held["users"].items()})
    elif user is None:
        return Answer(404, {"error": "The specified user does not exist"})
    elif command == "user remove":
        del held["users"][name]
    elif command == "policy attach":
        if not accounts.is_policy(asked["policy"]):
            return Answer(404, {"error": "The canned policy does not exist"})
        user["policies"] = sorted({*user["policies"], asked["policy"]})
    else:
        return Answer(404, {"error": f"unknown: {command}"})
    accounts.write(held)
    return Answer(body={})


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
    settings = read_settings(environment)
    keys = read_credentials(settings)
    require_writable(folders[0], "unable to write to the backend")
    Path(folders[0], SYSTEM).mkdir(exist_ok=True)
    auth = settings.get("MINIO_PROMETHEUS_AUTH_TYPE", "") or "jwt"
    if auth not in ("jwt", "public"):
        raise Refused(f"MINIO_PROMETHEUS_AUTH_TYPE: {auth!r} is neither jwt nor public")
    serve(make_app(Store(Path(folders[0])), keys, auth, settings), address)
    if console and settings.get("MINIO_BROWSER", "on") != "off":
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
