"""An object store with the rendered programs of its folder: a real MinIO and mc where they are
named by `DEVPLAT_TEST_MINIO_BIN` and `DEVPLAT_TEST_MC_BIN`, the stand-in's else.
"""

from __future__ import annotations

import http.client
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import s3

from installer.core.bundle import Bundle
from tests.stacks.builders import services_of

SERVER, CLIENT = "DEVPLAT_TEST_MINIO_BIN", "DEVPLAT_TEST_MC_BIN"
STANDINS = Path(s3.__file__).parent
ROOT = ("root-of-the-test", "RootPassword0123456789")
KEYS = {
    "gitea": ("0123456789abcdef0123456789abcdef", "SecretOfGitea0123456789012345678901234567"),
    "drone": ("fedcba9876543210fedcba9876543210", "SecretOfDrone0123456789012345678901234567"),
}
WAIT_S = 30


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as plug:
        plug.bind(("127.0.0.1", 0))
        return int(plug.getsockname()[1])


class World:
    """One server's folder. `programs`: of the server and its client; None for the stand-in's."""

    def __init__(
        self,
        folder: Path,
        bundle: Bundle,
        secret_files: Iterable[str],
        programs: tuple[str, str] | None,
    ) -> None:
        self.folder, self.bundle = folder, bundle
        self.address = f"127.0.0.1:{free_port()}"
        self.process: subprocess.Popen[bytes] | None = None
        for name in ("secrets", "data", "bin", "tmp", "minio"):
            (folder / name).mkdir()
        server, client = programs or (self._shim("minio"), self._shim("minio_client"))
        (folder / "bin/mc").symlink_to(client)
        self.server = server
        for path, file in bundle.files.items():
            if path.startswith("minio/"):
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(self.placed(file.data.decode()))
        for name in secret_files:
            self.secret(name, "")
        self.secret("minio_root_user", ROOT[0])
        self.secret("minio_root_password", ROOT[1])
        for name, keys in KEYS.items():
            self.secret(f"consumer_{name}", "".join(f"{key}\n" for key in keys))

    def _shim(self, module: str) -> str:
        path = self.folder / "bin" / module
        code = (
            f"import sys\nsys.path.insert(0, {str(STANDINS)!r})\n"
            f"import {module}\nsys.exit({module}.main(sys.argv))\n"
        )
        path.write_text(f"#!{sys.executable}\n{code}")
        path.chmod(0o755)
        return str(path)

    def placed(self, text: str) -> str:
        """A text of the bundle with the paths and the address of this place."""
        there = {
            "/opt/devplat": str(self.folder / "minio"),
            "/run/secrets": str(self.folder / "secrets"),
            "127.0.0.1:9000": self.address,
            "/tmp/": f"{self.folder}/tmp/",
        }
        return re.sub("|".join(map(re.escape, there)), lambda match: there[match[0]], text)

    def secret(self, name: str, text: str) -> None:
        """A secret file."""
        (self.folder / "secrets" / name).write_text(text)

    @property
    def environment(self) -> dict[str, str]:
        """The container's, as rendered."""
        rendered = services_of(self.bundle)["minio"]["environment"]
        told = {name: self.placed(str(value)) for name, value in rendered.items()}
        return {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "HOME": str(self.folder),
            **told,
            "MC_CONFIG_DIR": str(self.folder / "tmp/.mc"),
        }

    def start(self, *, healthy: bool = True, **more: str) -> None:
        """As the container does; until its consumers are there, unless it shall not be."""
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            ["/bin/sh", str(self.folder / "minio/wait-for-secrets.sh"), self.server, "server",
             "--address", self.address, str(self.folder / "data")],
            env={**self.environment, **more}, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        log.close()
        if healthy:
            self.wait_until_healthy()

    @property
    def is_healthy(self) -> bool:
        """What the health check looks at."""
        return (self.folder / "tmp/devplat-consumers").exists()

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + WAIT_S
        while not self.is_healthy:
            assert time.monotonic() < deadline, self.log()
            assert self.process and self.process.poll() is None, self.log()
            time.sleep(0.1)

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + WAIT_S
        while True:
            with suppress(OSError):
                if self.send("GET", "/minio/health/live", b"", {})[0] == 200:
                    return
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def wait_for_log(self, text: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while text not in self.log():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def stop(self) -> None:
        """End the server and whatever it started."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
            (self.folder / "tmp/devplat-consumers").unlink(missing_ok=True)  # it lies on a tmpfs

    def restart(self) -> None:
        self.stop()
        self.start()

    def run(self, program: str, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """One of the folder's programs, as a check or a proof runs it."""
        return subprocess.run(
            ["/bin/sh", str(self.folder / "minio" / program), *words],
            input=stdin, capture_output=True, text=True, check=False, env=self.environment,
        )  # fmt: skip

    def mc(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The client, as root."""
        env = {**self.environment, "MC_HOST_local": f"http://{ROOT[0]}:{ROOT[1]}@{self.address}"}
        return subprocess.run(
            [str(self.folder / "bin/mc"), *words],
            capture_output=True, text=True, check=False, env=env,
        )  # fmt: skip

    def ask(
        self, keys: tuple[str, str], method: str, path: str, body: bytes = b"", token: str = ""
    ) -> tuple[int, bytes]:
        """One signed request: status and body."""
        headers = s3.sign(method, f"http://{self.address}{path}", body, *keys)
        if token:
            headers["x-amz-security-token"] = token
        return self.send(method, path, body, headers)

    def send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request(method, path, body or None, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def assume(self, token: str, **more: str) -> tuple[int, bytes]:
        """Keys for a token of the identity provider."""
        form = {
            "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15",
            "WebIdentityToken": token, **more,
        }  # fmt: skip
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.send("POST", "/", urllib.parse.urlencode(form).encode(), kind)

    def check(self, argv: list[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A check of the manifest."""
        words = [self.placed(word) for word in argv]
        return subprocess.run(
            words, input=stdin, capture_output=True, text=True, check=False, env=self.environment
        )

    def __repr__(self) -> str:
        return f"World({shlex.quote(self.server)})"
