"""A private OpenSSH server on the loopback interface: own configuration, keys and port."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from installer.adapters.ssh_target import SshHop, SshTarget

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
ACCOUNT = "root" if os.geteuid() == 0 else os.environ.get("USER", "")


def why_no_sshd() -> str | None:
    if SSHD is None:
        return "openssh-server is not installed: no sshd to talk to"
    if os.geteuid() != 0:
        return "not root: sshd needs root for its sessions here"
    return None


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    options = ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, *options, "-N", passphrase, "-C", "test", "-f", path],
        check=True,
    )
    return path


def public_line(key: Path) -> str:
    """`type base64` of the key beside `key`."""
    return " ".join(Path(f"{key}.pub").read_text().split()[:2])


def fingerprint(key: Path) -> str:
    printed = subprocess.run(
        ["ssh-keygen", "-lf", f"{key}.pub"], check=True, capture_output=True, text=True
    )
    return printed.stdout.split()[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Sshd:
    """One running server. `extra` are lines of sshd_config."""

    directory: Path
    user_key: Path
    host_keys: list[Path]
    extra: str = ""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Sshd:
        self.directory.mkdir(parents=True, exist_ok=True)
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        authorized = self.directory / "authorized_keys"
        authorized.write_text(public_line(self.user_key) + "\n")
        config = self.directory / "sshd_config"
        # The first value of a keyword counts, so what a test adds comes first.
        config.write_text(
            self.extra + f"Port {self.port}\nListenAddress 127.0.0.1\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {authorized}\nStrictModes no\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin yes\n"
            "LogLevel VERBOSE\nAllowTcpForwarding yes\n"
            + "".join(f"HostKey {key}\n" for key in self.host_keys)
        )
        with (self.directory / "log").open("wb") as log:
            self.process = subprocess.Popen([str(SSHD), "-D", "-e", "-f", config], stderr=log)
        self._await_listening()
        return self

    def _await_listening(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process is not None and self.process.poll() is not None:
                break
            os.sched_yield()
        raise AssertionError((self.directory / "log").read_text())

    def sessions(self) -> list[int]:
        """Process ids of the servers' children: one a connection (the privileged half)."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def kill_sessions(self) -> None:
        """Cut every connection, as a crash of the server would."""
        for pid in self.sessions():
            below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            for each in (*below, str(pid)):
                with contextlib.suppress(ProcessLookupError):  # it may follow its child by itself
                    os.kill(int(each), signal.SIGKILL)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill_sessions()
            self.process.terminate()
            self.process.wait(10)

    def known_hosts(self, file: Path, *lines: str) -> str:
        """Write a known_hosts file: all keys of this server, or the lines given."""
        own = [f"[127.0.0.1]:{self.port} {public_line(key)}" for key in self.host_keys]
        file.write_text("\n".join(lines or own) + "\n")
        return str(file)

    @property
    def hop(self) -> SshHop:
        return SshHop("127.0.0.1", self.port, ACCOUNT)

    def target(self, known_hosts: str, **changes: object) -> SshTarget:
        values: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": ACCOUNT,
            "key_file": str(self.user_key),
            "use_agent": False,
            "known_hosts_file": known_hosts,
            "connect_timeout_s": 10.0,
        }
        return SshTarget(**{**values, **changes})  # type: ignore[arg-type]
