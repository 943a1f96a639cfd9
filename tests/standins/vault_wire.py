"""What the parts of the Vault stand-in share: calls, replies, refusals with their status, durations
and times as the server writes them.
"""

from __future__ import annotations

import re
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")
LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Fault(Exception):
    """A refusal: the status and the texts of `errors`."""

    def __init__(self, status: int, *messages: str) -> None:
        super().__init__("; ".join(messages))
        self.status = status
        self.messages = messages


def failed(status: int, message: str) -> Fault:
    """A refusal as the server words what its parts return as an error."""
    return Fault(status, f"1 error occurred:\n\t* {message}\n\n")


DENIED = "permission denied"


@dataclass
class Call:
    """One request on its way through the server.

    Attributes:
        operation: `read`, `list`, `create`, `update`, `delete` or `patch`.
        path: Below /v1/; `rest` is its part below the mount.
        token: The token's entry, or None.
        wrap_s: Seconds to wrap the answer for, 0 for not.
    """

    operation: str
    path: str
    data: dict[str, Any] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    token_id: str = ""
    client: str = "127.0.0.1"
    wrap_s: int = 0
    token: dict[str, Any] | None = None
    mount: str = ""
    rest: str = ""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def writes(self) -> bool:
        """Whether it is a create or an update."""
        return self.operation in ("create", "update")

    @property
    def login(self) -> dict[str, Any]:
        """The token's entry; only for calls that were authenticated."""
        if self.token is None:
            raise Fault(403, DENIED)
        return self.token


@dataclass
class Reply:
    """What a call comes to; without data, auth and warnings it is 204.

    Attributes:
        flat: The data also stand at the top level (old endpoints of sys).
        lease_s: `lease_duration` of the answer.
        status: Set where it is not what the content implies.
        raw: Sent as it is, with `kind` as its content type.
    """

    data: dict[str, Any] | None = None
    auth: dict[str, Any] | None = None
    warnings: list[str] | None = None
    flat: bool = False
    lease_s: int = 0
    status: int = 0
    raw: bytes | None = None
    kind: str = "application/json"
    wrap_info: dict[str, Any] | None = None
    wrapped_accessor: str = ""
    unwrapped: dict[str, Any] | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to say."""
        found = (self.data, self.auth, self.warnings, self.wrap_info, self.raw, self.unwrapped)
        return all(part is None for part in found)

    def document(self, call: Call) -> dict[str, Any]:
        """The answer as JSON."""
        if self.unwrapped is not None:
            return {**self.unwrapped, "request_id": call.id}
        made = {
            "request_id": call.id, "lease_id": "", "renewable": False,
            "lease_duration": self.lease_s, "data": self.data, "wrap_info": self.wrap_info,
            "warnings": self.warnings, "auth": self.auth,
        }  # fmt: skip
        return {**(self.data or {}), **made} if self.flat else made


NOTHING = Reply()


def not_found() -> Fault:
    """Nothing there, or nothing that is to be told apart from it."""
    return Fault(404)


def unsupported_path() -> Fault:
    """A path that the mount does not have."""
    return failed(404, "unsupported path")


def unsupported_operation() -> Fault:
    """A path that the mount has, but not for this operation."""
    return failed(405, "unsupported operation")


def random_text(length: int) -> str:
    """Letters and digits from the system's generator."""
    return "".join(secrets.choice(LETTERS) for _ in range(length))


def parse_seconds(value: Any) -> int:
    """A duration in seconds: a number, digits, or as Go and Vault write it (`90s`, `1h30m`, `2d`).

    Raises:
        ValueError: with the server's words.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"could not parse duration from input {value!r}")
    text = str(value).strip()
    if text == "":
        return 0
    if re.fullmatch(r"[-+]?\d+", text):
        return int(text)
    if text.endswith("d"):
        if not re.fullmatch(r"[-+]?\d+", text[:-1]):
            raise ValueError(f'strconv.ParseInt: parsing "{text[:-1]}": invalid syntax')
        return int(text[:-1]) * 86400
    sign = -1 if text[0] == "-" else 1
    parts = PART.findall(text.lstrip("+-"))
    if not parts or "".join(a + b for a, b in parts) != text.lstrip("+-"):
        raise ValueError(f'time: invalid duration "{text}"')
    return sign * int(sum(float(number) * UNITS[unit] for number, unit in parts))


def seconds_of(data: Mapping[str, Any], name: str, default: int = 0) -> int:
    """A duration field of a request.

    Raises:
        Fault: 400, in the words of the field's parser.
    """
    if data.get(name) is None:
        return default
    try:
        seconds = parse_seconds(data[name])
    except ValueError as error:
        raise Fault(400, f'error converting input for field "{name}": {error}') from error
    if seconds < 0:
        text = f"cannot provide negative value '{seconds}'"
        raise Fault(400, f'error converting input for field "{name}": {text}')
    return seconds


def strings_of(data: Mapping[str, Any], name: str) -> list[str] | None:
    """A list field, or its text with commas; None when it is not given."""
    value = data.get(name)
    if value is None:
        return None
    parts = value if isinstance(value, list) else str(value).split(",")
    return [str(part).strip() for part in parts if str(part).strip()]


def go_duration(seconds: int) -> str:
    """A duration as Go prints it: `3h0m0s`."""
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{left}s"
    return f"{minutes}m{left}s" if minutes else f"{left}s"


def stamp(seconds: float | None = None) -> str:
    """A time as RFC 3339 in UTC with fractions; now by default."""
    moment = datetime.fromtimestamp(time.time() if seconds is None else seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
