"""Questions to a name server and its answers, as bytes (RFC 1035), for addresses and CAA records.

No I/O. What is cut off, or loops, is refused; nothing of an answer is believed but its records.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

A, AAAA, CAA, CNAME = 1, 28, 257, 5
NO_ERROR, NO_SUCH_NAME = 0, 3
_IN = 1
_MOST_JUMPS = 32


class MessageError(ValueError):
    """The bytes are no answer to the question."""


@dataclass(frozen=True, slots=True)
class CaaRecord:
    """Who may issue for a name (RFC 8659). `value` is an authority's domain with parameters."""

    critical: bool
    tag: str
    value: str

    @property
    def issuer(self) -> str:
        """The authority's domain, empty for nobody."""
        return self.value.partition(";")[0].strip().lower().rstrip(".")

    def parameter(self, name: str) -> str | None:
        """A parameter's value, as `validationmethods` (RFC 8657)."""
        pairs = (part.partition("=") for part in self.value.split(";")[1:])
        found = {key.strip().lower(): value.strip() for key, _, value in pairs}
        return found.get(name)


@dataclass(frozen=True, slots=True)
class Answer:
    """`code` is that of the answer; `truncated` says that it has to be asked for over TCP."""

    code: int
    truncated: bool
    addresses: tuple[str, ...]
    issuers: tuple[CaaRecord, ...]


def make_query(identity: int, name: str, kind: int) -> bytes:
    """A question that asks for recursion. `name` is ASCII with labels of 1 to 63 octets."""
    labels = name.rstrip(".").encode("ascii").split(b".")
    if any(not 0 < len(label) < 64 for label in labels):
        raise ValueError(f"not a name: {name!r}")
    question = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    head = b"".join(n.to_bytes(2, "big") for n in (identity, 0x0100, 1, 0, 0, 0))
    return head + question + kind.to_bytes(2, "big") + _IN.to_bytes(2, "big")


def parse_answer(data: bytes, query: bytes) -> Answer:
    """The answer to a question of `make_query`.

    Raises:
        MessageError: it is the answer to another one, or cut off.
    """
    try:
        return _parse(data, query)
    except IndexError as error:
        raise MessageError("the answer is cut off") from error


def _parse(data: bytes, query: bytes) -> Answer:
    if len(data) < 12 or data[:2] != query[:2] or not data[2] & 0x80:
        raise MessageError("not an answer to this question")
    if data[12 : len(query)].lower() != query[12:].lower():
        raise MessageError("an answer to another question")
    at = len(query)
    addresses: list[str] = []
    issuers: list[CaaRecord] = []
    for _ in range(_number(data, 6)):
        at = _skip_name(data, at)
        kind, size = _number(data, at), _number(data, at + 8)
        value = data[at + 10 : at + 10 + size]
        if len(value) < size:
            raise MessageError("a record is cut off")
        at += 10 + size
        if kind == A and size == 4:
            addresses.append(str(IPv4Address(value)))
        elif kind == AAAA and size == 16:
            addresses.append(str(IPv6Address(value)))
        elif kind == CAA:
            issuers += _parse_caa(value)
    return Answer(data[3] & 0x0F, bool(data[2] & 0x02), tuple(addresses), tuple(issuers))


def _parse_caa(value: bytes) -> Iterator[CaaRecord]:
    end = 2 + value[1]
    tag = value[2:end].decode("ascii", "replace").lower()
    yield CaaRecord(bool(value[0] & 0x80), tag, value[end:].decode("ascii", "replace"))


def _skip_name(data: bytes, at: int) -> int:
    for _ in range(_MOST_JUMPS * 4):
        size = data[at]
        if size & 0xC0 == 0xC0:  # a pointer ends a name
            return at + 2
        at += 1 + size
        if size == 0:
            return at
    raise MessageError("a name has no end")


def _number(data: bytes, at: int) -> int:
    if len(data) < at + 2:
        raise MessageError("the answer is cut off")
    return int.from_bytes(data[at : at + 2], "big")
