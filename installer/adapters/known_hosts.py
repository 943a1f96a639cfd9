"""Reads OpenSSH known_hosts files and judges the key that a server shows.

Knows markers, hashed names, patterns and several keys per host, which the SSH library's reader does
not. Never writes a file and never trusts a key that is not recorded or pinned.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from installer.core.errors import LocalIoError, Problem, Remedy

Marker = Literal["", "@revoked", "@cert-authority"]

ALGORITHMS_BY_TYPE = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
"""Key type in the file → signature algorithms to ask a server for, best first (RFC 8332)."""


@dataclass(frozen=True, slots=True)
class HostKey:
    """A public key: its type as files spell it, and its wire form."""

    type: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """`SHA256:` and the unpadded base64 of the digest, as `ssh-keygen -l` prints it."""
        digest = hashlib.sha256(self.blob).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.type} {base64.b64encode(self.blob).decode()}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One usable line of a file; `line` counts from 1."""

    marker: Marker
    names: str
    key: HostKey
    file: str
    line: int

    @property
    def place(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"

    def matches(self, name: str) -> bool:
        """Whether the line speaks of `name` (`host` or `[host]:port`, lower case)."""
        if self.names.startswith("|1|"):
            return _matches_hash(self.names, name)
        return _matches_patterns(self.names, name)


@dataclass(frozen=True, slots=True)
class Known:
    """What the files say about one host.

    Attributes:
        accepted: Keys recorded for exactly this host and port.
        portless: Keys recorded for the host without its port: enough to accept, as in OpenSSH, but
            never a reason to call a key changed.
        revoked: Keys that are refused whatever else the files say.
        authorities: `@cert-authority` lines: they are not used for acceptance.
    """

    accepted: tuple[Entry, ...] = ()
    portless: tuple[Entry, ...] = ()
    revoked: tuple[Entry, ...] = ()
    authorities: tuple[Entry, ...] = ()

    def key_algorithms(self, supported: Sequence[str]) -> tuple[str, ...]:
        """`supported`, those first whose key we know, so that the server shows a known key."""
        wanted: list[str] = []
        for entry in (*self.accepted, *self.portless):
            wanted += ALGORITHMS_BY_TYPE.get(entry.key.type, ())
        known = [name for name in dict.fromkeys(wanted) if name in supported]
        return (*known, *(name for name in supported if name not in known))

    def verdict(self, key: HostKey) -> Literal["accepted", "revoked", "changed", "unknown"]:
        """Judge the key a server shows.

        A host whose recorded keys are all of types that cannot be negotiated counts as unknown.
        """
        if any(entry.key.blob == key.blob for entry in self.revoked):
            return "revoked"
        if any(entry.key == key for entry in (*self.accepted, *self.portless)):
            return "accepted"
        if any(entry.key.type in ALGORITHMS_BY_TYPE for entry in self.accepted):
            return "changed"
        return "unknown"

    def recorded(self, key: HostKey) -> Entry | None:
        """The entry that `key` contradicts: of the same type if there is one."""
        same = [entry for entry in self.accepted if entry.key.type == key.type]
        return next(iter([*same, *self.accepted]), None)


@dataclass(frozen=True, slots=True)
class KnownHosts:
    """The entries of one or several files, and what could not be read in them."""

    entries: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()

    def lookup(self, host: str, port: int) -> Known:
        """Everything the files say about `host` at `port`."""
        plain = host.lower()
        name = plain if port == 22 else f"[{plain}]:{port}"
        exact = [entry for entry in self.entries if entry.matches(name)]
        loose = [] if name == plain else [e for e in self.entries if e.matches(plain)]
        return Known(
            accepted=tuple(e for e in exact if not e.marker),
            portless=tuple(e for e in loose if not e.marker),
            revoked=tuple(e for e in (*exact, *loose) if e.marker == "@revoked"),
            authorities=tuple(e for e in exact if e.marker == "@cert-authority"),
        )


def read_known_hosts(paths: Sequence[str]) -> KnownHosts:
    """Read the files that exist; a missing one is empty.

    Raises:
        LocalIoError: a file exists and cannot be read.
    """
    entries: list[Entry] = []
    notes: list[str] = []
    for path in paths:
        file = Path(path).expanduser()
        try:
            text = file.read_bytes().decode("utf-8", "replace")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise LocalIoError(
                Problem(
                    code="ssh.known_hosts_unreadable",
                    summary=f"cannot read {file}: {error.strerror}",
                    where="ssh.known_hosts_file",
                    remedy=Remedy("make the file readable, or name another one"),
                )
            ) from error
        parsed = parse_known_hosts(text, str(file))
        entries += parsed.entries
        notes += parsed.notes
    return KnownHosts(tuple(entries), tuple(notes))


def parse_known_hosts(text: str, file: str) -> KnownHosts:
    """Parse the format of sshd(8), SSH_KNOWN_HOSTS FILE FORMAT; a bad line becomes a note."""
    entries: list[Entry] = []
    notes: list[str] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        entry = _parse_line(line, file, number)
        if isinstance(entry, Entry):
            entries.append(entry)
        else:
            notes.append(f"{file}:{number}: {entry}; the line is not used")
    authorities = sum(entry.marker == "@cert-authority" for entry in entries)
    if authorities:
        notes.append(
            f"{file}: {authorities} @cert-authority lines; host certificates are not used for "
            "acceptance, ordinary and @revoked lines are"
        )
    return KnownHosts(tuple(entries), tuple(notes))


def _parse_line(line: str, file: str, number: int) -> Entry | str:
    words = line.split()
    marker: Marker = ""
    if words[0].startswith("@"):
        match words.pop(0).lower():
            case "@revoked":
                marker = "@revoked"
            case "@cert-authority":
                marker = "@cert-authority"
            case _:
                return "unknown marker"
    if len(words) < 3:
        return "no name, key type and key"
    names, key_type, encoded = words[:3]
    if key_type.isdigit():
        return "a key of protocol version 1"
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return "the key is not base64"
    if _inner_type(blob) != key_type:
        return f"the key is not of the type {key_type!r}"
    if names.startswith("|") and not re.fullmatch(r"\|1\|[\w+/=]+\|[\w+/=]+", names):
        return "the hashed name is malformed"
    return Entry(marker, names, HostKey(key_type, blob), file, number)


def _inner_type(blob: bytes) -> str | None:
    """The type that a key's wire form begins with (RFC 4253, 6.6)."""
    length = int.from_bytes(blob[:4], "big")
    return blob[4 : 4 + length].decode("ascii", "replace") if len(blob) >= 4 + length else None


def _matches_hash(names: str, name: str) -> bool:
    _, _, salt, digest = names.split("|")
    try:
        key, wanted = base64.b64decode(salt), base64.b64decode(digest)
    except binascii.Error:
        return False
    # The format of known_hosts fixes SHA-1 here; it hides names and authenticates nothing.
    return hmac.compare_digest(hmac.new(key, name.encode(), hashlib.sha1).digest(), wanted)


def _matches_patterns(names: str, name: str) -> bool:
    """Comma-separated patterns with `*`, `?`; a negated one that matches decides."""
    found = False
    for pattern in names.lower().split(","):
        negated = pattern.startswith("!")
        if _glob(pattern.removeprefix("!")).fullmatch(name):
            if negated:
                return False
            found = True
    return found


def _glob(pattern: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(char, re.escape(char)) for char in pattern))
