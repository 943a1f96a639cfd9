"""The name server of a run: answers from a file of names and addresses, and for the registry's
names with the registry's address; any other name does not exist. It asks nobody outside.

Called with the file, its JSON object mapping a name, or `*.suffix` for one label more, to an IPv4
address. The file is read for every question, so that a test can change it.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import struct
import sys
from pathlib import Path

A, NXDOMAIN = 1, 3
TTL_S = 5


def parse_question(packet: bytes) -> tuple[str, int, int]:
    """The name asked for in lower case, the type, and where the question ends."""
    labels, position = [], 12
    while length := packet[position]:
        labels.append(packet[position + 1 : position + 1 + length].decode("ascii", "replace"))
        position += length + 1
    kind = struct.unpack(">H", packet[position + 1 : position + 3])[0]
    return ".".join(labels).lower(), kind, position + 5


def find_address(name: str, names: dict[str, str]) -> str | None:
    """The address of a name, by itself or by a wildcard for its first label."""
    return names.get(name) or names.get("*." + name.partition(".")[2])


def make_answer(packet: bytes, names: dict[str, str]) -> bytes:
    """The answer to a query: one A record, none of another type, or no such name."""
    name, kind, end = parse_question(packet)
    address = find_address(name, names)
    records = b""
    if address and kind == A:
        data = ipaddress.IPv4Address(address).packed
        records = struct.pack(">HHHIH", 0xC00C, A, 1, TTL_S, 4) + data
    flags = 0x8580 | (0 if address else NXDOMAIN)
    header = packet[:2] + struct.pack(">HHHHH", flags, 1, 1 if records else 0, 0, 0)
    return header + packet[12:end] + records


def read_names(path: Path, aliases: list[str]) -> dict[str, str]:
    """The names in force."""
    names = {}
    for alias in aliases:
        try:
            names[alias] = socket.gethostbyname(
                alias
            )  # Docker's own, for the aliases of this network
        except OSError:
            continue
    return {**names, **json.loads(path.read_text())}


def main(path: Path, aliases: list[str]) -> None:
    """Answer for ever."""
    plug = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    plug.bind(("0.0.0.0", 53))
    while True:
        packet, client = plug.recvfrom(1232)
        try:
            answer = make_answer(packet, read_names(path, aliases))
        except (IndexError, ValueError, struct.error):
            continue  # no question, or a file that is just being written
        plug.sendto(answer, client)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
