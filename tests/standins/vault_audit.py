"""Audit devices of type `file`: one JSON line for each request and each answer, with every text of
its data hashed. When no device of several can write, the call must not go on.
"""

from __future__ import annotations

import errno
import hmac
import json
import os
import stat
from pathlib import Path
from typing import Any

from standin import parse_bool
from vault_wire import Call, Fault, Reply, stamp

OPTIONS = {
    "file_path", "path", "mode", "format", "log_raw", "hmac_accessor", "prefix",
    "elide_list_responses",
}  # fmt: skip
STREAMS = {"stdout": 1, "stderr": 2}


class Device:
    """One file, kept open; opened anew after a failure and on demand."""

    def __init__(self, path: str, options: dict[str, str], salt: bytes) -> None:
        """Open the file.

        Raises:
            Fault: 400 with the server's reason.
        """
        self.name = path
        self.salt = salt
        for option in set(options) - OPTIONS:
            raise _refused(path, f'the stand-in does not know the option "{option}"')
        self.path = options.get("file_path") or options.get("path") or ""
        if not self.path:
            raise _refused(path, "file_path is required")
        for option in ("log_raw", "hmac_accessor", "elide_list_responses"):
            try:
                parse_bool(option, str(options.get(option, "false")).lower())
            except Exception as error:
                text = f'strconv.ParseBool: parsing "{options[option]}": invalid syntax'
                raise _refused(path, text) from error
        self.raw = str(options.get("log_raw", "false")).lower() in ("1", "t", "true")
        try:
            self.mode = int(str(options.get("mode") or "0600"), 8)
        except ValueError as error:
            text = f'strconv.ParseUint: parsing "{options["mode"]}": invalid syntax'
            raise _refused(path, text) from error
        self.handle = -1
        try:
            self.open()
        except OSError as error:
            what = "is a directory" if error.errno == errno.EISDIR else _reason(error)
            text = f'unable to open "{self.path}" for writing: open {self.path}: {what}'
            raise _refused(path, f"sanity check failed; {text}") from error

    def open(self) -> None:
        """Open the file; its folder is made when it is missing."""
        self.close()
        if self.path in STREAMS:
            self.handle = STREAMS[self.path]
            return
        Path(self.path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, self.mode)
        if self.mode and stat.S_ISREG(os.fstat(self.handle).st_mode):
            os.fchmod(self.handle, self.mode)

    def close(self) -> None:
        """Close the file."""
        if self.handle > 2:
            os.close(self.handle)
        self.handle = -1

    def write(self, entry: dict[str, Any]) -> bool:
        """Whether the line was written, if need be after opening the file anew."""
        line = json.dumps(entry if self.raw else self._hash_entry(entry)).encode() + b"\n"
        for _ in range(2):
            try:
                if self.handle < 0:
                    self.open()
                if os.write(self.handle, line) == len(line):
                    return True
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                self.close()
        return False

    def hash(self, text: str) -> str:
        """A text as it stands in the file."""
        return "hmac-sha256:" + hmac.digest(self.salt, text.encode(), "sha256").hex()

    def _hash_entry(self, entry: dict[str, Any]) -> dict[str, Any]:
        made = json.loads(json.dumps(entry))
        for part in ("auth", "request", "response"):
            for name in ("client_token", "accessor", "client_token_accessor"):
                if made.get(part, {}).get(name):
                    made[part][name] = self.hash(made[part][name])
            if made.get(part, {}).get("data"):
                made[part]["data"] = self._hash_all(made[part]["data"])
        answer = made.get("response", {})
        for part in ("auth", "wrap_info"):
            for name in ("client_token", "accessor", "token", "wrapped_accessor"):
                if answer.get(part, {}).get(name):
                    answer[part][name] = self.hash(answer[part][name])
        return made

    def _hash_all(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._hash_all(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._hash_all(inner) for inner in value]
        return self.hash(value) if isinstance(value, str) else value


def _refused(path: str, text: str) -> Fault:
    return Fault(400, f"failed to create new audit device {path}: {text}")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


class Broker:
    """All devices together."""

    def __init__(self) -> None:
        self.devices: dict[str, Device] = {}

    def close(self) -> None:
        """Close every file and forget the devices."""
        for device in self.devices.values():
            device.close()
        self.devices.clear()

    def reopen(self) -> None:
        """Open every file anew, as after a rotation of logs."""
        for device in self.devices.values():
            device.close()

    def request(self, call: Call, error: str = "") -> bool:
        """Write down a request; whether one device did, or there is none."""
        return self._write(_entry("request", call, error))

    def response(self, call: Call, reply: Reply | None, error: str = "") -> bool:
        """Write down an answer; whether one device did, or there is none."""
        entry = _entry("response", call, error)
        answer: dict[str, Any] = {"mount_point": call.mount}
        if reply is not None and reply.data is not None:
            # what is read from an engine is left out, as the real server does for key-value mounts
            answer |= {} if call.operation == "read" else {"data": reply.data}
        if reply is not None and reply.auth:
            names = ("client_token", "accessor", "policies")
            answer["auth"] = {name: reply.auth[name] for name in names}
        if reply is not None and reply.wrap_info:
            answer["wrap_info"] = reply.wrap_info
        return self._write({**entry, "response": answer})

    def _write(self, entry: dict[str, Any]) -> bool:
        written = [device.write(entry) for device in self.devices.values()]
        return any(written) or not written


def _entry(kind: str, call: Call, error: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"time": stamp(), "type": kind}
    if call.token:
        entry["auth"] = {
            "client_token": call.token["id"], "accessor": call.token["accessor"],
            "display_name": call.token["display_name"], "policies": call.token["policies"],
            "token_policies": call.token["policies"], "token_type": "service",
        }  # fmt: skip
    request = {
        "id": call.id, "operation": call.operation, "mount_point": call.mount,
        "namespace": {"id": "root"}, "path": call.path, "remote_address": call.client,
    }  # fmt: skip
    if call.token_id:
        request["client_token"] = call.token_id
    if call.data:
        request["data"] = call.data
    if call.wrap_s:
        request["wrap_ttl"] = call.wrap_s
    entry["request"] = request
    return {**entry, "error": error} if error else entry
