"""`DnsClient`: asks one name server directly, past this machine's hosts file and cache."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from installer.core.dns_message import (
    AAAA,
    CAA,
    NO_ERROR,
    NO_SUCH_NAME,
    A,
    Answer,
    CaaRecord,
    MessageError,
    make_query,
    parse_answer,
)

_LARGEST = 65_535
_TRIES = 2


class DnsClient:
    """The port `DnsProbe`."""

    def __init__(
        self, *, resolv_conf: Path = Path("/etc/resolv.conf"), timeout_s: float = 3.0
    ) -> None:
        self._resolv_conf = resolv_conf
        self._timeout_s = timeout_s

    def servers(self) -> tuple[str, ...]:
        """The name servers of this machine, address:port."""
        try:
            lines = self._resolv_conf.read_text("utf-8", "replace").splitlines()
        except OSError:
            return ()
        words = (line.split() for line in lines)
        found = [pair[1] for pair in words if len(pair) > 1 and pair[0] == "nameserver"]
        return tuple(f"[{address}]:53" if ":" in address else f"{address}:53" for address in found)

    def addresses(self, name: str, server: str) -> tuple[str, ...] | None:
        """Addresses of both families; empty when there are none, None when it does not answer."""
        answers = [self._ask(name, kind, server) for kind in (A, AAAA)]
        if any(answer is None for answer in answers):
            return None
        found = [address for answer in answers if answer for address in answer.addresses]
        return tuple(dict.fromkeys(found))

    def issuers(self, name: str, server: str) -> tuple[CaaRecord, ...] | None:
        """The CAA records that apply to a name: its own, or those of the nearest parent.

        RFC 8659, 3. None when the server does not answer.
        """
        labels = name.rstrip(".").split(".")
        for start in range(len(labels)):
            answer = self._ask(".".join(labels[start:]), CAA, server)
            if answer is None:
                return None
            if answer.issuers:
                return answer.issuers
        return ()

    def _ask(self, name: str, kind: int, server: str) -> Answer | None:
        host, _, port = server.rpartition(":")
        place = (host.strip("[]"), int(port))
        query = make_query(int.from_bytes(os.urandom(2), "big"), name, kind)
        for _ in range(_TRIES):
            try:
                answer = parse_answer(self._by_datagram(place, query), query)
                if answer.truncated:
                    answer = parse_answer(self._by_stream(place, query), query)
            except (OSError, MessageError):
                continue
            return answer if answer.code in (NO_ERROR, NO_SUCH_NAME) else None
        return None

    def _by_datagram(self, place: tuple[str, int], query: bytes) -> bytes:
        family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as stream:
            stream.settimeout(self._timeout_s)
            stream.connect(place)  # so that only this server's answers arrive
            stream.send(query)
            return stream.recv(_LARGEST)

    def _by_stream(self, place: tuple[str, int], query: bytes) -> bytes:
        with socket.create_connection(place, timeout=self._timeout_s) as stream:
            stream.sendall(len(query).to_bytes(2, "big") + query)
            size = int.from_bytes(_receive(stream, 2), "big")
            return _receive(stream, size)


def _receive(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = stream.recv(size - len(data))
        if not piece:
            raise ConnectionResetError("the answer ended early")
        data += piece
    return data
