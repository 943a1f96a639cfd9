"""How engines of workspace hosts are looked at: over real TLS, each defect seen for what it is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from installer.adapters import remote_engine
from installer.adapters.remote_engine import TlsEngineProbe
from installer.core.workspace_engines import EngineAddress, EngineSight, EngineTrust
from tests.workspaces.lab import Authority, Pair, serve_engine

OURS, OTHER = Authority(), Authority("others")
CLIENT = OURS.issue()
HERE = ("127.0.0.1", "localhost")


@pytest.fixture(autouse=True)
def no_plain_engine_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Port 2375 of the machine is nobody's business here; port 1 is closed."""
    monkeypatch.setattr(remote_engine, "PLAIN_PORT", 1)


def look(port: int, trust: EngineTrust | None = None, host: str = "127.0.0.1") -> EngineSight:
    probe = TlsEngineProbe(lambda: datetime.now(UTC))
    return probe.look(EngineAddress(host, port), trust or OURS.trust(CLIENT))


def test_a_sound_engine_tells_itself_and_lets_nobody_else_in(tmp_path: Path) -> None:
    with serve_engine(tmp_path, OURS.issue(*HERE), OURS.pem) as port:
        sight = look(port)
    assert (sight.problem, sight.open_to) == (None, ())
    assert (sight.api, sight.tls) == ("1.51", "TLSv1.3")
    assert sight.host is not None
    assert (sight.host.cpus, sight.host.memory_mib, sight.host.driver) == (16, 65536, "overlay2")
    assert sight.host.architecture == "amd64"
    assert sight.certificate_until is not None
    assert sight.certificate_until > datetime.now(UTC) + timedelta(days=50)


@pytest.mark.parametrize(
    ("server", "clients", "trust", "code"),
    [
        (OTHER.issue(*HERE), OURS.pem, None, "workspaces.untrusted"),
        (OURS.issue(*HERE, ends=-timedelta(hours=1)), OURS.pem, None, "workspaces.expired"),
        (OURS.issue("ws1.company.com"), OURS.pem, None, "workspaces.name"),
        (OURS.issue(*HERE), OTHER.pem, None, "workspaces.client_refused"),
        (None, "", None, "workspaces.client_refused"),
        (
            OURS.issue(*HERE),
            OURS.pem,
            OURS.trust(OURS.issue(ends=-timedelta(hours=1))),
            "workspaces.client_expired",
        ),
        (
            OURS.issue(*HERE),
            OURS.pem,
            OURS.trust(Pair(CLIENT.certificate, OURS.issue().key)),
            "workspaces.key_mismatch",
        ),
    ],
)
def test_each_defect_of_a_certificate_has_a_name(
    tmp_path: Path, server: Pair | None, clients: str, trust: EngineTrust | None, code: str
) -> None:
    with serve_engine(tmp_path, server, clients) as port:
        sight = look(port, trust)
    assert sight.problem is not None
    assert sight.problem.code == code
    assert sight.host is None
    assert "PRIVATE KEY" not in str(sight)


@pytest.mark.parametrize(
    ("server", "clients", "ways"),
    [
        (OURS.issue(*HERE), "", ("over TLS without a client's certificate",)),
        (None, "", ("without TLS on port",)),
        (OURS.issue(*HERE), OURS.pem, ()),
    ],
)
def test_an_engine_that_answers_strangers_is_seen(
    tmp_path: Path, server: Pair | None, clients: str, ways: tuple[str, ...]
) -> None:
    with serve_engine(tmp_path, server, clients) as port:
        sight = look(port)
    assert len(sight.open_to) == len(ways)
    assert all(seen.startswith(way) for seen, way in zip(sight.open_to, ways, strict=True))


def test_a_second_door_without_tls_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is told `-H tcp://0.0.0.0:2375` beside the port with TLS."""
    with (
        serve_engine(tmp_path, OURS.issue(*HERE), OURS.pem) as port,
        serve_engine(tmp_path, None) as plain,
    ):
        monkeypatch.setattr(remote_engine, "PLAIN_PORT", plain)
        sight = look(port)
    assert sight.problem is None
    assert sight.open_to == (f"without TLS on port {plain}",)


def test_an_engine_that_is_not_there_or_has_no_name_is_told() -> None:
    silent, unknown = look(1), look(2376, host="ws1.invalid")
    assert silent.problem is not None
    assert silent.problem.code == "workspaces.unreachable"
    assert unknown.problem is not None
    assert unknown.problem.code == "workspaces.unresolved"


@pytest.mark.parametrize(
    ("api", "info", "asked"), [("1.30", {}, False), ("1.41", {"ServerVersion": "20.10"}, True)]
)
def test_an_old_engine_is_told_by_its_version(
    tmp_path: Path, api: str, info: Mapping[str, Any], asked: bool
) -> None:
    with serve_engine(tmp_path, OURS.issue(*HERE), OURS.pem, api=api, info=info) as port:
        sight = look(port)
    assert (sight.problem, sight.api) == (None, api)
    assert (sight.host is not None) == asked
