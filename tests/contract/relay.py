"""A TCP relay that can stop carrying anything, without a reset: a path that goes dead."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time


class Relay:
    def __init__(self, port: int) -> None:
        self._behind = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._stop = threading.Event()
        self._frozen = threading.Event()
        self.accepted = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def freeze(self) -> None:
        self._frozen.set()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)
        for each in (self._listener, *self._pairs):
            each.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._frozen.is_set():
                self._stop.wait(0.1)
                continue
            ready, _, _ = select.select([self._listener, *self._pairs], [], [], 0.1)
            for each in ready:
                self._carry(each)

    def _carry(self, each: socket.socket) -> None:
        if each is self._listener:
            client, _ = each.accept()
            server = socket.create_connection(("127.0.0.1", self._behind))
            self._pairs |= {client: server, server: client}
            self.accepted += 1
            return
        other = self._pairs.get(each)
        if other is None:
            return
        data = b""
        with contextlib.suppress(OSError):
            data = each.recv(65536)
        if data:
            other.setblocking(False)
            while data and not self._frozen.is_set():
                with contextlib.suppress(BlockingIOError):
                    data = data[other.send(data) :]
                if data:
                    time.sleep(0)
        else:
            for side in (each, other):
                self._pairs.pop(side, None)
                side.close()
