"""Engines of workspace hosts: what they say is read, and what may be waived of it."""

from __future__ import annotations

import pytest

from installer.core.checks import RULES, judge_rule
from installer.core.events import Outcome
from installer.core.workspace_engines import parse_engine, read_engine_info
from tests.preflight.builders import sound_facts, sound_needs, sound_sight
from tests.workspaces.lab import INFO


def test_too_small_can_be_waived_and_open_to_all_cannot() -> None:
    small = sound_sight(of_host={"cpus": 8}, open_to=("without TLS",))
    facts = sound_facts(workspaces=(small,))
    needs = sound_needs(waivers={"workspaces.cpus": "a trial", "workspaces.open": "never mind"})
    rules = [rule for rule in RULES if rule.id.startswith("PF-WORKSPACES")]
    results = [result for rule in rules for result in judge_rule(rule, facts, needs)]
    found = {(r.problem.code, r.outcome) for r in results if r.problem}
    assert found == {
        ("workspaces.cpus", Outcome.WAIVED),
        ("workspaces.open", Outcome.FAIL),
    }


@pytest.mark.parametrize(
    ("driver", "status", "gib"),
    [
        ("overlay2", [["Backing Filesystem", "extfs"]], None),
        ("devicemapper", [["Data Space Available", "107.4GB"]], 100),
        ("zfs", [["Space Available", "1073741824"]], 1),
        ("devicemapper", [["Data Space Available", "plenty"]], None),
    ],
)
def test_free_space_is_known_where_the_engine_tells_it(
    driver: str, status: list[list[str]], gib: int | None
) -> None:
    read = read_engine_info(
        {**INFO, "Driver": driver, "DriverStatus": status, "MemoryLimit": False}
    )
    assert (None if read.free_gib is None else round(read.free_gib)) == gib
    assert read.lacks == ("memory",)


def test_an_address_is_written_as_it_is_read() -> None:
    for url in ("tcp://ws1.company.com:2376", "tcp://[2001:db8::1]:2377"):
        assert parse_engine(url).url == url
