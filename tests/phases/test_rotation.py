"""Rotation over a platform in memory: what is rotated, in which order, and what is told before.

SE-20, SE-21.
"""

from __future__ import annotations

import re

import pytest

from installer.core.catalog import Catalog
from installer.core.errors import (
    ConflictError,
    ExitCode,
    UsageError,
)
from installer.core.events import Outcome
from installer.core.manifest import DatabaseAction
from installer.core.rotation import (
    choose_secrets,
    databases_of,
    declaration_of,
    files_of,
    reload_order,
)
from installer.core.secrets import ISSUED, Secret, SecretSpec
from installer.core.store_rules import make_store_rules
from installer.output.rotation import format_rotation
from tests.phases.rotation_world import (
    DATABASE,
    SHARED,
    World,
    checks,
    fails,
    make_world,
)
from tests.stacks.builders import VARIANTS, load, make, make_plan_for

SOME = (DATABASE, "gitea-database-password", SHARED, "gitea-lfs-jwt-secret")


@pytest.fixture(params=["agents", "installer"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> World:
    """The platform, with either way of delivery."""
    return make_world(monkeypatch, agents=request.param == "agents")


# the order of things


def test_the_database_knows_the_new_password_before_anybody_can_read_it(world: World) -> None:
    world.rotate(DATABASE)
    assert world.log == [
        f"store {DATABASE}.next",
        "login coder",
        "login coder",
        f"replace {DATABASE}",
        "deliver coder",
        "restart coder",
        "drop coder",
        "store rotation.proven",
        f"remove {DATABASE}.next",
        "remove rotation.proven",
    ]


def test_after_it_only_the_new_value_is_good_and_everybody_has_it(world: World) -> None:
    """SE-20: version history is kept; the old value is refused."""
    world.rotate(*SOME)
    for name in SOME:
        assert world.store.version(name) == 2
        assert world.store.previous(name).reveal() == f"first-{name}"  # type: ignore[union-attr]
        assert world.accepts(name, world.value(name))
        assert not world.accepts(name, f"first-{name}")
    assert world.leftovers() == []
    assert {len(world.logins[d]) for d in ("coder", "gitea", "drone", "authentik")} == {1}
    for path in files_of(world.plan, SOME):
        service = path.partition("/")[0]
        assert world.read[service][path] == world.files[path] == world.sees(service)[path]


def test_each_consumer_is_restarted_once_and_providers_come_first(world: World) -> None:
    """Named one by one, gitea's database would put gitea before the server of its sessions."""
    world.rotate("gitea-database-password", SHARED)
    restarts = [line for line in world.log if line.startswith("restart")]
    assert restarts == ["restart redis", "restart gitea"]


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_the_order_of_all_is_the_order_of_each(variant: str) -> None:
    plan = make(variant)[0]
    names = choose_secrets(plan, ()).names
    order = reload_order(plan, names)
    assert len(order) == len(set(order)) > 3
    for name in names:
        declared = [s for s in declaration_of(plan, name).rotation.reload if s in plan.services]
        assert [s for s in order if s in declared] == declared


def test_manifests_that_contradict_each_other_leave_everybody_restarted() -> None:
    catalog = with_reload({SHARED: ["redis", "gitea"], "gitea-lfs-jwt-secret": ["gitea", "redis"]})
    plan = make_plan_for(catalog)
    assert set(reload_order(plan, (SHARED, "gitea-lfs-jwt-secret"))) == {"redis", "gitea"}


def with_reload(orders: dict[str, list[str]]) -> Catalog:
    """The catalog with other services to restart for some secrets."""
    services = dict(load().services)
    for name, manifest in load().services.items():
        secrets = [
            s.model_copy(
                update={"rotation": s.rotation.model_copy(update={"reload": tuple(orders[s.name])})}
            )
            if s.name in orders
            else s
            for s in manifest.secrets
        ]
        services[name] = manifest.model_copy(update={"secrets": tuple(secrets)})
    return Catalog(services)


@pytest.mark.parametrize("agents", [True, False])
def test_a_consumer_that_need_not_restart_sees_the_new_file_all_the_same(
    monkeypatch: pytest.MonkeyPatch, agents: bool
) -> None:
    """Without an agent the running container has the old file mounted: there it is restarted."""
    catalog = with_reload({"drone-rpc-secret": ["drone-server"]})
    world = make_world(monkeypatch, agents=agents, catalog=catalog)
    world.rotate("drone-rpc-secret")
    new = world.value("drone-rpc-secret")
    assert new in world.sees("drone-runner")["drone-runner/runner.env"]
    assert ("restart drone-runner" in world.log) is not agents


def test_files_that_an_agent_has_rendered_by_itself_are_not_rendered_again(world: World) -> None:
    """Agents look at the server every five minutes."""
    replace = world.store.replace

    def and_render(spec: SecretSpec, value: Secret) -> Secret:
        stored = replace(spec, value)
        contents = world.rotation((DATABASE,)).files()
        world.files |= {path: content.reveal() for path, content in contents.items()}
        return stored

    world.store.replace = and_render  # type: ignore[method-assign]
    world.rotate(DATABASE)
    assert not any(line.startswith("deliver") for line in world.log)
    assert world.read["coder"] == world.sees("coder")


# what is rotated


RENEWED = "it is issued with an end, and an apply that finds it near that makes the next"


def test_all_leaves_out_what_cannot_be_rotated_and_says_which_and_why(world: World) -> None:
    events = world.rotate()
    skipped = {c.where: c for c in checks(events, "rotate.skipped")}
    refusals = {
        spec.name: declaration_of(world.plan, spec.name).rotation.refuse
        or (RENEWED if spec.kind in ISSUED else None)
        for spec in world.plan.secrets
    }
    assert "redis-certificate" in skipped
    assert {"gitea-secret-key", "drone-database-secret"} <= skipped.keys()
    assert {n: c.found for n, c in skipped.items()} == {n: r for n, r in refusals.items() if r}
    assert {c.outcome for c in skipped.values()} == {Outcome.WAIVED}
    for spec in world.plan.secrets:
        wanted = 1 if spec.name in skipped else 2
        assert world.store.version(spec.name) == wanted
    told = {c.title.partition(":")[0]: c.outcome for c in checks(events, "rotate.proof")}
    assert told.keys() == {s.name for s in world.plan.secrets} - skipped.keys()
    assert told[DATABASE] is Outcome.PASS
    assert told["drone-cookie-secret"] is Outcome.UNKNOWN  # nothing can try it


def test_every_restart_tells_how_long_the_service_was_away(world: World) -> None:
    """SE-20: below the stated limit."""
    events = world.rotate(DATABASE)
    [told] = checks(events, "rotate.restart")
    assert (told.where, told.expected, told.found) == ("coder", "within 600 s", "after 1.0 s")


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("coder-databse-password", DATABASE),
        ("Coder-Database-Password", DATABASE),
        (f"{DATABASE}.next", DATABASE),
        ("gitea-redis", SHARED),
        ("xyz", None),
        ("x\n\x1b[31m", None),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(name: str, guess: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        choose_secrets(make("everything")[0], (DATABASE, name))
    [problem] = caught.value.problems
    assert problem.code == "usage.secret"
    assert (f"did you mean '{guess}'?" in problem.summary) is (guess is not None)
    assert problem.summary.isprintable()
    assert DATABASE in problem.remedy.summary
    assert "drone-database-secret" not in problem.remedy.summary


def test_every_unknown_name_is_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        choose_secrets(make("everything")[0], ("first", "second", DATABASE))
    assert len(caught.value.problems) == 2


def test_one_that_encrypts_data_is_refused_by_name(world: World) -> None:
    error = fails(world, DATABASE, "gitea-secret-key", "drone-database-secret")
    assert error.exit_code is ExitCode.CONFLICT
    assert {p.code for p in error.problems} == {"rotate.refused"}
    told = {p.where: p.summary for p in error.problems}
    assert told.keys() == {"drone-database-secret", "gitea-secret-key"}
    assert "second factors" in told["gitea-secret-key"]
    assert world.log == []


@pytest.mark.parametrize(
    ("variant", "name", "advice"),
    [
        ("everything", "edge.tls_key.pem", "makes the next"),
        ("everything", "tls_fullchain.pem", "makes the next"),
        ("acme-behind-balancer", "edge.tls_key.pem", "by itself"),
        ("acme-behind-balancer", "tls_key.pem", "by itself"),
        ("acme-behind-balancer", "edge.CF_DNS_API_TOKEN", "at the DNS provider"),
        ("acme-behind-balancer", "CF_DNS_API_TOKEN", "at the DNS provider"),
    ],
)
def test_what_is_the_edges_is_renewed_and_not_rotated(variant: str, name: str, advice: str) -> None:
    with pytest.raises(ConflictError) as caught:
        choose_secrets(make(variant)[0], (DATABASE, name))
    [problem] = caught.value.problems
    assert problem.code == "rotate.renewed"
    assert "renewed by itself and not rotated" in problem.summary
    assert advice in problem.remedy.summary


def test_names_given_twice_count_once_and_in_the_plans_order() -> None:
    plan = make("everything")[0]
    known = [spec.name for spec in plan.secrets]
    chosen = choose_secrets(plan, (SHARED, DATABASE, SHARED)).names
    assert sorted(chosen) == sorted({SHARED, DATABASE})
    assert list(chosen) == sorted(chosen, key=known.index)


@pytest.mark.parametrize("variant", sorted(set(VARIANTS) - {"no-secret-server"}))
def test_no_consumer_may_read_what_waits(variant: str) -> None:
    """Policies name exact paths; the installer's own covers what is below the prefix."""
    plan = make(variant)[0]
    rules = make_store_rules(plan)
    waiting = re.compile(r'path "([^"]+)"')
    for name, policy in rules.policies.items():
        paths = waiting.findall(policy)
        if name == f"{plan.deployment}-installer":
            assert any(path.endswith("/*") for path in paths)
            continue
        assert not any("*" in path or "+" in path or ".next" in path for path in paths)


# what a person consents to


def test_the_proposal_names_what_is_restarted_in_which_order(world: World) -> None:
    choice = choose_secrets(world.plan, ())
    lines = list(format_rotation(world.plan, choice))
    restarts = [line.split(". ")[1] for line in lines if line.startswith("~ restart")]
    assert restarts == list(reload_order(world.plan, choice.names))
    kept = [line for line in lines if "keeps its value" in line]
    assert len(kept) == len(choice.skipped) > 3
    assert any(line.startswith("~ logins  coder in postgres") for line in lines)


def test_databases_that_two_services_share_are_told_once() -> None:
    plan = make("everything")[0]
    found = databases_of(plan, (spec.name for spec in plan.secrets))
    assert sorted(a.database for a in found) == ["authentik", "coder", "drone", "gitea", "metrics"]
    assert all(isinstance(action, DatabaseAction) for action in found)
