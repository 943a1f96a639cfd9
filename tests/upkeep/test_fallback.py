"""Invariant 7: the release that was left serves again when the one gone back to never does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from installer.adapters.local import LocalHost
from installer.core.bundle import Bundle
from installer.core.deployed import Deployed
from installer.core.errors import DeployError, InstallError, Problem, Remedy
from installer.core.layout import Layout
from installer.core.proposal import Proposal
from installer.phases.history import note_step, read_history
from installer.phases.launch import activate_step, up_step
from installer.phases.ship import SecretFile, secrets_step
from installer.phases.steps import run_steps
from installer.ports import Project
from tests.host.machine import Dead, Journal
from tests.stacks.builders import make

OLD = Bundle({}, {"services": {"web": {"labels": {"devplat.release": "w1"}}}}, "aaaa")


def proposal(verified: str | None, active: str | None) -> Proposal:
    plan, bundle = make("nothing-optional")
    deployed = Deployed(release=active, verified=verified)
    return Proposal(plan, replace(bundle, release="aaaa"), deployed, (), (), (), False, None, ())


@pytest.mark.parametrize(
    ("verified", "active", "fallback"),
    [
        ("bbbb", "bbbb", "bbbb"),
        # the active one never passed: the one that did
        ("bbbb", "cccc", "bbbb"),
        # back to the one that passed last: then what ran until now
        ("aaaa", "cccc", "cccc"),
        # continued after it was killed behind the switch
        ("bbbb", "aaaa", "bbbb"),
        ("aaaa", "aaaa", "aaaa"),
        (None, None, None),
    ],
)
def test_the_release_that_serves_again_is_the_one_that_was_left(
    verified: Any, active: Any, fallback: Any
) -> None:
    assert proposal(verified, active).fallback == fallback


class Engine:
    """Starts whatever `current` points to, but the release that is sick."""

    def __init__(self, layout: Layout, *, sick: str = "", dies: bool = False) -> None:
        self.layout, self.sick, self.dies = layout, sick, dies
        self.serving = "bbbb"

    def containers(self, project: Project) -> tuple[Any, ...]:
        return ()

    def up(self, project: Project, services: Any, *, wait_s: Any) -> Iterator[Any]:
        active = Path(self.layout.current).readlink().name
        if self.dies:
            raise Dead
        if active == self.sick:
            raise DeployError(Problem("deploy.unhealthy", "web is sick", Remedy("look")))
        self.serving = active
        yield from ()


def way_back(host: LocalHost, layout: Layout, engine: Any) -> Any:
    project = Project("trial", layout.current)
    steps = [
        note_step(host, layout, "aaaa"),
        activate_step(host, engine, project, OLD, "bbbb"),
        up_step(engine, project, OLD, ("web",), id="launch.all", title="start"),
    ]
    return run_steps(steps, Journal([]))


@pytest.fixture
def served(layout: Layout) -> Layout:
    for name in ("aaaa", "bbbb"):
        release = Path(layout.release(name))
        release.mkdir(parents=True)
        (release / "manifest.json").write_text(json.dumps({"images": {}}))
    Path(layout.current).symlink_to("releases/bbbb")
    return layout


def test_a_release_that_never_gets_healthy_leaves_the_other_serving(
    host: LocalHost, served: Layout
) -> None:
    engine = Engine(served, sick="aaaa")
    with pytest.raises(InstallError):
        list(way_back(host, served, engine))
    assert Path(served.current).readlink().name == "bbbb"
    assert engine.serving == "bbbb"
    assert read_history(host, served).pending is None


def test_killed_behind_the_switch_the_target_knows_where_it_was_going(
    host: LocalHost, served: Layout
) -> None:
    with pytest.raises(Dead):
        list(way_back(host, served, Engine(served, dies=True)))
    found = read_history(host, served)
    assert (found.current, found.pending) == ("aaaa", "aaaa")


def test_secret_files_of_the_release_that_was_left_are_there_until_it_is_not_wanted(
    host: LocalHost, layout: Layout, request: pytest.FixtureRequest
) -> None:
    """Else it could not be started again when the other one never gets healthy."""
    request.addfinalizer(lambda: host.run(_umount(layout)))
    both = {"web/key": SecretFile(b"1", "0:0"), "late/key": SecretFile(b"2", "0:0")}
    list(secrets_step(host, layout, both).do())
    kept = {"web/key": both["web/key"]}
    list(secrets_step(host, layout, kept, alone=False).do())
    assert (Path(layout.secrets) / "late/key").exists()
    tidy = secrets_step(host, layout, kept)
    assert not tidy.check()
    list(tidy.do())
    assert not (Path(layout.secrets) / "late/key").exists()
    assert tidy.verify()


def _umount(layout: Layout) -> Any:
    from installer.ports import Command

    return Command(f"umount {layout.secrets} || :", privileged=True)
