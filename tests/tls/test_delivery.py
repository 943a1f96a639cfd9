"""A renewed certificate is delivered when the edge's container sees another one (TL-20)."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any, cast

import pytest

from installer.core.layout import Layout
from installer.core.secrets import Secret
from installer.phases.deliver import stale_edge_files
from installer.ports import Ports
from tests.tls.test_rendered_tls import PRIVATE, acme_plan, plan_for

CHAIN, KEY = "a certificate\n", "a key\n"
FILES = {"tls_fullchain.pem": CHAIN, "tls_key.pem": KEY}


class Engine:
    """A container whose files have these contents."""

    def __init__(self, **contents: str) -> None:
        self.contents = contents

    def exec(self, project: object, service: str, argv: list[str], **_: object) -> Any:
        assert service == "traefik"
        assert argv[0] == "sha256sum"
        lines = [
            f"{hashlib.sha256(self.contents[path.rpartition('/')[2]].encode()).hexdigest()}  {path}"
            for path in argv[1:]
            if path.rpartition("/")[2] in self.contents
        ]
        return SimpleNamespace(text="\n".join(lines))


def ports(engine: Engine, credentials: dict[str, Secret] | None = None) -> Ports:
    material = SimpleNamespace(fullchain_pem=CHAIN.encode(), key=Secret(KEY), roots_pem=None)
    issuer = SimpleNamespace(current=lambda names: material, credentials=credentials or {})
    return cast(Ports, SimpleNamespace(engine=engine, certificates=issuer))


@pytest.mark.parametrize(
    ("seen", "stale"),
    [
        (FILES, set()),
        ({**FILES, "tls_fullchain.pem": "the old one\n"}, {"tls_fullchain.pem"}),
        ({"tls_key.pem": KEY}, {"tls_fullchain.pem"}),
        ({}, set(FILES)),
    ],
)
def test_what_the_container_does_not_see_is_stale(seen: dict[str, str], stale: set[str]) -> None:
    found = stale_edge_files(plan_for(PRIVATE), Layout("/opt/d", "/var/d"), ports(Engine(**seen)))
    assert set(found) == {f"traefik/{name}" for name in stale}


def test_credentials_of_a_provider_are_delivered_the_same_way() -> None:
    plan = acme_plan(credentials={"AWS_REGION": "env:R"})
    layout, given = Layout("/opt/d", "/var/d"), {"AWS_REGION": Secret("eu")}
    assert stale_edge_files(plan, layout, ports(Engine(AWS_REGION="eu"), given)) == {}
    assert set(stale_edge_files(plan, layout, ports(Engine(), given))) == {"traefik/AWS_REGION"}
    assert stale_edge_files(acme_plan(), layout, ports(Engine())) == {}
