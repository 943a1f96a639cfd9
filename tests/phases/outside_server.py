"""A real PostgreSQL server outside the platform: TLS only, an administrator without superuser.

Of this machine's version by the machine's programs; of the version that the images have out of
Debian packages in a directory of their own, because from 16 on CREATEROLE means less.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from installer.adapters.issued import serialise_issued
from installer.adapters.private_authority import issue_certificate, make_private_ca
from installer.ports import Completed
from tests.phases.postgres import ACCOUNT, find_programs, why_no_postgres
from tests.testbed.commands import TestbedError
from tests.testbed.packages import SUITE, Apt, find_mirror
from tests.testbed.places import find_places

HOST = "db.company.com"
ADMIN, PASSWORD = "master", r"a:long\pass'word #1"
OWNER = 999
"""Account of a server that runs in a directory of its own."""
IMAGES = "17"
"""Major version of the images."""
_UNUSED = (
    "usr/share/doc",
    "usr/lib/*/libLLVM*",
    "usr/lib/*/libz3*",
    "usr/lib/llvm*",
    "usr/lib/postgresql/*/lib/bitcode",
    "usr/lib/postgresql/*/lib/llvmjit*",
)


@dataclass(frozen=True)
class Programs:
    """Where a server's programs are: in this machine's root, or in another one."""

    folder: str
    root: Path = Path("/")

    @property
    def owner(self) -> int:
        return OWNER if self.root != Path("/") else pwd.getpwnam(ACCOUNT).pw_uid

    def argv(self, program: str, *arguments: str) -> list[str]:
        """A program as the server's account."""
        if self.root == Path("/"):
            return ["runuser", "-u", ACCOUNT, "--", program, *arguments]
        return ["chroot", f"--userspec={OWNER}:{OWNER}", str(self.root), program, *arguments]


def find_server_programs(version: str) -> Programs:
    """Skips, and says why, where there are none; where engine tests are required, so are these."""
    if version == "machine":
        found = find_programs()
        if (reason := why_no_postgres()) or found is None:
            pytest.skip(reason or "no programs")
        return Programs(str(found))
    if os.geteuid() != 0:
        pytest.skip("a server in a directory of its own needs root")
    try:
        root = _unpack(find_places().cache / f"postgres-{version}-{SUITE}", version)
    except (TestbedError, OSError) as error:
        if os.environ.get("DEVPLAT_REQUIRE_ENGINE") == "1":
            raise
        pytest.skip(f"PostgreSQL {version} cannot be fetched: {error}")
    return Programs(f"/usr/lib/postgresql/{version}/bin", root)


def _unpack(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    root = folder / "root"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if root.is_dir():
            return root
        apt, made = Apt(folder / "apt", find_mirror()), folder / "root.new"
        tools = ("dash", "coreutils", "grep", "sed", "tar", "diffutils", "findutils")
        packages = (f"postgresql-{version}", f"postgresql-client-{version}", *tools)
        apt.update()
        names = apt.closure(packages)
        apt.download(packages)
        shutil.rmtree(made, ignore_errors=True)
        for name in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "dev", "tmp"):
            (made / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (made / name).symlink_to(f"usr/{name}")
        for name in names:
            # through tar: the links above stay what they are
            subprocess.run(
                f"dpkg-deb --fsys-tarfile '{apt.path(name)}'"
                f" | tar -x -C '{made}' --keep-directory-symlink",
                shell=True, check=True,
            )  # fmt: skip
        (made / "tmp").chmod(0o1777)
        (made / "etc/passwd").write_text(f"postgres:x:{OWNER}:{OWNER}::/tmp:/bin/sh\n")
        os.mknod(made / "dev/null", 0o20666, os.makedev(1, 3))
        (made / "dev/null").chmod(0o666)
        if not (made / "usr/bin/sh").exists():
            (made / "usr/bin/sh").symlink_to("dash")
        for pattern in _UNUSED:
            for path in made.glob(pattern):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        shutil.rmtree(folder / "apt")
        made.rename(root)
    return root


@dataclass
class OutsideServer:
    """One server, and `exec` as the engine's: programs run with what the container has."""

    programs: Programs
    folder: str
    port: int = 0
    container: dict[str, str] = field(default_factory=dict)

    @property
    def outer(self) -> Path:
        """The folder as this process sees it."""
        return self.programs.root / self.folder.lstrip("/")

    def start(self, *, tls: bool = True) -> OutsideServer:
        self.outer.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._certify()
        os.chown(self.outer, self.programs.owner, self.programs.owner)
        self.run("initdb", "-D", f"{self.folder}/data", "-U", "root_of_server", "--auth=trust")
        kind = "hostssl" if tls else "host"
        (self.outer / "data/pg_hba.conf").write_text(
            f"local all root_of_server trust\n{kind} all all 127.0.0.1/32 scram-sha-256\n"
        )
        pem = f"{self.folder}/server.pem"
        files = f"-c ssl_cert_file={pem} -c ssl_key_file={pem}"
        settings = (
            f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
            f" -c password_encryption=scram-sha-256 -c ssl={'on' if tls else 'off'} {files}"
        )
        self.run(
            "pg_ctl", "-D", f"{self.folder}/data", "-o", settings, "-l", f"{self.folder}/log",
            "-w", "start",
        )  # fmt: skip
        return self

    def stop(self) -> None:
        self.run("pg_ctl", "-D", f"{self.folder}/data", "-m", "fast", "stop")

    @property
    def major(self) -> int:
        return int(self.superuser("SHOW server_version_num")) // 10000

    def make_admin(self, name: str = ADMIN, rights: str = "CREATEROLE CREATEDB") -> None:
        """As the master user of a managed server: no superuser, and may give its own roles away."""
        quoted = PASSWORD.replace("'", "''")
        self.superuser(f"CREATE ROLE {name} LOGIN {rights} PASSWORD '{quoted}'")
        self.superuser(f"GRANT pg_monitor, pg_read_all_data TO {name} WITH ADMIN OPTION")

    def superuser(self, sql: str, database: str = "postgres") -> str:
        """Run SQL by the socket."""
        argv = ["-U", "root_of_server", "-h", self.folder, "-d", database]
        done = self._psql(argv, sql, {})
        assert done.status == 0, done.error_text
        return done.text.strip()

    def log_in(self, user: str, password: str, database: str, sql: str = "SELECT 1") -> Completed:
        """Run SQL over TLS, as a client of the platform does."""
        argv = ["-U", user, "-h", HOST, "-d", database]
        return self._psql(argv, sql, {**self.container, "PGPASSWORD": password})

    def open_session(self, user: str, password: str, database: str) -> subprocess.Popen[bytes]:
        """A client that stays connected; has said so before this returns."""
        argv = self.programs.argv(
            f"{self.programs.folder}/psql", "-XqAtw", "-U", user, "-h", HOST, "-d", database
        )
        session = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=self._environment({**self.container, "PGPASSWORD": password}),
        )  # fmt: skip
        assert session.stdin and session.stdout
        session.stdin.write(b"SELECT 'here';\n")
        session.stdin.flush()
        assert session.stdout.readline() == b"here\n"
        return session

    def exec(
        self, project: object, service: str, argv: tuple[str, ...], *, stdin: bytes = b""
    ) -> Completed:
        """As `Engine.exec`, inside the client's container."""
        program = f"/bin/{argv[0]}" if argv[0] == "sh" else f"{self.programs.folder}/{argv[0]}"
        return self._try(self.programs.argv(program, *argv[1:]), stdin, self.container)

    def script(self, path: str, *arguments: str, stdin: bytes = b"", **more: str) -> Completed:
        """Run a script inside, with what its container has."""
        argv = self.programs.argv("/bin/sh", path, *arguments)
        return self._try(argv, stdin, {**self.container, **more})

    def run(self, program: str, *arguments: str) -> None:
        # Its output goes to a file: the server keeps what it inherits open.
        with (self.outer / "setup.log").open("ab") as log:
            subprocess.run(
                self.programs.argv(f"{self.programs.folder}/{program}", *arguments),
                check=True, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                cwd="/", env=self._environment({}),
            )  # fmt: skip

    def write(self, name: str, text: str) -> str:
        """A file that only the server's account reads; its path inside."""
        file = self.outer / name
        file.write_text(text)
        file.chmod(0o400)
        os.chown(file, self.programs.owner, self.programs.owner)
        return f"{self.folder}/{name}"

    def _certify(self) -> None:
        now = datetime.now(UTC)
        for name in ("", "other-"):
            authority = make_private_ca(f"{name}company", [HOST], now, os.urandom)
            roots = authority.certificate.public_bytes(Encoding.PEM).decode()
            self.write(f"{name}roots.pem", roots)
            if not name:
                issued = issue_certificate(authority, [HOST], now, os.urandom)
                self.write("server.pem", serialise_issued(issued).reveal())

    def _psql(self, argv: list[str], sql: str, environment: Mapping[str, str]) -> Completed:
        program = f"{self.programs.folder}/psql"
        plain = ("-XqAtw", "-v", "ON_ERROR_STOP=1")
        return self._try(self.programs.argv(program, *plain, *argv), sql.encode(), environment)

    def _try(self, argv: list[str], stdin: bytes, environment: Mapping[str, str]) -> Completed:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, check=False, cwd="/",
            env=self._environment(environment),
        )  # fmt: skip
        return Completed(done.returncode, done.stdout, done.stderr)

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        path = f"{self.programs.folder}:{os.environ['PATH']}"
        return {"PATH": path, "LC_ALL": "C", **more, "PGPORT": str(self.port)}


@contextmanager
def run_outside(version: str, *, tls: bool = True) -> Iterator[OutsideServer]:
    """A server for a while."""
    programs = find_server_programs(version)
    with tempfile.TemporaryDirectory(prefix="devplat-outside-", dir=programs.root / "tmp") as made:
        Path(made).chmod(0o711)
        inside = f"/tmp/{Path(made).name}"
        server = OutsideServer(programs, f"{inside}/server").start(tls=tls)
        try:
            yield server
        finally:
            server.stop()
