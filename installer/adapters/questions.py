"""Questions of a run that has no terminal, answered by whoever watches it, over a local socket.

The run waits until somebody answers, however long; a watcher may leave and another one come. An
answer is a secret: it goes over a socket of the same user and is never written.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

from installer.core.errors import Problem, Remedy, TerminalError

_SUFFIX = ".question"
_LONGEST = 1 << 20
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class SocketQuestions:
    """The run's side: asks and waits for an answer."""

    path: Path

    def __call__(self, question: str) -> str:
        """What somebody answered.

        Raises:
            TerminalError: the socket cannot be made.
        """
        self.path.unlink(missing_ok=True)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
                listening.bind(str(self.path))
                self.path.chmod(0o600)
                listening.listen(1)
                _publish(self.path.with_suffix(_SUFFIX), question)
                return self._receive(listening)
        except OSError as error:
            raise TerminalError(
                Problem(
                    "question.socket",
                    f"nobody can be asked at {self.path}: {error.strerror}",
                    Remedy("choose a run directory with a shorter path on a local file system"),
                )
            ) from error
        finally:
            self.path.with_suffix(_SUFFIX).unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)

    def _receive(self, listening: socket.socket) -> str:
        while True:
            with listening.accept()[0] as connection:
                if _user_of(connection) != os.geteuid():
                    continue
                received = b""
                while len(received) < _LONGEST and (part := connection.recv(65536)):
                    received += part
            if received:
                return str(json.loads(received)["answer"])


def pending_question(path: Path) -> str | None:
    """What a run that asks at this path wants to know now."""
    try:
        return str(json.loads(path.with_suffix(_SUFFIX).read_text(encoding="utf-8"))["question"])
    except (OSError, ValueError, KeyError):
        return None


def give_answer(path: Path, text: str) -> bool:
    """Answer the pending question; whether somebody took the answer."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(path))
            connection.sendall(json.dumps({"answer": text}).encode())
            return True
    except OSError:
        return False


def _publish(path: Path, question: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump({"question": question}, file)
    Path(name).replace(path)


def _user_of(connection: socket.socket) -> int:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    user: int = _CREDENTIALS.unpack(raw)[1]
    return user
