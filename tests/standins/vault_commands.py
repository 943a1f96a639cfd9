"""The commands of the command line that read and write any path, as scripts use them.

`write` takes `key=value`, one `-` for JSON on standard input, or `-f` for nothing; `-field` prints
one value without a line end when the output is no terminal.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import zlib
from collections.abc import Mapping
from typing import Any

from standin import Refused


def write(client: Any, options: Mapping[str, str], words: list[str]) -> None:
    """`vault write PATH [DATA]`."""
    if not words:
        raise Refused("Not enough arguments (expected 1 or more, got 0)")
    path, *data = words
    force = "force" in options or "f" in options
    if not data and not force:
        raise Refused("Must supply data or use -force")
    body: dict[str, Any] = {}
    for word in data:
        if word == "-":
            body |= json.loads(sys.stdin.read())
            continue
        key, equals, value = word.partition("=")
        if not equals:
            raise Refused(f"Failed to parse K=V data: invalid key/value pair {word!r}")
        body[key] = value
    _show(client.ask("PUT", path, body, _headers(options)), options)


def read(client: Any, options: Mapping[str, str], words: list[str]) -> None:
    """`vault read PATH`."""
    if len(words) != 1:
        raise Refused(f"Too many arguments (expected 1, got {len(words)})")
    _show(client.ask("GET", words[0], None, _headers(options)), options)


def raft(client: Any, options: Mapping[str, str], words: list[str]) -> None:
    """`vault operator raft snapshot save FILE`."""
    del options
    if words[:2] != ["snapshot", "save"]:
        raise Refused("the stand-in has `operator raft snapshot save FILE` only")
    if len(words) != 3:
        raise Refused(f"Incorrect arguments (expected 1, got {len(words) - 2})")
    content = client.fetch("GET", "sys/storage/raft/snapshot")
    handle = os.open(words[2], os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            complete = archive.getmember("SHA256SUMS.sealed").size > 0
    except (tarfile.TarError, KeyError, EOFError, OSError, zlib.error):
        complete = False
    if not complete:
        raise Refused("incomplete snapshot, unable to read SHA256SUMS.sealed file")


def _headers(options: Mapping[str, str]) -> dict[str, str]:
    return {"X-Vault-Wrap-Ttl": options["wrap-ttl"]} if "wrap-ttl" in options else {}


def _show(answer: Mapping[str, Any], options: Mapping[str, str]) -> None:
    wrap, auth = answer.get("wrap_info") or {}, answer.get("auth") or {}
    values = {
        **(answer.get("data") or {}),
        **({"token": auth["client_token"]} if auth else {}),
        **({"wrapping_token": wrap["token"]} if wrap else {}),
    }
    if "field" not in options:
        sys.stdout.write("".join(f"{key}    {value}\n" for key, value in values.items()))
        return
    if options["field"] not in values:
        raise Refused(f"Field {options['field']!r} not present in secret")
    end = "\n" if sys.stdout.isatty() else ""
    sys.stdout.write(f"{values[options['field']]}{end}")
