"""A stand-in for MinIO's client `mc`: readiness, listings, buckets, copies by standard input, and
of its administration what gives consumers their accounts. Aliases come from MC_HOST_<alias>.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import s3
from standin import Refused, require_writable, run_program, say

METHODS = {"ls": "GET", "mb": "PUT", "pipe": "PUT", "cat": "GET", "rm": "DELETE"}
FLAGS = ("--quiet", "--json", "--ignore-existing")
COMMANDS = ("policy create", "policy attach", "user add", "user list", "user remove")


def read_alias(name: str, environment: Mapping[str, str]) -> tuple[str, str, str]:
    """URL, access key, secret key of an alias, from MC_HOST_<alias>; `local` has a default."""
    text = environment.get(f"MC_HOST_{name}", "")
    match = re.fullmatch(r"(https?://)([^:@/]+):([^@/]+)@(.+)", text)
    if match:
        return match[1] + match[4].rstrip("/"), match[2], match[3]
    if name == "local" and not text:
        return "http://localhost:9000", "", ""
    raise Refused(f"alias {name!r}: want MC_HOST_{name}=http://ACCESS:SECRET@host:port")


def main(argv: list[str]) -> int:
    """`mc`: ready, ls, mb, pipe, cat, rm, and `admin policy|user`."""

    def body() -> int:
        words = list(argv[1:])
        user = ""
        if "--user" in words:
            at = words.index("--user")
            user = words[at + 1]
            del words[at : at + 2]
        flags = [word for word in words if word.startswith("-")]
        if unknown := [flag for flag in flags if flag not in FLAGS]:
            raise Refused(f"flag provided but not defined: {unknown[0]}")
        words = [word for word in words if word not in flags]
        require_writable(os.environ.get("MC_CONFIG_DIR", "/root/.mc"), "mc: config directory")
        if words[:1] == ["admin"]:
            return _administer(words[1:], user, "--json" in flags)
        if len(words) != 2:
            raise Refused(f"unknown command: {' '.join(argv[1:])}")
        return _copy(*words, ignore_existing="--ignore-existing" in flags)

    return run_program("mc", body)


def _copy(command: str, target: str, *, ignore_existing: bool) -> int:
    alias, _, path = target.partition("/")
    url, access, secret = read_alias(alias, os.environ)
    if command == "ready":
        _call("GET", f"{url}/minio/health/ready", b"", "", "")
        say(f"The cluster '{alias}' is ready")
        return 0
    if command not in METHODS:
        raise Refused(f"unknown command: {command}")
    data = sys.stdin.buffer.read() if command == "pipe" else b""
    try:
        answer = _call(METHODS[command], f"{url}/{path}", data, access, secret)
    except Refused as refusal:
        if command == "mb" and ignore_existing and "BucketAlreadyOwnedByYou" in str(refusal):
            return 0
        raise
    if command == "ls":
        answer = "\n".join(re.findall("<(?:Name|Key)>([^<]+)", answer.decode())).encode()
    sys.stdout.buffer.write(answer)
    return 0


def _administer(words: list[str], user: str, as_json: bool) -> int:
    command, alias, rest = " ".join(words[:2]), words[2] if len(words) > 2 else "", words[3:]
    if command not in COMMANDS:
        raise Refused(f"unknown command: admin {' '.join(words)}")
    asked: dict[str, Any] = {}
    if command == "policy create":
        asked = {"name": rest[0], "policy": Path(rest[1]).read_text()}
    elif command == "policy attach":
        asked = {"name": user, "policy": rest[0]}
    elif command == "user add":  # what is no argument comes on standard input, a line each
        asked = {"name": rest[0] if rest else sys.stdin.readline().rstrip("\n")}
        asked["secret"] = rest[1] if len(rest) > 1 else sys.stdin.readline().rstrip("\n")
    elif command == "user remove":
        asked = {"name": rest[0]}
    url, access, secret = read_alias(alias, os.environ)
    path = f"{url}/minio/admin/stand-in/{command.replace(' ', '%20')}"
    answer = json.loads(_call("POST", path, json.dumps(asked).encode(), access, secret))
    if command == "user list":
        for name, policies in sorted(answer.items()):
            found = {"status": "success", "accessKey": name, "policyName": ",".join(policies)}
            line = {**found, "userStatus": "enabled"}
            text = json.dumps(line, separators=(",", ":"))
            say(text if as_json else f"enabled    {name[:20]:20}  {found['policyName']}")
    return 0


def _call(method: str, url: str, body: bytes, access: str, secret: str) -> bytes:
    headers = s3.sign(method, url, body, access, secret) if access else {}
    request = urllib.request.Request(url, data=body or None, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        raise Refused(f"{method} {url}: {error.code} {error.read().decode()}") from error
    except OSError as error:
        raise Refused(f"{method} {url}: {error}") from error
