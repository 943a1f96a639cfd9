"""HTTP over TLS inside byte streams that are dialled, for a server that publishes no port.

The server proves itself by a certificate of the given CA for the given name; nothing is ever sent
before it has. One thread, no sockets: the stream may be a program's standard input and output.
"""

from __future__ import annotations

import contextlib
import io
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import urllib3
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NewConnectionError

from installer.adapters.stream import open_reader
from installer.ports import ByteStream

T = TypeVar("T")
PIECE = 16 * 1024
"""Bytes handed over at once; the largest TLS record (RFC 8446, 5.1)."""
TIMEOUT_S = 30


class TlsStream:
    """A TLS client on a byte stream, socket-like enough for an HTTP client.

    Raises, on making it:
        ssl.SSLError: the handshake does not succeed; `SSLCertVerificationError` when the
            certificate is not trusted.
        OSError: the stream ends or stays silent.
    """

    def __init__(self, stream: ByteStream, context: ssl.SSLContext, server_name: str) -> None:
        self._stream = stream
        self._read, self._written = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._read, self._written, server_hostname=server_name)
        self.settimeout(TIMEOUT_S)
        try:
            self._step(self._tls.do_handshake)
        except OSError:
            stream.close()
            raise

    def sendall(self, data: bytes) -> None:
        """Send everything."""
        view = memoryview(data)
        for at in range(0, len(view), PIECE):
            self._step(partial(self._tls.write, view[at : at + PIECE]))

    def recv(self, size: int) -> bytes:
        """At least one byte, or none at the end."""
        try:
            return self._step(partial(self._tls.read, size))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""  # HTTP itself notices an answer that was cut off

    def makefile(self, mode: str = "rb", buffering: int | None = None) -> io.BufferedReader:
        """A buffered reader over the stream; closing it leaves the stream open."""
        return open_reader(self.recv, mode, buffering)

    def settimeout(self, timeout_s: float | None) -> None:
        """Seconds that `recv` and `sendall` may take, where the stream knows such a limit."""
        limit: Any = getattr(self._stream, "settimeout", None)
        if limit is not None:
            limit(timeout_s)

    def close(self) -> None:
        """Say so to the server and close the stream."""
        with contextlib.suppress(OSError):  # ssl.SSLError is one: the answer is not waited for
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            self._stream.sendall(self._written.read())
        self._stream.close()

    def _step(self, act: Callable[[], T]) -> T:
        while True:
            try:
                done = act()
            except ssl.SSLWantReadError:
                self._flush()
                self._receive()
            except ssl.SSLError:
                self._flush()  # the alert tells the other side why
                raise
            else:
                self._flush()
                return done

    def _flush(self) -> None:
        if data := self._written.read():
            self._stream.sendall(data)

    def _receive(self) -> None:
        data = self._stream.recv(PIECE)
        self._read.write(data) if data else self._read.write_eof()


class _Connection(HTTPConnection):
    def __init__(self, host: str, open_stream: Callable[[], TlsStream]) -> None:
        super().__init__(host, timeout=TIMEOUT_S)
        self._open_stream = open_stream

    def connect(self) -> None:
        try:
            stream: Any = self._open_stream()
        except ConnectionError as error:
            # The library ignores a reset while sending, as if there were an answer to read.
            raise NewConnectionError(self, "the stream ended before it was set up") from error
        self.sock = stream

    @property
    def is_connected(self) -> bool:
        # The base class asks the socket's descriptor; a stream has none.
        return self.sock is not None


class _Pool(urllib3.HTTPConnectionPool):
    def __init__(self, host: str, open_stream: Callable[[], TlsStream]) -> None:
        super().__init__(host, maxsize=1, block=False, retries=False)
        self._open_stream = open_stream

    def _new_conn(self) -> _Connection:
        return _Connection(self.host, self._open_stream)


class TunnelAdapter(HTTPAdapter):
    """Mounted for one server in a `requests` session; keeps one connection open."""

    def __init__(
        self, dial: Callable[[], ByteStream], context: ssl.SSLContext, server_name: str
    ) -> None:
        super().__init__(max_retries=0)
        self._pool = _Pool(server_name, lambda: TlsStream(dial(), context, server_name))

    def get_connection_with_tls_context(self, *_args: Any, **_named: Any) -> _Pool:
        """The connection; there is only one server behind it."""
        return self._pool

    def cert_verify(self, *_args: Any, **_named: Any) -> None:
        """Nothing: the stream has verified the server before it was handed out."""

    def request_url(self, request: PreparedRequest, proxies: object) -> str:
        """The path alone: no proxy is in between."""
        del proxies
        return str(request.path_url)

    def close(self) -> None:
        """Close the connection; a further request dials again."""
        self._pool.close()
