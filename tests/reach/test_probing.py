"""The dynamic side of segmentation, judged: a sound world passes, each seeded defect fails alone.

Covers SD-14..SD-60 by their form, SM-01, SM-04, the levels pair, port and direction of the
catalogue, and the families of addresses.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from installer.core.errors import PreflightError
from installer.core.events import Outcome
from installer.core.outside import Came
from installer.core.segmentation.probing import Expected
from installer.core.segmentation.reach import parse_reach
from tests.reach.world import SERVICES, Box, World, rules, sound


def test_a_sound_deployment_passes_every_check_and_says_what_was_tried() -> None:
    """SM-04: flows are open; SD-27: workspaces do not see each other."""
    results = sound().judge()
    assert {r.outcome for r in results.values()} == {Outcome.PASS}
    assert set(results) == {*SERVICES, "workspace", "ipv6", "host"}
    gitea = results["gitea"]
    assert gitea.expected == "open: postgres:5432, redis:6379"
    assert "3 flows open: postgres:5432, redis:6379, traefik:443" in gitea.found
    assert "SD-45" in gitea.found  # gitea -> vault was tried and refused
    assert "unreachable" in gitea.found
    assert "none of 10 containers has an IPv6 address" in results["ipv6"].found


def test_ports_that_a_shared_network_opens_beside_the_flow_are_listed_but_do_not_fail() -> None:
    """Level direction: the reverse way of an allowed flow is told."""
    result = sound().judge()["gitea"]
    assert result.outcome is Outcome.PASS
    assert "open too, on networks shared for other flows: prometheus:9090" in result.found


Change = Callable[[World], object]


def share(*names: str) -> Change:
    return lambda world: [world.boxes[name].networks.add("extra") for name in names]


def listen(name: str, port: int) -> Change:
    return lambda world: world.boxes[name].ports.add(port)


def close(name: str, port: int) -> Change:
    return lambda world: world.boxes[name].closed.add(port)


def leave(name: str, network: str) -> Change:
    return lambda world: world.boxes[name].networks.discard(network)


def join_workspace(world: World) -> None:
    world.boxes["coder-ann"].networks.add("gitea-to-postgres")


def run_stranger(world: World) -> None:
    world.boxes["stranger"] = Box("", {"gitea-to-redis"}, project="another")


def scrape_edge(world: World) -> None:
    """The edge's metrics are read, which is declared; it could read those of the reader."""
    world.more_flows += (Expected("prometheus", "traefik", 8082, "metrics"),)
    for name in ("prometheus", "traefik"):
        world.boxes[name].networks.add("prometheus-to-traefik")


def go_six(world: World) -> None:
    for name in ("traefik", "redis"):
        world.boxes[name].networks.add("six")
        world.boxes[name].six = True


DEFECTS: list[tuple[str, Change, dict[str, Outcome], str]] = [
    ("SD-39 an extra shared network", share("traefik", "postgres"),
     {"traefik": Outcome.FAIL, "postgres": Outcome.FAIL}, "postgres:5432 (SD-39"),
    ("SD-53 an extra network of the data tier", share("redis", "postgres"),
     {"redis": Outcome.FAIL, "postgres": Outcome.FAIL}, "postgres:5432 (SD-53"),
    ("a pair that no row names", share("minio", "redis"),
     {"minio": Outcome.FAIL, "redis": Outcome.FAIL}, "redis:6379 (at 172.30."),
    ("SD-15 a workspace on a network of the platform", join_workspace,
     {"workspace": Outcome.FAIL, "gitea": Outcome.WARN, "postgres": Outcome.FAIL},
     "postgres:5432 (SD-15"),
    ("SD-27 workspaces that see each other", share("coder-ann", "coder-bob"),
     {"workspace": Outcome.FAIL}, "workspace:8080 (SD-27"),
    ("a stranger on a network of the platform", run_stranger,
     {"p-stranger-1": Outcome.FAIL}, "redis:6379 (at"),
    ("a listener that nobody declared", listen("postgres", 8008),
     {"gitea": Outcome.WARN}, "reaches ports that nobody declared: postgres:8008"),
    ("a flow whose port is refused", close("redis", 6379),
     {"gitea": Outcome.FAIL}, "does not reach what it needs: redis:6379 (refused)"),
    ("a flow whose network is gone", leave("gitea", "gitea-to-redis"),
     {"gitea": Outcome.FAIL}, "redis:6379 (unreachable)"),
    ("a flow to what does not listen", lambda w: w.boxes["redis"].ports.clear(),
     {"gitea": Outcome.FAIL}, "redis:6379 (nothing listens there)"),
    ("a flow to what does not run", lambda w: w.boxes.pop("redis"),
     {"gitea": Outcome.FAIL, "redis": Outcome.UNKNOWN}, "redis:6379 (does not run)"),
    ("a container in the host's network", lambda w: setattr(w.boxes["minio"], "mode", "host"),
     {"minio": Outcome.FAIL, "traefik": Outcome.FAIL}, "it is in the host's network"),
    ("SD-28 metadata from a workspace", lambda w: w.metadata.add("coder-ann"),
     {"workspace": Outcome.FAIL}, "cloud-metadata:80 (SD-28"),
    ("metadata from a service without a way out", lambda w: w.metadata.add("redis"),
     {"redis": Outcome.FAIL}, "cloud-metadata:80 (at 169.254.169.254)"),
    ("metadata from a service with a way out", lambda w: w.metadata.add("traefik"),
     {"traefik": Outcome.WARN}, "cloud-metadata:80"),
    ("SD-42 against the direction of a declared flow", scrape_edge,
     {"traefik": Outcome.WARN}, "against the direction of a declared flow: prometheus:9090 (SD-42"),
    ("SD-56 a way out of the data tier", lambda w: w.leaks_out.update(postgres="open"),
     {"postgres": Outcome.FAIL}, "internet:443 (SD-56"),
    ("a router answers with a reset", lambda w: w.leaks_out.update(minio="refused"),
     {"minio": Outcome.WARN}, "has a way out that nobody declared: internet:443"),
    ("SD-29 SSH of the host open to workspaces", lambda w: w.host_refuses.clear(),
     {"workspace": Outcome.FAIL, "host": Outcome.WARN}, "host:22 (SD-29"),
    ("an engine port of the host", lambda w: w.host_ports.add(2376),
     {"workspace": Outcome.FAIL, "host": Outcome.WARN}, "host:2376 (SD-30"),
    ("another service of the host", lambda w: w.host_ports.add(9100),
     {"host": Outcome.WARN}, "port 9100 from"),
    ("SD-40 over IPv6 as well", go_six,
     {"traefik": Outcome.FAIL, "redis": Outcome.FAIL}, "at fd00::"),
    ("a link-local address", lambda w: setattr(w.boxes["redis"], "link", True),
     {"ipv6": Outcome.WARN}, "link-local ones, not tried: redis"),
    ("a source that could not be entered", lambda w: setattr(w.boxes["redis"], "mode", "untried"),
     {"redis": Outcome.UNKNOWN}, "no try could be made"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "wanted", "evidence"), [d[1:] for d in DEFECTS], ids=[d[0] for d in DEFECTS]
)
def test_a_seeded_defect_is_found_and_nothing_else_is_accused(
    change: Change, wanted: dict[str, Outcome], evidence: str
) -> None:
    world = sound()
    change(world)
    results = world.judge()
    wrong = {name: r.outcome for name, r in results.items() if r.outcome is not Outcome.PASS}
    assert wrong == wanted
    accused = [results[name] for name in wanted]
    assert any(evidence in r.found for r in accused), [r.found for r in accused]
    assert all(r.problem and r.problem.remedy.summary for r in accused)


def test_a_service_of_another_project_is_not_taken_for_ours() -> None:
    world = sound()
    world.boxes["spy"] = Box("", {"gitea-to-redis"}, service="gitea", project="another")
    results = world.judge()
    assert results["p-spy-1"].outcome is Outcome.FAIL
    assert results["gitea"].outcome is Outcome.PASS


def test_an_output_that_breaks_off_is_an_error() -> None:
    text = sound().text().split("@devplat end")[0]
    with pytest.raises(PreflightError, match="did not run to its end"):
        parse_reach(text, "target", "p")


@pytest.mark.parametrize(
    "line",
    ["|open nowhere 80", "|open 10.0.0.1 http", "|delighted 10.0.0.1 80", "|", "open 10.0.0.1 80"],
)
def test_what_is_no_try_is_left_out(line: str) -> None:
    text = sound().text().replace("@devplat end", f"{line}\n@devplat end")
    seen = parse_reach(text, "target", "p")
    assert seen.places == parse_reach(sound().text(), "target", "p").places
    assert {t.came for p in seen.places for t in p.tries or ()} <= set(Came)


def test_every_row_of_refusals_is_a_breach_when_it_is_open() -> None:
    """SD-14..SD-55: between two containers, whichever they are, on a network that both are on."""
    places = rules().table.tiers["outside"]
    rows = [
        row
        for row in rules().table.deny_probes
        if row.source not in places and row.destination not in places
    ]
    assert len(rows) > 35
    for row in rows:
        port = row.port if isinstance(row.port, int) else 12345
        one = Box(row.source, {"n"}, project="")
        other = Box(row.destination, {"n"}, {port}, project="")
        world = World({"one": one, "other": other})
        found = world.judge()[row.source]
        assert found.outcome is Outcome.FAIL, row.id
        assert f"{row.destination}:{port} ({row.id}, at 172.30." in found.found
        other.closed.add(port)
        closed = world.judge()[row.source]
        assert closed.outcome is Outcome.PASS, row.id
        assert row.id in closed.found
