"""Each folder of stacks/compose against the acceptance tables; a new one is covered with no edit.

Every rule is a function from manifests to what is wrong with them, so that a seeded defect can show
that it finds something.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from installer.core.catalog import Catalog, read_catalog, start_order
from installer.core.errors import StackError
from installer.core.manifest import DatabaseAction, ServiceManifest
from installer.core.secrets import SecretKind

ROOT = Path(__file__).parents[2]
ACCEPTANCE = ROOT / "tests/acceptance"
HARDENING = yaml.safe_load((ACCEPTANCE / "hardening.yaml").read_text())
OWN_ROLES = yaml.safe_load((ROOT / "assets/hardening.yaml").read_text())["own_roles"]
SEGMENTATION = yaml.safe_load((ACCEPTANCE / "segmentation.yaml").read_text())
IF_DECLARED = yaml.safe_load((ROOT / "assets/segmentation.yaml").read_text())["if_declared"]
"""Allowed flows that no service has to make, with the reason in that file."""
OWN_TABLE = yaml.safe_load((ROOT / "assets/segmentation.yaml").read_text())
SEGMENTATION["allow"] += OWN_TABLE["own_allow"]

ROLES = {f"socket-proxy-{client}": "socket-proxy" for client in ("coder", "build", "logs")}
"""Service → row of the hardening table, where they are called differently."""

USERS = {"any": r"\d+:\d+", "any non-zero": r"[1-9]\d*:\d+"}
PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")

Change = Callable[..., ServiceManifest]
Flow = tuple[str, str, int]


def role_of(manifest: ServiceManifest) -> dict[str, Any]:
    rows = {**OWN_ROLES, **HARDENING["roles"]}
    role: dict[str, Any] = rows[ROLES.get(manifest.name, manifest.audited_as)]
    return role


def mebibytes(text: str) -> int:
    return int(text[:-1]) * {"m": 1, "g": 1024}[text[-1]]


def find_role_breaches(manifest: ServiceManifest) -> Iterator[str]:
    """What a manifest says against its row: user, memory, ports, exceptions that are not listed."""
    role = role_of(manifest)
    wanted = USERS.get(role["user"], re.escape(role["user"]))
    if not re.fullmatch(wanted, manifest.user):
        yield f"user {manifest.user}, not {role['user']}"
    if min(manifest.resources.memory_mib) < mebibytes(role["memory_min"]):
        yield f"memory below {role['memory_min']}"
    listed = {re.search(r":(\d+)/tcp", port)[1] for port in role["publish"]}  # type: ignore[index]
    yield from (f"publishes {port}" for port in manifest.publish if str(port) not in listed)
    allowed = {deviation["assertion"] for deviation in role["deviations"]}
    declared = [exception.assertion for exception in manifest.exceptions]
    yield from (f"exception {a} is not listed" for a in declared if a not in allowed)
    if manifest.publish and "HD-26" not in declared:
        yield "publishes without the exception HD-26"


def flows_of(manifests: Iterable[ServiceManifest]) -> set[Flow]:
    """Every flow that manifests declare, those through the edge included."""
    manifests = tuple(manifests)
    edges = [manifest.name for manifest in manifests if manifest.publish]
    flows = {(m.audited_as, c.to, c.port) for m in manifests for c in m.connects}
    flows |= {(gift.to, m.name, port) for m in manifests for gift in m.gives for port in gift.ports}
    return flows | {(edge, m.name, i.port) for m in manifests for i in m.ingress for edge in edges}


def rows_of(part: str, *, conditional: bool) -> set[Flow]:
    return {
        (row["from"], row["to"], row["port"])
        for row in SEGMENTATION[part]
        if row["port"] != "any" and (conditional or "only_if" not in row)
    }


def find_forbidden_flows(manifests: Iterable[ServiceManifest]) -> Iterator[str]:
    """Declared flows that the table does not allow, or that it refuses by name."""
    manifests = tuple(manifests)
    allowed, denied = rows_of("allow", conditional=True), rows_of("deny_probes", conditional=True)
    for flow in sorted(flows_of(manifests)):
        if flow not in allowed or flow in denied:
            yield "{} -> {}:{}".format(*flow)
    leaving = {source for source, to, _ in allowed if to == "internet"}
    # refused with an exception of its own, which only a condition may make use of
    leaving |= {
        row["from"]
        for row in SEGMENTATION["deny_probes"]
        for m in manifests
        if row["to"] == "internet" and "unless" in row["why"]
        if m.name == row["from"] and m.egress_when
    }
    yield from (f"{m.name} -> internet" for m in manifests if m.egress and m.name not in leaving)


def find_missing_flows(manifests: Iterable[ServiceManifest]) -> Iterator[str]:
    """Flows that the table allows without a condition and that nobody declares."""
    manifests = tuple(manifests)
    names = {manifest.name for manifest in manifests}
    leaving = {manifest.name for manifest in manifests if manifest.egress}
    wanted = {
        (row["from"], row["to"], row["port"])
        for row in SEGMENTATION["allow"]
        if row["port"] != "any" and "only_if" not in row and row["id"] not in IF_DECLARED
    }
    for source, to, port in sorted(wanted - flows_of(manifests)):
        if source in names and (to in names or (to == "internet" and source not in leaving)):
            yield f"{source} -> {to}:{port}"


def used_secrets(manifest: ServiceManifest) -> set[str]:
    """Secrets that a manifest names: in files, in standard input, as passwords of databases."""
    texts = [text for gift in manifest.gives for text in gift.secret_files.values()]
    texts += [*manifest.secret_files.values(), *(check.stdin for check in manifest.checks)]
    texts += [getattr(action, "stdin", "") for action in manifest.bootstrap]
    named = {inside.split(":")[-1] for text in texts for inside in PLACEHOLDER.findall(text)}
    if manifest.database and manifest.database.roots:
        named.add(manifest.database.roots)
    return named | {a.secret for a in manifest.bootstrap if isinstance(a, DatabaseAction)}


def find_unfillable_secrets(manifests: Iterable[ServiceManifest]) -> Iterator[str]:
    """Secrets that are named where their declaring service may be switched off."""
    manifests = tuple(manifests)
    makers = {secret.name: m for m in manifests for secret in m.secrets}
    for manifest in manifests:
        for name in sorted(used_secrets(manifest)):
            maker = makers.get(name)
            if maker is None:
                yield f"{manifest.name} names {name}, which nobody declares"
            elif maker.section not in (None, manifest.section):
                yield f"{manifest.name} names {name}, which leaves with the section {maker.section}"


def find_unused_secrets(manifests: Iterable[ServiceManifest]) -> Iterator[str]:
    manifests = tuple(manifests)
    used = set().union(*map(used_secrets, manifests))
    yield from (s.name for m in manifests for s in m.secrets if s.name not in used)


def test_the_manifest_says_what_its_role_allows(manifest: ServiceManifest) -> None:
    """HD-01, HD-10, HD-26, and exceptions only where the table lists a deviation."""
    assert list(find_role_breaches(manifest)) == []


def test_the_manifest_is_complete_for_people(manifest: ServiceManifest) -> None:
    assert manifest.checks, "no smoke test"
    assert manifest.licence
    assert not re.search(r"latest|main|nightly", manifest.image.tag)
    assert "/" in manifest.image.repository.split(".")[-1], "no registry in the image's name"
    assert manifest.resources.cpus[0] <= manifest.resources.cpus[1]
    assert manifest.resources.memory_mib[0] <= manifest.resources.memory_mib[1]
    assert 16 <= manifest.resources.pids <= 4096  # HD-13


def test_smoke_tests_are_told_apart_and_compile(catalog: Catalog) -> None:
    ids = [check.id for m in catalog.services.values() for check in m.checks]
    assert len(ids) == len(set(ids))
    for service in catalog.services.values():
        for check in service.checks:
            re.compile(check.expect)
            assert not PLACEHOLDER.search(" ".join(check.argv)), "a secret on a command line"


def test_only_allowed_flows_are_declared(catalog: Catalog) -> None:
    """SA-*, SD-*."""
    assert list(find_forbidden_flows(catalog.services.values())) == []


def test_every_flow_that_is_needed_is_declared(catalog: Catalog) -> None:
    """SM-04: a stack with nothing connected must not pass."""
    assert list(find_missing_flows(catalog.services.values())) == []


def test_secrets_are_declared_where_they_are_needed(catalog: Catalog) -> None:
    manifests = catalog.services.values()
    assert list(find_unfillable_secrets(manifests)) == []
    assert list(find_unused_secrets(manifests)) == []


def test_each_database_role_has_a_password_and_a_database_of_its_own(catalog: Catalog) -> None:
    """SE-13."""
    actions = [
        a for m in catalog.services.values() for a in m.bootstrap if isinstance(a, DatabaseAction)
    ]
    for field in ("database", "role", "secret"):
        values = [getattr(action, field) for action in actions]
        assert len(values) == len(set(values)), field
    assert all(a.everything or a.database == a.role for a in actions)  # pg_hba.conf: samerole


def test_services_start_after_what_they_require(catalog: Catalog) -> None:
    order = start_order(catalog)
    for name in order:
        for needed in catalog.services[name].requires:
            assert order.index(needed) < order.index(name)


# Seeded defects: each rule above finds what it is there for.


def test_a_folder_of_another_name_is_refused(catalog: Catalog) -> None:
    document = catalog.services["redis"].model_dump(by_alias=True)
    with pytest.raises(StackError, match="not the folder's"):
        read_catalog({"valkey": document})


@pytest.mark.parametrize(
    ("name", "fields", "found"),
    [
        ("postgres", {"user": "0:0"}, "user 0:0, not any non-zero"),
        ("coder", {"user": "1001:1000"}, "user 1001:1000, not 1000:1000"),
        ("coder", {"publish": (7080,)}, "publishes 7080"),
        ("traefik", {"exceptions": ()}, "publishes without the exception HD-26"),
    ],
)
def test_a_manifest_against_its_role_is_found(
    change: Change, name: str, fields: dict[str, object], found: str
) -> None:
    assert found in list(find_role_breaches(change(name, **fields)))


def test_too_little_memory_and_a_foreign_exception_are_found(
    change: Change, catalog: Catalog
) -> None:
    small = catalog.services["gitea"].resources.model_dump() | {"memory_mib": (128, 1024)}
    assert list(find_role_breaches(change("gitea", resources=small))) == ["memory below 256m"]
    foreign = {"assertion": "HD-08", "reason": "because", "compensation": "none"}
    breaches = find_role_breaches(change("gitea", exceptions=(foreign,)))
    assert list(breaches) == ["exception HD-08 is not listed"]


@pytest.mark.parametrize(
    ("name", "connection", "found"),
    [
        (
            "ai-gateway",
            {"to": "postgres", "port": 5432, "why": "no"},
            "ai-gateway -> postgres:5432",
        ),
        ("coder", {"to": "postgres", "port": 22, "why": "no"}, "coder -> postgres:22"),
        ("redis", {"to": "traefik", "port": 443, "why": "no"}, "redis -> traefik:443"),
    ],
)
def test_a_flow_too_many_is_found(
    catalog: Catalog, change: Change, name: str, connection: dict[str, object], found: str
) -> None:
    """SM-01."""
    changed = change(name, connects=(connection,))
    assert found in list(find_forbidden_flows((*catalog.services.values(), changed)))


def test_a_way_out_of_the_data_tier_is_found(catalog: Catalog, change: Change) -> None:
    """SD-56."""
    changed = change("postgres", egress="updates")
    found = find_forbidden_flows((*catalog.services.values(), changed))
    assert list(found) == ["postgres -> internet"]


def test_a_missing_flow_is_found(catalog: Catalog, change: Change) -> None:
    services = {**catalog.services, "gitea": change("gitea", connects=())}
    assert "gitea -> redis:6379" in list(find_missing_flows(services.values()))
    services = {**catalog.services, "ai-gateway": change("ai-gateway", egress=None)}
    assert list(find_missing_flows(services.values())) == ["ai-gateway -> internet:443"]


def test_a_secret_that_may_not_be_there_is_found(catalog: Catalog, change: Change) -> None:
    files = {"file": "${minio-root-password}${nothing}"}
    services = {**catalog.services, "coder": change("coder", secret_files=files)}
    assert list(find_unfillable_secrets(services.values())) == [
        "coder names minio-root-password, which leaves with the section minio",
        "coder names nothing, which nobody declares",
    ]
    spare = {"name": "spare", "purpose": "none", "kind": SecretKind.TOKEN}
    services = {**catalog.services, "traefik": change("traefik", secrets=(spare,))}
    assert list(find_unused_secrets(services.values())) == ["spare"]


def test_a_way_out_without_a_condition_is_found(catalog: Catalog, change: Change) -> None:
    """SD-58."""
    services = {**catalog.services, "vault": change("vault", egress_when=None)}
    assert list(find_forbidden_flows(services.values())) == ["vault -> internet"]
