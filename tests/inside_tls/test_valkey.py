"""Valkey with the rendered configuration on loopback: by TLS only, verified by every client."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from installer.core.secrets import expand
from tests.inside_tls.lab import Lab, free_port, in_place, listens, serving
from tests.inside_tls.programs import valkey
from tests.monitoring.programs import program, running

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "standins"))

import resp
from standin import Refused

pytestmark = pytest.mark.slow


class Server:
    """A running one; clients see it as `localhost`, a name of its certificate."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.port = free_port()
        self.secrets = lab.secrets_of("redis")
        self.programs = lab.folder / "bin"
        self.programs.mkdir(exist_ok=True)
        cli = self.programs / "valkey-cli"
        cli.write_text(f'#!/bin/sh\nexec {valkey() / "valkey-cli"} -p {self.port} "$@"\n')
        cli.chmod(0o755)

    @contextmanager
    def running(self) -> Iterator[Server]:
        data = self.lab.folder / "data"
        data.mkdir(exist_ok=True)
        text = in_place(self.lab.rendered("redis/valkey.conf"), self.secrets)
        text = text.replace("dir /data", f"dir {data}").replace("6379", str(self.port))
        configuration = self.lab.folder / "valkey.conf"
        configuration.write_text(text)
        argv = [str(valkey() / "valkey-server"), str(configuration)]
        with serving(argv, lambda: listens(self.port)):
            yield self

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        """A script as it runs inside the container."""
        path = f"{self.programs}:{os.environ['PATH']}"
        return subprocess.run(
            ["/bin/sh", "-c", in_place(script, self.secrets)],
            capture_output=True, text=True, check=False, env={"PATH": path}, timeout=30,
        )  # fmt: skip

    def is_healthy(self) -> bool:
        kind, script = self.lab.fragment("redis")["healthcheck"]["test"]
        assert kind == "CMD-SHELL"
        return self.shell(script).returncode == 0

    def url(self, lab: Lab, file: str) -> str:
        """A connection string of Git's, as it would be for a server here."""
        text = (lab.secrets_of("gitea") / file).read_text()
        assert "@redis:6379/" in text
        return text.replace("@redis:6379/", f"@localhost:{self.port}/")

    def measured(self, lab: Lab) -> str:
        """What the exporter says of the server, with the environment it is rendered with."""
        secrets, port = lab.secrets_of("redis-exporter"), free_port()
        passwords = (secrets / "passwords.json").read_text()
        (secrets / "passwords.json").unlink()
        here = f"localhost:{self.port}"
        (secrets / "passwords.json").write_text(passwords.replace("redis:6379", here))
        environment = {
            name: in_place(str(value), secrets)
            for name, value in lab.fragment("redis-exporter")["environment"].items()
        }
        assert environment["REDIS_ADDR"] == "rediss://redis:6379"
        environment |= {
            "REDIS_ADDR": f"rediss://{here}",
            "REDIS_EXPORTER_WEB_LISTEN_ADDRESS": f"127.0.0.1:{port}",
        }
        argv = [str(program("prometheus-redis-exporter"))]
        address = f"http://127.0.0.1:{port}"
        with (
            running(argv, f"{address}/health", environment),
            urllib.request.urlopen(f"{address}/metrics", timeout=20) as answer,
        ):
            lines = answer.read().decode().splitlines()
        return next(line for line in lines if line.startswith("redis_up "))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Another platform, with passwords and an authority of its own."""
    return Lab(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def server(lab: Lab) -> Iterator[Server]:
    with Server(lab).running() as running_one:
        yield running_one


@pytest.fixture
def trusts(monkeypatch: pytest.MonkeyPatch):
    """Makes a platform's Git trust what it is rendered to trust."""

    def trust(lab: Lab) -> None:
        folder = lab.fragment("gitea")["environment"]["SSL_CERT_DIR"]
        assert folder == "/run/secrets"
        monkeypatch.setenv("SSL_CERT_DIR", str(lab.secrets_of("gitea")))

    return trust


def test_the_health_check_and_the_smoke_tests_speak_tls(server: Server, lab: Lab) -> None:
    assert server.is_healthy()
    found = {}
    for check in lab.plan.manifest("redis").checks:
        words = [in_place(word, server.secrets) for word in check.argv]
        values = {name: v[-1] for name, v in lab.store.values.items()}
        done = subprocess.run(
            words, input=expand(check.stdin, values).reveal(), capture_output=True, text=True,
            env={"PATH": f"{server.programs}:{os.environ['PATH']}"}, check=False, timeout=30,
        )  # fmt: skip
        found[check.id] = done.stdout
    assert "key-seen" in found["redis-key"]
    assert "NOAUTH" in found["redis-anonymous"]
    assert re.search("ended with [1-9]", found["redis-plain"])


def test_nothing_is_said_in_clear_text(server: Server) -> None:
    done = server.shell("timeout 5 valkey-cli ping")
    assert done.returncode != 0
    assert "PONG" not in done.stdout
    # an old version of the protocol is clear text to whoever has time
    old = server.shell(
        "openssl s_client -connect 127.0.0.1:"
        f"{server.port} -CAfile /run/secrets/redis_ca.pem -tls1_1 -cipher DEFAULT@SECLEVEL=0"
        " </dev/null"
    )
    assert old.returncode != 0


def test_git_is_let_in_and_verifies_whom_it_talks_to(server, lab, other, trusts) -> None:
    trusts(lab)
    for file in ("redis_cache", "redis_session", "redis_queue"):
        resp.check_redis(server.url(lab, file), file)
    with pytest.raises(Refused, match=r"(?i)ssl|closed|reset|dial"):
        resp.check_redis(server.url(lab, "redis_cache").replace("rediss", "redis"), "plain")
    trusts(other)
    with pytest.raises(Refused, match="CERTIFICATE_VERIFY_FAILED"):
        resp.check_redis(server.url(lab, "redis_cache"), "cache")


def test_a_certificate_for_another_name_is_refused(tmp_path, trusts) -> None:
    mine = Lab(tmp_path)
    mine.replace("redis-certificate", hosts=("127.0.0.1",))
    trusts(mine)
    with Server(mine).running() as wrong:
        assert wrong.is_healthy()  # its own check goes by the address
        with pytest.raises(Refused, match=r"(?i)hostname mismatch"):
            resp.check_redis(wrong.url(mine, "redis_cache"), "cache")
        assert wrong.measured(mine) == "redis_up 0"


def test_the_health_check_finds_a_certificate_of_another_authority(tmp_path, other, trusts) -> None:
    mine = Lab(tmp_path)
    mine.replace("redis-certificate", by=other)
    trusts(mine)
    with Server(mine).running() as wrong:
        assert not wrong.is_healthy()
        with pytest.raises(Refused, match="CERTIFICATE_VERIFY_FAILED"):
            resp.check_redis(wrong.url(mine, "redis_cache"), "cache")


def test_the_exporter_measures_what_it_has_verified_only(server, lab, other) -> None:
    assert server.measured(lab) == "redis_up 1"
    assert measured_with_roots_of(server, lab, other) == "redis_up 0"


def measured_with_roots_of(server: Server, lab: Lab, other: Lab) -> str:
    """The exporter with our password and somebody else's roots."""
    mixed = Lab(lab.folder / "mixed")
    mixed.store.values = {**lab.store.values, "redis-roots": other.store.values["redis-roots"]}
    return server.measured(mixed)
