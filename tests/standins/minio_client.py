"""A stand-in for MinIO's client `mc`: readiness, listings, buckets, copies by standard input; as
much as a smoke test needs. Aliases come from MC_HOST_<alias>.
"""

from __future__ import annotations

import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping

import s3
from standin import Refused, require_writable, run_program, say


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
    """`mc`: ready, ls, mb, pipe, cat, rm; as much as a smoke test needs."""

    def body() -> int:
        words = [word for word in argv[1:] if not word.startswith("-")]
        require_writable(os.environ.get("MC_CONFIG_DIR", "/root/.mc"), "mc: config directory")
        if len(words) != 2:
            raise Refused(f"unknown command: {' '.join(argv[1:])}")
        command, target = words
        alias, _, path = target.partition("/")
        url, access, secret = read_alias(alias, os.environ)
        if command == "ready":
            _call("GET", f"{url}/minio/health/ready", b"", "", "")
            say(f"The cluster '{alias}' is ready")
            return 0
        methods = {"ls": "GET", "mb": "PUT", "pipe": "PUT", "cat": "GET", "rm": "DELETE"}
        if command not in methods:
            raise Refused(f"unknown command: {command}")
        data = sys.stdin.buffer.read() if command == "pipe" else b""
        answer = _call(methods[command], f"{url}/{path}", data, access, secret)
        if command == "ls":
            answer = "\n".join(re.findall("<(?:Name|Key)>([^<]+)", answer.decode())).encode()
        sys.stdout.buffer.write(answer)
        return 0

    return run_program("mc", body)


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
