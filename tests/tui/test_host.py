"""The host shown while it is asked about; whose key it is, a person confirms."""

from __future__ import annotations

from dataclasses import asdict

from textual.pilot import Pilot
from textual.widgets import Static

from installer.core.errors import HostKeyError
from installer.tui.fields import row_id
from installer.tui.modals import Choose, Confirm
from installer.tui.review import ReviewScreen
from installer.tui.running import RunScreen
from installer.tui.wizard import WizardScreen
from tests.tui.driving import GIVEN, answer_everything, play, see, type_into, until
from tests.tui.front import FINGERPRINT, PINNED, PROBLEM, UNKNOWN_KEY, FakeFront, FakeRun, events


def seen(pilot: Pilot[int]) -> str:
    return str(pilot.app.screen.query_one("#preview", Static).content)


def test_what_the_host_is_and_has_is_shown_beside_the_questions() -> None:
    front = FakeFront(seen={"target": ("Debian 13", "8 CPUs, 32.0 GiB memory")})

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, WizardScreen)
        await type_into(pilot, "ssh.host", "10.0.0.5")
        await pilot.press("f5")
        await until(pilot, lambda: "8 CPUs" in seen(pilot))
        assert seen(pilot) == "Debian 13\n8 CPUs, 32.0 GiB memory"

    play(front, script)


def test_a_key_that_nobody_knows_is_taken_only_when_somebody_says_that_it_is_right() -> None:
    front = FakeFront(seen={"target": HostKeyError(UNKNOWN_KEY)})

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, WizardScreen)
        await type_into(pilot, "ssh.host", "10.0.0.5")
        for keys in (("enter",), ("escape",)):  # the safe answer comes first
            await pilot.press("f5")
            await see(pilot, Confirm)
            await pilot.press(*keys)
            await see(pilot, WizardScreen)
            assert pilot.app.screen.interview.item(PINNED).text == ""
        await pilot.press("f5")
        await see(pilot, Confirm)
        assert FINGERPRINT in str(pilot.app.screen.query("Label").first().content)
        await pilot.press("tab", "enter")
        await see(pilot, WizardScreen)
        field = f"#{row_id(PINNED)} Input"
        await until(
            pilot, lambda: [i.value for i in pilot.app.screen.query(field)] == [FINGERPRINT]
        )

    play(front, script)
    assert front.saved[-1].item(PINNED).text == FINGERPRINT


def test_a_plan_that_stops_at_the_key_goes_on_once_it_is_confirmed() -> None:
    stopped = FakeRun("plan", events(status=7, problems=[asdict(UNKNOWN_KEY)]))
    front = FakeFront(runs={"plan": stopped})

    async def script(pilot: Pilot[int]) -> None:
        await answer_everything(pilot, GIVEN)
        await see(pilot, RunScreen)
        await until(pilot, lambda: stopped.looks <= 0)
        front.runs.clear()
        await until(pilot, lambda: "status 7" in str(pilot.app.screen.query_one("#now").content))
        await pilot.press("escape")
        await see(pilot, Confirm)
        await pilot.press("tab", "enter")
        await see(pilot, ReviewScreen)

    play(front, script)
    assert [command for command, _ in front.started] == ["plan", "plan"]
    assert front.saved[-1].item(PINNED).text == FINGERPRINT


def test_after_a_failure_everything_that_helps_is_offered() -> None:
    """Back to the release before, a shell there, an archive for whoever is asked for help."""
    failing = FakeRun("apply", events(status=15, problems=[PROBLEM]), looks=1)
    front = FakeFront(runs={"apply": failing})

    async def script(pilot: Pilot[int]) -> None:
        await answer_everything(pilot, GIVEN)
        await see(pilot, ReviewScreen)
        await pilot.press(*"devplat", "enter")
        await see(pilot, RunScreen)
        await until(pilot, lambda: "status 15" in str(pilot.app.screen.query_one("#now").content))
        await pilot.press("escape")
        await see(pilot, Choose)
        shown = [str(button.label) for button in pilot.app.screen.query("Button")]
        assert shown[0] == "Look at the checks"
        assert {"Roll back", "Open a shell", "Save a support bundle"} < set(shown)
        await pilot.click("#bundle")
        await until(pilot, lambda: ("support-bundle", ()) in front.started)
        await see(pilot, Choose)
        await pilot.click("#rollback")
        await until(pilot, lambda: ("rollback", ("--yes",)) in front.started)

    play(front, script)
