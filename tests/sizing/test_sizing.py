"""Sizing: the guide's profiles, the vendor's formulas, one host's share, and the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer.core.errors import StackError
from installer.core.manifest import ServiceManifest
from installer.core.scaling import running_workspaces, scale_out, single_control_plane
from installer.core.sizing import Sizing, SizingRequest, make_sizing
from installer.core.sizing_table import Machine, parse_sizing

ROOT = Path(__file__).parents[2]
TABLE = parse_sizing((ROOT / "assets/sizing.yaml").read_bytes())


def manifest(name: str, resources: dict[str, Any]) -> ServiceManifest:
    return ServiceManifest.model_validate(
        {
            "name": name,
            "title": name,
            "summary": name,
            "group": "application",
            "licence": "MIT",
            "image": {"repository": f"registry.example/{name}", "tag": "1"},
            "user": "1000:1000",
            "resources": resources,
        }
    )


MANIFESTS = (
    manifest("plane", {"cpus": (2, 4), "memory_mib": (4096, 8192), "disk_gib": (50, 100),
                       "pids": 1024, "formula": "control-plane"}),
    manifest("store", {"cpus": (2, 4), "memory_mib": (4096, 16384), "disk_gib": (100, 500),
                       "formula": "database"}),
    manifest("edge", {"cpus": (0.5, 2), "memory_mib": (256, 1024), "disk_gib": (1, 1)}),
)  # fmt: skip


def size(**request: Any) -> Sizing:
    return make_sizing(MANIFESTS, TABLE, SizingRequest(**request))


def codes(sizing: Sizing) -> list[str]:
    return [warning.code for warning in sizing.warnings]


@pytest.mark.parametrize(
    ("users", "workspaces", "builds", "alone", "licensed", "provisioners", "database", "nodes"),
    [
        (50, 30, 3, (2, 8), (2, 2, 8), 0, (2, 8, 100), 5),
        (100, 60, 6, (2, 8), (2, 2, 8), 0, (2, 8, 100), 9),
        (200, 120, 12, (14, 20), (2, 2, 8), 12, (2, 8, 103), 17),
        (500, 300, 30, (32, 38), (2, 2, 8), 30, (2, 8, 256), 41),
        (1000, 600, 60, (64, 72), (3, 2, 8), 60, (8, 30, 512), 81),
        (2000, 1200, 120, (128, 136), (3, 4, 12), 120, (16, 60, 1024), 161),
        (3000, 1800, 180, (192, 204), (4, 4, 12), 180, (32, 120, 1536), 241),
    ],
)
def test_the_vendors_worked_examples_come_out(
    users: int,
    workspaces: int,
    builds: int,
    alone: tuple[int, int],
    licensed: tuple[int, int, int],
    provisioners: int,
    database: tuple[int, int, int],
    nodes: int,
) -> None:
    assert running_workspaces(TABLE, users) == workspaces
    scale = scale_out(TABLE, users, workspaces)
    assert scale.concurrent_builds == builds
    assert (scale.replicas, scale.replica.vcpu, scale.replica.mem_gb) == licensed
    assert scale.provisioners == provisioners
    assert (scale.database.vcpu, scale.database.mem_gb, scale.database_storage_gib) == database
    assert scale.workspace_nodes == nodes
    machine = single_control_plane(TABLE, users, workspaces)
    assert (machine.vcpu, machine.mem_gb) == alone


@pytest.mark.parametrize("row", TABLE.validated, ids=lambda row: f"{row.users}-users")
def test_the_validated_rows_come_out_of_the_formulas(row: Any) -> None:
    scale = scale_out(TABLE, row.users, row.running_workspaces)
    assert scale.concurrent_builds == row.concurrent_builds
    assert scale.provisioners == row.provisioners.replicas
    assert scale.replica == Machine(vcpu=row.control_plane.vcpu, mem_gb=row.control_plane.mem_gb)
    assert scale.database == row.database
    # the formula gives one replica more than the page at 10000 users
    assert scale.replicas - row.control_plane.replicas == (1 if row.users == 10000 else 0)


@pytest.mark.parametrize(
    ("workspaces", "vcpu", "memory"), [(300, 2, 8), (301, 4, 15), (450, 4, 15), (451, 8, 30)]
)
def test_below_a_thousand_users_the_database_goes_by_running_workspaces(
    workspaces: int, vcpu: int, memory: int
) -> None:
    database = scale_out(TABLE, 900, workspaces).database
    assert (database.vcpu, database.mem_gb) == (vcpu, memory)


@pytest.mark.parametrize(
    ("users", "workspaces", "external"),
    [(100, 100, 0), (101, 100, 10), (100, 101, 11), (50, 20, 0)],
)
def test_builds_run_in_the_control_plane_up_to_a_hundred_users_and_ten_at_a_time(
    users: int, workspaces: int, external: int
) -> None:
    assert scale_out(TABLE, users, workspaces).provisioners == external


def test_the_small_profile_has_the_manifests_first_figures() -> None:
    sizing = size()
    assert (sizing.users, sizing.workspaces, sizing.workspaces_on_host) == (50, 20, 20)
    plane = sizing.services["plane"]
    assert (plane.cpus, plane.memory_mib, plane.pids, plane.disk_gib) == (2, 4096, 1024, 50)
    assert sizing.services["edge"].cpus == 0.5
    assert sizing.warnings == ()


def test_the_medium_profile_has_the_manifests_second_figures() -> None:
    sizing = size(profile="medium", users=50, workspaces=20)
    assert (sizing.users, sizing.workspaces) == (200, 50)
    assert sizing.services["store"].memory_mib == 16384
    assert sizing.services["edge"].cpus == 2


@pytest.mark.parametrize(
    ("users", "cpus", "memory"),
    [(1, 0.5, 256), (50, 0.5, 256), (51, 0.51, 262), (125, 1.25, 640), (200, 2, 1024),
     (350, 3.5, 1792)],
)  # fmt: skip
def test_between_and_beyond_the_two_figures_of_a_manifest_is_a_straight_line(
    users: int, cpus: float, memory: int
) -> None:
    edge = size(profile="custom", users=users, workspaces=1).services["edge"]
    assert (edge.cpus, edge.memory_mib) == (cpus, memory)


def test_a_custom_size_goes_by_the_formulas_where_a_manifest_names_one() -> None:
    sizing = size(profile="custom", users=500, workspaces=120)
    assert sizing.services["plane"].cpus == 2 + 12
    assert sizing.services["plane"].memory_mib == (8 + 12) * 1024
    assert sizing.services["store"].memory_mib == 8 * 1024
    assert sizing.services["store"].disk_gib == 256
    assert sizing.services["edge"].cpus == 5


def test_a_custom_size_without_workspaces_takes_the_vendors_share() -> None:
    assert size(profile="custom", users=70).workspaces == 42


def test_the_answers_of_a_service_come_before_every_rule() -> None:
    sizing = size(memory_mib={"store": 2048}, cpus={"plane": 1.5})
    assert sizing.services["store"].memory_mib == 2048
    assert sizing.services["store"].cpus == 2
    assert sizing.services["plane"].cpus == 1.5
    assert sizing.host.memory_mib == size().host.memory_mib - 2048


def test_the_host_carries_shares_of_the_limits_and_the_running_workspaces() -> None:
    host = size().host
    # 4.5 x 0.45 + 20 x 1 x 0.5 + 0.5 = 12.525 cores; 8448 + 20 x 2048 + 2048 MiB
    assert (host.cpus, host.memory_mib) == (13, 8448 + 40960 + 2048)
    # 50 + 100 + 1 of data; 20 of images and logs, 50 homes of 10
    assert (host.data_gib, host.engine_gib, host.disk_gib) == (151, 520, 671)


def test_workspaces_elsewhere_cost_the_host_nothing() -> None:
    host = size(workspaces_on_host=False).host
    assert (host.cpus, host.memory_mib, host.engine_gib) == (3, 8448 + 2048, 20)
    assert size(workspaces_on_host=False).workspaces_on_host == 0


def test_workspaces_and_homes_have_the_size_that_is_asked_for() -> None:
    host = size(workspace=Machine(vcpu=2, mem_gb=4), home_gib=5).host
    assert (host.cpus, host.memory_mib) == (23, 8448 + 81920 + 2048)
    assert host.engine_gib == 20 + 250


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ({"profile": "medium"}, "sizing.users"),
        ({"profile": "custom", "users": 51, "workspaces": 1}, "sizing.users"),
        ({"profile": "custom", "users": 30, "workspaces": 100}, "sizing.concurrent_workspaces"),
    ],
)
def test_beyond_one_host_the_way_out_is_named_with_figures(
    request_: dict[str, Any], answer: str
) -> None:
    sizing = size(**request_)
    assert codes(sizing) == ["size.beyond_compose"]
    (warning,) = sizing.warnings
    assert warning.where == answer
    assert str(sizing.host.cpus) in warning.summary
    assert warning.detail is not None
    assert f"{sizing.scale.workspace_nodes} workspace nodes" in warning.detail
    assert "Kubernetes or AWS" in warning.remedy.summary
    assert "hosts of their own" in warning.remedy.summary


@pytest.mark.parametrize(("users", "workspaces"), [(50, 20), (50, 1), (10, 45)])
def test_what_one_host_carries_gives_no_warning(users: int, workspaces: int) -> None:
    assert codes(size(profile="custom", users=users, workspaces=workspaces)) == []


def test_above_a_thousand_users_the_licence_is_spoken_of() -> None:
    assert codes(size(profile="custom", users=1000)) == ["size.beyond_compose"]
    assert codes(size(profile="custom", users=1001)) == [
        "size.beyond_compose",
        "size.licence_needed",
    ]


def test_more_than_a_profile_is_for_is_said_and_counted() -> None:
    sizing = size(profile="small", users=50, workspaces=30)
    assert codes(sizing) == ["size.beyond_profile"]
    assert sizing.workspaces == 30
    assert size(profile="small", users=20, workspaces=5) == size()


FIGURES = st.integers(min_value=1, max_value=20_000)


@given(FIGURES, FIGURES, FIGURES, FIGURES, st.sampled_from(["small", "medium", "custom"]))
def test_more_users_and_workspaces_never_need_less(
    users: int, more_users: int, workspaces: int, more_workspaces: int, profile: str
) -> None:
    less = size(profile=profile, users=users, workspaces=workspaces)
    more = size(profile=profile, users=users + more_users, workspaces=workspaces + more_workspaces)
    for name, limits in less.services.items():
        grown = more.services[name]
        assert grown.cpus >= limits.cpus
        assert grown.memory_mib >= limits.memory_mib
        assert grown.disk_gib >= limits.disk_gib
    assert more.host.cpus >= less.host.cpus
    assert more.host.memory_mib >= less.host.memory_mib
    assert more.host.disk_gib >= less.host.disk_gib
    assert more.scale.workspace_nodes >= less.scale.workspace_nodes
    assert more.scale.database.vcpu >= less.scale.database.vcpu
    assert set(codes(less)) - {"size.beyond_profile"} <= set(codes(more))


@given(FIGURES, st.integers(min_value=0, max_value=20_000))
def test_no_limit_lies_below_the_figure_for_fifty_users(users: int, workspaces: int) -> None:
    edge = size(profile="custom", users=users, workspaces=workspaces).services["edge"]
    assert edge.cpus >= 0.5
    assert edge.memory_mib >= 256


@pytest.mark.parametrize("data", [b"a: [", b"[]", b"schema: 1", b"schema: 1\nprofiles: {}"])
def test_a_table_that_cannot_be_read_is_a_fault_of_the_product(data: bytes) -> None:
    with pytest.raises(StackError):
        parse_sizing(data)
