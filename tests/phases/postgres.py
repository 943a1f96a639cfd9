"""A real PostgreSQL server in a temporary directory, with the product's access rules."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from installer.adapters.issued import serialise_issued
from installer.adapters.private_authority import issue_certificate, make_private_ca
from installer.ports import Completed
from tests.stacks.builders import make

ACCOUNT = "postgres"
"""Account of the system that the server runs as; the superuser is let in under this name only."""


def why_no_postgres() -> str | None:
    """Why a server cannot be run here, or None."""
    if os.geteuid() != 0:
        return "the server runs under another account, which needs root"
    if find_programs() is None:
        return "PostgreSQL's server programs are not installed"
    try:
        pwd.getpwnam(ACCOUNT)
    except KeyError:
        return f"there is no account {ACCOUNT}"
    return None


def find_programs() -> Path | None:
    """The newest directory with `initdb` in it."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def render_access_rules() -> str:
    """The `pg_hba.conf` of the product, over TCP on loopback and by the socket."""
    return make("everything")[1].files["postgres/pg_hba.conf"].data.decode()


def make_certificate(folder: Path) -> str:
    """A certificate for loopback, for the server's account; the settings that name it."""
    now = datetime.now(UTC)
    authority = make_private_ca("cluster", ["localhost", "127.0.0.1"], now, os.urandom)
    issued = issue_certificate(authority, ["localhost", "127.0.0.1"], now, os.urandom)
    file, owner = folder / "tls.pem", pwd.getpwnam(ACCOUNT)
    file.write_text(serialise_issued(issued).reveal())
    file.chmod(0o400)
    os.chown(file, owner.pw_uid, owner.pw_gid)
    return f"-c ssl=on -c ssl_cert_file={file} -c ssl_key_file={file}"


@dataclass
class Cluster:
    """One server. `exec` is the engine's: the provider's programs run as its account."""

    folder: Path
    programs: Path
    port: int = 0

    def start(self) -> Cluster:
        owner = pwd.getpwnam(ACCOUNT)
        self.folder.mkdir(parents=True)
        os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        data = self.folder / "data"
        self._run(str(self.programs / "initdb"), "-D", str(data), "--auth-host=scram-sha-256")
        (data / "pg_hba.conf").write_text(render_access_rules())
        settings = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        settings += f" {make_certificate(self.folder)}"  # the rules let nobody in without TLS
        log = str(self.folder / "log")
        self._run(
            str(self.programs / "pg_ctl"), "-D", str(data), "-o", settings, "-l", log, "-w", "start"
        )
        return self

    def stop(self) -> None:
        self._run(
            str(self.programs / "pg_ctl"), "-D", str(self.folder / "data"), "-m", "fast", "stop"
        )

    @property
    def log(self) -> str:
        """What the server wrote so far."""
        return (self.folder / "log").read_text()

    def exec(
        self, project: object, service: str, argv: tuple[str, ...], *, stdin: bytes = b""
    ) -> Completed:
        """As `Engine.exec`, inside the provider."""
        return self._try([*argv], stdin)

    def superuser(self, sql: str, database: str = "postgres") -> str:
        """Run SQL by the socket."""
        done = self._try(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database], sql.encode())
        assert done.status == 0, done.error_text
        return done.text.strip()

    def log_in(self, user: str, password: str, database: str, sql: str = "SELECT 1") -> Completed:
        """Run SQL over TCP, as a client of the platform does."""
        argv = [
            "psql",
            "-XqAtw",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-U",
            user,
            "-d",
            database,
        ]
        return self._try(argv, sql.encode(), PGPASSWORD=password)

    def open_session(self, user: str, password: str, database: str) -> subprocess.Popen[bytes]:
        """A client that stays connected; has said so before this returns."""
        argv = ["psql", "-XqAtw", "-h", "127.0.0.1", "-U", user, "-d", database]
        session = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=self._environment(PGPASSWORD=password),
        )  # fmt: skip
        assert session.stdin and session.stdout
        session.stdin.write(b"SELECT 'here';\n")
        session.stdin.flush()
        assert session.stdout.readline() == b"here\n"
        return session

    def _environment(self, **more: str) -> dict[str, str]:
        return {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "PGHOST": str(self.folder),
            "PGPORT": str(self.port),
            "LC_ALL": "C",
            "DATABASE_HOST": "127.0.0.1",
            "DATABASE_MAINTENANCE": "postgres",
            **more,
        }

    def _try(self, argv: list[str], stdin: bytes, **environment: str) -> Completed:
        done = subprocess.run(
            ["runuser", "-u", ACCOUNT, "--", *argv],
            input=stdin, capture_output=True, check=False, cwd=self.folder,
            env=self._environment(**environment),
        )  # fmt: skip
        return Completed(done.returncode, done.stdout, done.stderr)

    def _run(self, *argv: str) -> None:
        # Its output goes to a file: the server keeps what it inherits open.
        with (self.folder / "setup.log").open("ab") as log:
            subprocess.run(
                ["runuser", "-u", ACCOUNT, "--", *argv],
                check=True, stdout=log, stderr=log, cwd=self.folder, env=self._environment(),
            )  # fmt: skip


@contextmanager
def run_cluster() -> Iterator[Cluster]:
    """A server for a while; skips the test, and says why, where there are no programs for it."""
    reason, programs = why_no_postgres(), find_programs()
    if reason or programs is None:
        pytest.skip(reason or "no programs")
    # not below pytest's own directory, which the server's account may not enter
    with tempfile.TemporaryDirectory(prefix="devplat-postgres-") as folder:
        Path(folder).chmod(0o711)
        cluster = Cluster(Path(folder) / "postgres", programs).start()
        try:
            yield cluster
        finally:
            cluster.stop()
