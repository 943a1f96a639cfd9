"""A client of a RESP server (Valkey, Redis), as far as stand-ins need one: that it lets them in."""

from __future__ import annotations

import os
import socket
import ssl
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

from standin import Refused


def check_redis(url: str, name: str, trust: ssl.SSLContext | None = None) -> None:
    """Connect to `redis://user:password@host:port/db` as a client would, and PING.

    With `rediss` by TLS, and the server's certificate and name are verified by `trust`, or as Go
    verifies them.

    Raises:
        Refused: when it cannot be reached or is not the one, or refuses the account, or the account
            may not PING.
    """
    where = urllib.parse.urlsplit(url)
    if where.scheme not in ("redis", "rediss") or not where.hostname:
        raise Refused(f"{name}: want redis://user:password@host:port/db")
    commands = []
    if where.password is not None:
        user = [urllib.parse.unquote(where.username)] if where.username else []
        commands.append(["AUTH", *user, urllib.parse.unquote(where.password)])
    if where.path.strip("/"):
        commands.append(["SELECT", where.path.strip("/")])
    try:
        with _dial(where, trust) as plug:
            for command in [*commands, ["PING"]]:
                answer = _resp(plug, command)
                if answer.startswith("-"):
                    raise Refused(f"{name}: {command[0]} to {where.hostname}: {answer[1:]}")
    except OSError as error:
        raise Refused(f"{name}: dial tcp {where.hostname}: {error}") from error


def _dial(where: urllib.parse.SplitResult, trust: ssl.SSLContext | None) -> socket.socket:
    plug = socket.create_connection((where.hostname or "", where.port or 6379), timeout=5)
    if where.scheme == "redis":
        return plug
    with plug:  # wrapping takes the socket out of it
        context = trust or trusted_context(os.environ)
        return context.wrap_socket(plug, server_hostname=where.hostname)


def trusted_context(environment: Mapping[str, str]) -> ssl.SSLContext:
    """What Go programs trust: the bundle of the system, and every file of SSL_CERT_DIR."""
    context = ssl.create_default_context(cafile=environment.get("SSL_CERT_FILE") or None)
    folder = environment.get("SSL_CERT_DIR")
    for path in sorted(Path(folder).iterdir()) if folder else ():
        try:
            context.load_verify_locations(path)
        except (ssl.SSLError, OSError):
            continue  # as Go does with a file that holds no certificate
    return context


def _resp(plug: socket.socket, command: list[str]) -> str:
    words = [word.encode() for word in command]
    plug.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
    answer = b""
    while not answer.endswith(b"\r\n"):
        piece = plug.recv(4096)
        if not piece:
            break
        answer += piece
    return answer.decode("utf-8", "replace").strip()
