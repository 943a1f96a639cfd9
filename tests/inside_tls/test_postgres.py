"""PostgreSQL with the rendered settings on loopback: by TLS only, verified by every client."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.inside_tls.lab import Lab, free_port, in_place, serving
from tests.phases.postgres import ACCOUNT, find_programs, why_no_postgres

pytestmark = pytest.mark.slow
needs_server = pytest.mark.skipif(why_no_postgres() is not None, reason=str(why_no_postgres()))


class Server:
    """A running one, with its rules and what of its settings is about connections."""

    def __init__(self, lab: Lab) -> None:
        programs = find_programs()
        assert programs is not None
        self.lab, self.programs, self.port = lab, programs, free_port()
        self.secrets = lab.secrets_of("postgres")
        owner = pwd.getpwnam(ACCOUNT)
        lab.folder.chmod(0o755)
        for path in (self.secrets, *self.secrets.iterdir()):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        self.place = lab.folder / "postgres"
        self.place.mkdir()
        os.chown(self.place, owner.pw_uid, owner.pw_gid)

    @contextmanager
    def running(self) -> Iterator[Server]:
        data = self.place / "data"
        done = self.client("initdb", "-D", str(data), "--auth-host=scram-sha-256")
        assert done.returncode == 0, done.stderr
        rules = self.lab.rendered("postgres/pg_hba.conf")
        (data / "pg_hba.conf").write_text(rules)
        settings = {
            name: in_place(value.strip(" '"), self.secrets)
            for name, value in re.findall(
                r"^(ssl\w*|password_encryption) = (.+)$",
                self.lab.rendered("postgres/postgresql.conf"),
                re.M,
            )
        }
        assert settings["ssl"] == "on"
        settings |= {"port": str(self.port), "unix_socket_directories": str(self.place)}
        settings["listen_addresses"] = "127.0.0.1,127.0.0.2"
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        argv = [
            "runuser", "-u", ACCOUNT, "--", str(self.programs / "postgres"), "-D", str(data), *words
        ]  # fmt: skip
        with serving(argv, self.is_up, cwd=self.place):
            for line in ("CREATE ROLE coder", "CREATE DATABASE coder OWNER coder"):
                self.sql(line)
            login, password = self.login
            self.sql(f"CREATE ROLE {login} LOGIN PASSWORD '{password}' IN ROLE coder")
            yield self

    @property
    def url(self) -> str:
        """Coder's, as it is rendered."""
        place = self.lab.secrets_of("coder")
        return in_place((place / "CODER_PG_CONNECTION_URL").read_text(), place)

    @property
    def login(self) -> tuple[str, str]:
        parts = urlsplit(self.url)
        return str(parts.username), str(parts.password)

    def is_up(self) -> bool:
        return self.client("psql", "-XqAt", "-d", "postgres", "-c", "SELECT 1").returncode == 0

    def sql(self, text: str) -> None:
        done = self.client("psql", "-XqAt", "-d", "postgres", "-c", text)
        assert done.returncode == 0, done.stderr

    def client(
        self, *argv: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A program as the server's account, by the socket unless it is told otherwise."""
        path = f"{self.programs}:{os.environ['PATH']}"
        given = {"PATH": path, "PGHOST": str(self.place), "PGPORT": str(self.port), "LC_ALL": "C"}
        return subprocess.run(
            ["runuser", "-u", ACCOUNT, "--", *argv], cwd=self.place, check=False, timeout=60,
            env={**given, **(environment or {})}, capture_output=True, text=True,
        )  # fmt: skip

    def ask(self, url: str) -> subprocess.CompletedProcess[str]:
        """Who is asked, and how, by a client with some URL."""
        text = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        return self.client("psql", "-XqAtw", url, "-c", text)

    def inside(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """A program as it runs in the container, with the environment that the service has."""
        environment = {
            name: in_place(str(value), self.secrets)
            for name, value in self.lab.fragment("postgres")["environment"].items()
            if name.startswith("PGSSL")
        }
        return self.client(*argv, environment=environment)

    def is_healthy(self) -> bool:
        _, *words = self.lab.fragment("postgres")["healthcheck"]["test"]
        return self.inside(*words).returncode == 0

    def smoke(self) -> tuple[str, bool]:
        """What the smoke test says, and whether it is as expected."""
        checks = self.lab.plan.manifest("postgres").checks
        check = next(c for c in checks if c.id == "postgres-verified")
        *shell, script = check.argv
        said = self.inside(*shell, script.replace("host=postgres", "host=localhost")).stdout
        return said, re.search(check.expect, said, re.M) is not None


def here(url: str, server: Server, host: str = "localhost") -> str:
    assert "@postgres:5432/" in url
    return url.replace("@postgres:5432/", f"@{host}:{server.port}/")


@contextmanager
def a_lab() -> Iterator[Lab]:
    # not below pytest's own directory, which the server's account may not enter
    folder = Path(tempfile.mkdtemp(prefix="devplat-tls-"))
    try:
        yield Lab(folder)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with a_lab() as lab, Server(lab).running() as running_one:
        yield running_one


def readable(lab: Lab, file: Path) -> str:
    """A file of roots that the client's account may read."""
    copy = lab.folder / "roots.pem"
    copy.unlink(missing_ok=True)
    copy.write_text(file.read_text())
    copy.chmod(0o644)
    return str(copy)


def trusting(url: str, roots: str) -> str:
    given = parse_qs(urlsplit(url).query)
    assert given["sslmode"] == ["verify-full"]
    return url.replace(given["sslrootcert"][0], roots)


@needs_server
def test_a_client_with_the_rendered_url_is_let_in_by_tls(server: Server) -> None:
    roots = readable(server.lab, server.lab.secrets_of("coder") / "database_roots.pem")
    done = server.ask(trusting(here(server.url, server), roots))
    assert done.stdout.strip() == "t", done.stderr


@needs_server
def test_clear_text_and_other_roots_and_other_names_are_refused(server: Server) -> None:
    """TL-17."""
    roots = readable(server.lab, server.lab.secrets_of("coder") / "database_roots.pem")
    right = trusting(here(server.url, server), roots)
    plain = server.ask(f"{right.partition('?')[0]}?sslmode=disable")
    assert plain.returncode != 0 and "no encryption" in plain.stderr
    with a_lab() as other:
        foreign = readable(other, other.secrets_of("coder") / "database_roots.pem")
        other.folder.chmod(0o755)
        wrong = server.ask(trusting(here(server.url, server), foreign))
        assert wrong.returncode != 0 and "certificate verify failed" in wrong.stderr
    elsewhere = server.ask(trusting(here(server.url, server, "127.0.0.2"), roots))
    assert elsewhere.returncode != 0 and "does not match host name" in elsewhere.stderr


@needs_server
def test_the_smoke_test_and_the_health_check_pass(server: Server) -> None:
    said, is_expected = server.smoke()
    assert is_expected, said
    assert server.is_healthy()


@needs_server
def test_the_smoke_test_finds_a_certificate_of_another_authority() -> None:
    """It runs on, healthy: the apply that renews its certificate waits for its health first."""
    with a_lab() as mine, a_lab() as other:
        mine.replace("postgres-certificate", by=other)
        with Server(mine).running() as wrong:
            said, is_expected = wrong.smoke()
            assert not is_expected
            assert "certificate verify failed" in said
            assert wrong.is_healthy()
