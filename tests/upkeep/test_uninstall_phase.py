"""The removal itself, with the phases' own shell: strangers are not touched, a killed run goes on.

Contract 1.4 and 1.6 of the product's design: only what is ours, and data only when asked for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from installer.adapters.local import LocalHost
from installer.core.errors import ContainerRuntimeError, InstallError, LockedError
from installer.core.events import CheckFinished
from installer.core.layout import Layout
from installer.core.owner import Owner
from installer.core.removal import Found, Removal, Wish, plan_removal
from installer.phases.journal import TargetLock
from installer.phases.remains import read_found
from installer.phases.uninstall import removal_steps, uninstall
from tests.upkeep.builders import ours, reference, thing
from tests.upkeep.engine import FakeEngine

pytestmark = pytest.mark.slow
GITEA = reference("gitea", "1")
KNOWN = ("gitea", "postgres")


@pytest.fixture
def deployed(engine: FakeEngine, layout: Layout, host: LocalHost) -> FakeEngine:
    """A deployment beside somebody else's things."""
    files = f"{layout.current}/compose.yaml"
    mine, theirs = ours("trial-gitea-1", files=files), thing("theirs")
    engine.add("container", mine, image=GITEA)
    engine.add("container", theirs, image="postgres")
    engine.add("network", ours("trial_net", users=(mine.id,)))
    engine.add("network", thing("their-net", users=(theirs.id,)))
    engine.add("volume", ours("trial_gitea-secrets"))
    engine.add("volume", thing("their-data"))
    for reference_ in (GITEA, "postgres"):
        engine.add("image", thing(reference_))
    release = Path(layout.release("aaaa"))
    release.mkdir(parents=True)
    (release / "manifest.json").write_text(json.dumps({"images": {"gitea": GITEA}}))
    Path(layout.current).symlink_to("releases/aaaa")
    Path(layout.override).write_text("services: {}\n")
    Path(layout.secrets).mkdir()
    Path(layout.install_dir, "notes.txt").write_text("mine")
    Path(layout.journal).write_text("{}")
    for name in ("gitea/repositories", "postgres/data", "theirs"):
        Path(layout.data_dir, name).mkdir(parents=True)
        Path(layout.data_dir, name, "file").write_text("data")
    return engine


def plan(host: LocalHost, layout: Layout, **wish: bool) -> tuple[Found, Removal]:
    there = read_found(host, layout)
    return there, plan_removal("trial", layout, there, Wish(**wish), KNOWN)


def make_lock(host: LocalHost, layout: Layout, clock: Any, run: str = "r1", **given: Any) -> Any:
    owner = Owner(run, "ops", "bastion", run, "2026-01-01T00:00:00+00:00")
    gone = given.get("gone", False)
    return TargetLock(host, layout, owner, clock, lambda process: gone)


class Held(TargetLock):
    """Of a run that was killed: nobody gives it back."""

    def release(self) -> None:
        return


def remove(host: LocalHost, layout: Layout, clock: Any, **wish: bool) -> list[Any]:
    removal = plan(host, layout, **wish)[1]
    return list(uninstall(removal, host, make_lock(host, layout, clock)))


def test_nothing_of_ours_is_left_but_data_and_nothing_of_theirs_is_touched(
    deployed: FakeEngine, host: LocalHost, layout: Layout, clock: Any
) -> None:
    remove(host, layout, clock)
    assert deployed.names("container") == {"theirs"}
    assert deployed.names("network") == {"their-net"}
    assert deployed.names("volume") == {"their-data"}
    assert deployed.names("image") == {GITEA, "postgres"}
    left = {path.name for path in Path(layout.install_dir).iterdir()}
    assert left == {"compose.override.yaml", "notes.txt"}
    assert Path(layout.data_dir, "postgres/data/file").read_text() == "data"
    log = "\n".join(deployed.log())
    assert log.index("stop ") < log.index("rm -v") < log.index("network rm")
    assert " -f" not in log.replace("inspect -f", "")
    assert plan(host, layout)[1].is_empty


def test_data_is_deleted_when_it_is_asked_for_and_nobody_elses(
    deployed: FakeEngine, host: LocalHost, layout: Layout, clock: Any
) -> None:
    remove(host, layout, clock, delete_data=True, remove_images=True)
    assert [path.name for path in Path(layout.data_dir).iterdir()] == ["theirs"]
    assert [path.name for path in Path(layout.install_dir).iterdir()] == ["notes.txt"]
    assert deployed.names("image") == {"postgres"}


def test_an_image_that_somebody_else_uses_stays_and_that_is_told(
    deployed: FakeEngine, host: LocalHost, layout: Layout, clock: Any
) -> None:
    deployed.add("container", thing("theirs-too"), image=GITEA)
    events = remove(host, layout, clock, remove_images=True)
    told = [e.result.title for e in events if isinstance(e, CheckFinished)]
    assert told == [f"{GITEA} is used by somebody else and stays"]
    assert GITEA in deployed.names("image")


@pytest.mark.parametrize("at", ["rm -v", "network rm"])
def test_a_run_that_was_killed_is_finished_by_the_next(
    deployed: FakeEngine, host: LocalHost, layout: Layout, clock: Any, at: str
) -> None:
    deployed.die_at(at)
    wish = {"delete_data": True, "remove_images": True}
    removal = plan(host, layout, **wish)[1]
    # the lock of the killed run is still there: its process is gone
    made = make_lock(host, layout, clock)
    lock = Held(made.host, made.layout, made.owner, made.clock, made.is_gone)
    with pytest.raises(InstallError):
        list(uninstall(removal, host, lock))
    assert '"begun"' in Path(layout.journal).read_text()
    deployed.die_at(None)
    again = plan(host, layout, **wish)[1]
    next_lock = make_lock(host, layout, clock, "r2", gone=True)
    list(uninstall(again, host, next_lock))
    assert plan(host, layout, **wish)[1].is_empty
    assert deployed.names("container") == {"theirs"}


def test_killed_between_any_two_steps_the_next_run_finds_the_rest(
    deployed: FakeEngine, host: LocalHost, layout: Layout, clock: Any
) -> None:
    count = len(list(removal_steps(plan(host, layout, delete_data=True)[1], host)))
    assert count >= 5
    for _ in range(count):
        removal = plan(host, layout, delete_data=True)[1]
        step = next(iter(removal_steps(removal, host)))
        list(step.do())
        assert step.verify()
        assert step.id not in [
            s.id for s in removal_steps(plan(host, layout, delete_data=True)[1], host)
        ]
    assert Path(layout.state).exists()  # the last, with the lock
    remove(host, layout, clock, delete_data=True)
    assert plan(host, layout, delete_data=True)[1].is_empty


def test_the_lock_of_another_run_is_respected(
    deployed: FakeEngine, host: LocalHost, layout: Layout, clock: Any
) -> None:
    make_lock(host, layout, clock, "other").acquire()
    with pytest.raises(LockedError):
        remove(host, layout, clock)
    assert "trial-gitea-1" in deployed.names("container")
    assert Path(layout.lock).exists()


def test_an_engine_that_does_not_answer_stops_it_before_anything_is_changed(
    deployed: FakeEngine, host: LocalHost, layout: Layout
) -> None:
    deployed.silence()
    with pytest.raises(ContainerRuntimeError) as caught:
        read_found(host, layout)
    assert caught.value.problems[0].code == "uninstall.engine_silent"


def test_a_host_without_anything_has_nothing_of_ours(
    engine: FakeEngine, host: LocalHost, tmp_path: Path
) -> None:
    nowhere = Layout(str(tmp_path / "no/opt"), str(tmp_path / "no/data"))
    assert plan(host, nowhere)[1].is_empty


def test_a_network_in_use_makes_the_run_fail_and_the_state_stay(
    deployed: FakeEngine, host: LocalHost, layout: Layout, clock: Any
) -> None:
    """A stranger joined after the look: the engine refuses, and the next look tells."""
    removal = plan(host, layout)[1]
    deployed.add("network", ours("trial_net", users=(thing("theirs").id,)))
    with pytest.raises(InstallError):
        list(uninstall(removal, host, make_lock(host, layout, clock)))
    assert Path(layout.state).exists()
    assert not Path(layout.lock).exists()
    told = {kept.what: kept.why for kept in plan(host, layout)[1].kept}
    assert "theirs is attached" in told["network trial_net"]
