"""What is ours and what is not: by labels and state, never by a name; each kind of stranger."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from installer.core.errors import ConflictError
from installer.core.removal import Removal, Wish, plan_removal, refuse_unsafe
from installer.output.removal import format_removal, format_run_directory
from tests.upkeep.builders import FILES, LAYOUT, found, ours, thing

KNOWN = ("gitea", "postgres", "coder")


def plan(there: Any, **wish: bool) -> Removal:
    return plan_removal("trial", LAYOUT, there, Wish(**wish), KNOWN)


def names(things: Any) -> list[str]:
    return [each.name for each in things]


def kept(removal: Removal) -> dict[str, str]:
    return {each.what: each.why for each in removal.kept}


def test_ours_is_removed_and_data_and_the_operators_file_stay() -> None:
    removal = plan(found())
    assert names(removal.containers) == ["trial-gitea-1"]
    assert names(removal.networks) == ["trial_gitea-to-db"]
    assert names(removal.volumes) == ["trial_gitea-secrets"]
    assert removal.entries == ("current", "releases", "secrets")
    assert (removal.has_state, removal.mounted, removal.data) == (True, True, ())
    assert kept(removal)["/opt/devplat/compose.override.yaml"] == "yours"
    assert "2 services" in kept(removal)["/var/lib/devplat"]


def test_data_and_the_operators_file_go_when_that_is_asked_for() -> None:
    removal = plan(found(), delete_data=True)
    assert removal.data == ("gitea", "postgres")
    assert "compose.override.yaml" in removal.entries
    assert "/var/lib/devplat" not in kept(removal)


@pytest.mark.parametrize(
    "stranger",
    [
        thing("trial-db-1"),
        thing("trial-db-1", project="trial", files="/home/me/trial/compose.yaml"),
        thing("trial-db-1", project="trial", files="/opt/devplat-other/compose.yaml"),
        thing("trial-db-1", owner="trial2", project="trial2", files=FILES),
        thing("trial-db-1", owner="other", project="trial", files=FILES),
        thing("x", owner="trial-drill-not-there", project="trial-drill-not-there"),
    ],
    ids=["name only", "other files", "other directory", "other deployment", "label", "drill"],
)
def test_a_container_that_is_not_ours_is_never_removed(stranger: Any) -> None:
    removal = plan(found(containers=(ours("trial-gitea-1", files=FILES), stranger)))
    assert names(removal.containers) == ["trial-gitea-1"]


def test_a_foreign_container_of_the_same_project_is_named_and_its_networks_stay() -> None:
    stranger = thing("trial-db-1", project="trial", files="/home/me/compose.yaml")
    bare = thing("trial_default", project="trial")
    there = found(containers=(ours("trial-gitea-1", files=FILES), stranger), networks=(bare,))
    removal = plan(there)
    assert kept(removal)["container trial-db-1"].endswith("made by somebody else")
    assert removal.networks == ()
    assert names(plan(found(networks=(bare,))).networks) == ["trial_default"]


def test_what_the_operators_file_adds_runs_with_us_and_goes_with_us() -> None:
    added = thing("trial-extra-1", project="trial", files=FILES)
    volume = thing("trial_extra-data", project="trial")
    removal = plan(found(containers=(added,), volumes=(volume,)))
    assert names(removal.containers) == ["trial-extra-1"]
    assert removal.volumes == ()
    assert "yours" in kept(removal)["volume trial_extra-data"]


def test_a_network_with_a_foreign_container_on_it_stays() -> None:
    mine, theirs = ours("trial-gitea-1", files=FILES), thing("theirs")
    both = ours("trial_net", users=(mine.id, theirs.id))
    removal = plan(found(containers=(mine, theirs), networks=(both,)))
    assert removal.networks == ()
    assert "theirs is attached" in kept(removal)["network trial_net"]
    alone = replace(both, users=(mine.id,))
    assert names(plan(found(containers=(mine, theirs), networks=(alone,))).networks) == [
        "trial_net"
    ]


def test_a_drill_that_was_left_behind_is_ours() -> None:
    drill = thing("trial-drill-x-db-1", owner="trial-drill-x", project="trial-drill-x")
    removal = plan(found(containers=(drill,), drills=("x",)))
    assert names(removal.containers) == ["trial-drill-x-db-1"]


def test_files_that_no_run_makes_stay() -> None:
    there = found(entries=("notes.txt", "releases", "state"), data=("gitea", "lost+found", "old"))
    removal = plan(there, delete_data=True)
    assert removal.entries == ("releases",)
    assert removal.data == ("gitea",)
    assert kept(removal)["/opt/devplat/notes.txt"] == "not made by a run"
    assert kept(removal)["/var/lib/devplat/old"] == "not the data of a service"


def test_data_of_a_service_that_only_an_old_release_had_is_ours() -> None:
    there = found(data=("retired",), services=frozenset({"retired"}))
    assert plan(there, delete_data=True).data == ("retired",)


def test_images_go_only_when_that_is_asked_for() -> None:
    there = found(images=("a@sha256:1",))
    assert plan(there).images == ()
    assert "kept unless --images remove" in kept(plan(there))["1 images"]
    assert plan(there, remove_images=True).images == ("a@sha256:1",)


def test_nothing_there_is_nothing_to_do() -> None:
    empty = found(
        containers=(thing("theirs"),), networks=(thing("bridge"),), volumes=(), entries=(), data=(),
        state=(), mounted=False,
    )  # fmt: skip
    assert plan(empty).is_empty
    assert not plan(found()).is_empty
    # data alone, after the rest is gone
    assert plan(replace(empty, data=("gitea",))).is_empty
    assert not plan(replace(empty, data=("gitea",)), delete_data=True).is_empty


@pytest.mark.parametrize(
    ("name", "code"),
    [("restoring.json", "uninstall.half_restored"), ("vault-init.json", "uninstall.keys_wait")],
)
def test_state_without_which_kept_data_is_lost_is_not_removed(name: str, code: str) -> None:
    there = found(state=("journal.json", name))
    with pytest.raises(ConflictError) as caught:
        refuse_unsafe(plan(there), there, ["vault-init.json"])
    assert [p.code for p in caught.value.problems] == [code]
    refuse_unsafe(plan(there, delete_data=True), there, ["vault-init.json"])
    refuse_unsafe(plan(found()), found(), ["vault-init.json"])


def test_everything_is_told_by_name_and_the_run_directory_with_what_it_holds(tmp_path: Any) -> None:
    there = found(changes={"sysctl": {"path": "/etc/x", "before": {"a.b": 1, "c.d": None}}})
    lines = list(format_removal(plan(there, delete_data=True)))
    assert "- container trial-gitea-1" in lines
    assert "- DATA      /var/lib/devplat/postgres" in lines
    assert "~ host      /etc/x is put back: a.b=1, no c.d" in lines
    (tmp_path / "custody").mkdir()
    told = list(format_run_directory(tmp_path, "bundled"))
    assert "stays on this machine" in told[0]
    assert "vault.mode external" in next(iter(format_run_directory(tmp_path, "external")))
    assert [line.split(":")[0].strip() for line in told[1:]] == ["custody"]
