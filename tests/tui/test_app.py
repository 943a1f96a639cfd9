"""The screens: what is typed arrives, what the core says is shown, and nothing else is decided."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, RichLog, Select, Static, TextArea

from installer.core import draft
from installer.core.interview import Interview
from installer.plain import Dialogue
from installer.tui.app import InstallerApp
from installer.tui.fields import FieldRow, row_id
from installer.tui.modals import Choose, Evidence, SecretQuestion
from installer.tui.results import ResultsScreen
from installer.tui.review import ReviewScreen
from installer.tui.running import RunScreen
from installer.tui.size import TooSmall
from installer.tui.welcome import WelcomeScreen
from installer.tui.wizard import WizardScreen
from tests.stacks.builders import load
from tests.tui.front import PROBLEM, REPORT, FakeFront, FakeRun, events

CATALOG = load()
SMALL, LARGE = (80, 24), (160, 48)
PATIENCE_S = 20
GIVEN = {
    "ssh.host": "10.0.0.5",
    "domain.base": "company.com",
    "tls.profile": "modern",
    "admin.email": "ops@company.com",
    "vault.mode": "embedded",
    "labels": "team: tools",
}
Play = Callable[[Pilot[int]], Awaitable[None]]


def play(front: FakeFront, script: Play, *, size=SMALL, earlier: Interview | None = None):
    """Run the program with a script in the place of hands; returns the app afterwards."""
    app = InstallerApp(Interview(draft.Draft(), CATALOG), earlier, front)

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: isinstance(app.screen, WelcomeScreen))
            await script(pilot)

    asyncio.run(run())
    return app


async def until(pilot: Pilot[int], holds: Callable[[], bool]) -> None:
    end = asyncio.get_running_loop().time() + PATIENCE_S
    while not holds():
        assert asyncio.get_running_loop().time() < end, f"never on {pilot.app.screen}"
        await pilot.pause(0.02)


async def see(pilot: Pilot[int], screen: type) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, screen))
    await pilot.pause()


def row(pilot: Pilot[int], path: str) -> FieldRow:
    return pilot.app.screen.query_one(f"#{row_id(path)}", FieldRow)


def said(pilot: Pilot[int], path: str) -> str:
    return str(row(pilot, path).query_one(".said", Static).content)


async def type_into(pilot: Pilot[int], path: str, text: str) -> None:
    """Go to a field, type, and leave it."""
    control = row(pilot, path).control
    control.focus()
    await pilot.pause()
    if isinstance(control, Select):
        control.value = text
    elif isinstance(control, TextArea):
        control.insert(text)
    else:
        assert isinstance(control, Input)
        control.value = ""
        await pilot.press(*("space" if c == " " else c for c in text))
    await pilot.press("tab")
    await pilot.pause()


async def answer_everything(pilot: Pilot[int], given: dict[str, str]) -> None:
    """Through all steps by keyboard, typing where something was prepared."""
    await pilot.press("enter")
    await see(pilot, WizardScreen)
    screen = pilot.app.screen
    assert isinstance(screen, WizardScreen)
    for step in screen.interview.steps:
        for path in [path for path in given if screen.interview.form.questions[path]]:
            if path in {item.path for item in screen.interview.items(step)}:
                await type_into(pilot, path, given[path])
        await pilot.press("f2")
        await pilot.pause()


def lines_for(interview: Interview) -> str:
    return draft.dump(interview.validate(attended=True).answers)


def test_screens_lines_and_a_file_make_the_same_answers() -> None:
    """Byte for byte, from the same answers typed."""
    front = FakeFront()

    async def script(pilot: Pilot[int]) -> None:
        await answer_everything(pilot, GIVEN)
        await see(pilot, ReviewScreen)

    play(front, script)
    by_screen = lines_for(front.saved[-1])

    asked: list[str] = []

    def ask(prompt: str) -> str:
        number = prompt.partition(" ")[0]
        assert number
        path = dialogue.at
        asked.append(path)
        return GIVEN.get(path, "") if asked.count(path) == 1 else ""

    dialogue = Told(Interview(draft.Draft(), CATALOG), ask=ask)
    by_lines = lines_for(dialogue.hold())
    flags = [f"{path}={text}" for path, text in GIVEN.items() if path != "labels"]
    by_file = draft.validate(
        draft.from_flags([*flags, "labels.team=tools"]), CATALOG, attended=True
    )
    assert by_screen == by_lines == draft.dump(by_file.answers)


class Told(Dialogue):
    """Knows which question is being asked."""

    at = ""

    def __init__(self, interview, ask) -> None:
        super().__init__(interview, ask=ask, tell=lambda _: None, keep=lambda _: None)

    def _ask_one(self, place) -> int:
        self.at = place.path
        return super()._ask_one(place)

    def _offer_details(self, index: int) -> None:
        self.at = ""


def test_a_refused_answer_is_told_at_its_field_and_holds_the_step() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, WizardScreen)
        await type_into(pilot, "ssh.host", "-o")
        assert row(pilot, "ssh.host").has_class("refused")
        assert "ssh" in said(pilot, "ssh.host") or "host" in said(pilot, "ssh.host")
        await pilot.press("f2")
        await pilot.pause()
        assert "Target" in pilot.app.screen.sub_title
        await type_into(pilot, "ssh.host", "10.0.0.5")
        assert not row(pilot, "ssh.host").has_class("refused")
        await pilot.press("f2")
        await pilot.pause()
        assert "Domain" in pilot.app.screen.sub_title

    play(FakeFront(), script)


def test_a_missing_answer_is_told_only_after_the_step_was_to_be_left() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, WizardScreen)
        assert said(pilot, "ssh.host") == ""
        await pilot.press("f2")
        await pilot.pause()
        assert "required" in said(pilot, "ssh.host")
        assert pilot.app.focused is row(pilot, "ssh.host").control

    play(FakeFront(), script)


def test_a_mode_brings_its_fields_and_going_back_keeps_what_was_typed() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, WizardScreen)
        for path, text in (("ssh.host", "10.0.0.5"), ("domain.base", "company.com")):
            await type_into(pilot, path, text)
            await pilot.press("f2")
            await pilot.pause()
        assert not pilot.app.screen.query(f"#{row_id('tls.certificate_file')}")
        await type_into(pilot, "tls.mode", "files")
        await until(
            pilot, lambda: bool(pilot.app.screen.query(f"#{row_id('tls.certificate_file')}"))
        )
        await type_into(pilot, "tls.certificate_file", "certs/a.pem")
        await pilot.press("f3")
        await pilot.pause()
        control = row(pilot, "domain.base").control
        assert isinstance(control, Input)
        assert control.value == "company.com"
        await pilot.press("ctrl+z")
        await pilot.pause()
        assert pilot.app.screen.interview.item("tls.certificate_file").text == ""

    play(FakeFront(), script)


def test_every_answer_is_kept_when_its_field_is_left() -> None:
    front = FakeFront()

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, WizardScreen)
        await type_into(pilot, "ssh.host", "10.0.0.5")
        assert front.saved[-1].item("ssh.host").text == "10.0.0.5"

    play(front, script)


def test_a_name_is_looked_up_behind_the_typing() -> None:
    front = FakeFront(names={"company.com": ("192.0.2.10",)})

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, WizardScreen)
        await type_into(pilot, "ssh.host", "10.0.0.5")
        await pilot.press("f2")
        await pilot.pause()
        await type_into(pilot, "domain.base", "company.com")
        await until(pilot, lambda: "192.0.2.10" in said(pilot, "domain.base"))

    play(front, script)
    assert "company.com" in front.looked_up


def test_consent_is_the_name_typed_and_nothing_starts_before() -> None:
    front = FakeFront(last_report=REPORT)

    async def script(pilot: Pilot[int]) -> None:
        await answer_everything(pilot, GIVEN)
        await see(pilot, ReviewScreen)
        assert [command for command, _ in front.started] == ["plan"]
        await pilot.press(*"other", "enter")
        await pilot.pause()
        assert isinstance(pilot.app.screen, ReviewScreen)
        pilot.app.screen.query_one("#name", Input).value = ""
        await pilot.press(*"devplat", "enter")
        await see(pilot, ResultsScreen)

    # welcome offers the report's verification too, below
    play(front, script)
    assert front.started[1] == ("apply", ("--yes", "--plan", "0123456789ab"))


def test_a_plan_that_fails_leads_back_to_the_questions() -> None:
    failed = FakeRun("plan", events(status=5, problems=[PROBLEM]))
    front = FakeFront(runs={"plan": failed})

    async def script(pilot: Pilot[int]) -> None:
        await answer_everything(pilot, GIVEN)
        await see(pilot, RunScreen)
        now = pilot.app.screen.query_one("#now", Static)
        await until(pilot, lambda: "status 5" in str(now.content))
        log = pilot.app.screen.query_one("#log", RichLog)
        assert "coder never became healthy" in "".join(line.text for line in log.lines)
        assert "docker logs coder" in "".join(line.text for line in log.lines)
        await pilot.press("escape")
        await see(pilot, WizardScreen)

    play(front, script)
    assert [command for command, _ in front.started] == ["plan"]


def test_what_a_run_asks_is_put_hidden_and_answered() -> None:
    run = FakeRun(asks="Passphrase of the key: ", looks=1)
    front = FakeFront(under_way=run, last_report=REPORT)

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, SecretQuestion)
        entry = pilot.app.screen.query_one("#secret", Input)
        assert entry.password
        await pilot.press(*"hush", "enter")
        await see(pilot, ResultsScreen)

    play(front, script)
    assert run.told == ["hush"]


def test_what_was_typed_for_the_plan_is_not_asked_for_again() -> None:
    runs = {name: FakeRun(name, asks="Passphrase: ", looks=1) for name in ("plan", "apply")}
    front = FakeFront(runs=runs, last_report=REPORT)

    async def script(pilot: Pilot[int]) -> None:
        await answer_everything(pilot, GIVEN)
        await see(pilot, SecretQuestion)
        await pilot.press(*"hush", "enter")
        await see(pilot, ReviewScreen)
        await pilot.press(*"devplat", "enter")
        await see(pilot, ResultsScreen)

    play(front, script)
    assert runs["plan"].told == runs["apply"].told == ["hush"]


def test_a_failed_run_can_be_tried_again() -> None:
    failing = FakeRun("apply", events(status=15, problems=[PROBLEM]), looks=1)
    front = FakeFront(runs={"apply": failing}, last_report=REPORT)

    async def script(pilot: Pilot[int]) -> None:
        await answer_everything(pilot, GIVEN)
        await see(pilot, ReviewScreen)
        await pilot.press(*"devplat", "enter")
        await see(pilot, RunScreen)
        await until(pilot, lambda: "status 15" in str(now(pilot).content))
        await pilot.press("escape")
        await see(pilot, Choose)
        front.runs["apply"] = FakeRun("apply", looks=1)
        await pilot.press("tab", "enter")
        await see(pilot, ResultsScreen)

    def now(pilot: Pilot[int]) -> Static:
        return pilot.app.screen.query_one("#now", Static)

    play(front, script)
    assert [command for command, _ in front.started] == ["plan", "apply", "apply"]
    assert front.started[1] == front.started[2]


def test_sizes_are_shown_while_they_are_chosen() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, WizardScreen)
        screen = pilot.app.screen
        preview = screen.query_one("#preview", Static)
        assert not preview.display
        names = [step.name for step in screen.interview.steps]
        screen.query_one("#steps").index = names.index("sizing")
        screen.query_one("#steps").action_select_cursor()
        await until(pilot, lambda: preview.display)
        assert "14 CPUs" in str(preview.content)

    play(FakeFront(), script)


def test_a_stop_is_asked_for_once_and_the_safe_answer_is_first() -> None:
    """F-067."""
    run = FakeRun(looks=10**6)
    front = FakeFront(under_way=run)

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, RunScreen)
        await pilot.press("ctrl+c")
        await see(pilot, Choose)
        await pilot.press("enter")
        await see(pilot, RunScreen)
        assert not run.interrupted
        await pilot.press("ctrl+c")
        await see(pilot, Choose)
        await pilot.press("tab", "enter")
        await until(pilot, lambda: run.interrupted)
        await pilot.press("escape")

    play(front, script)


def test_a_run_under_way_is_offered_first_and_shown_from_its_start() -> None:
    """F-068."""
    run = FakeRun(looks=10**6)

    async def script(pilot: Pilot[int]) -> None:
        assert pilot.app.focused is not None
        assert pilot.app.focused.id == "watch"
        await pilot.press("enter")
        await see(pilot, RunScreen)
        await until(pilot, lambda: "ship files" in shown(pilot))
        await pilot.press("escape")

    def shown(pilot: Pilot[int]) -> str:
        tree = pilot.app.screen.query_one("#steps-done")
        return " ".join(str(node.label) for node in tree.root.children)

    play(FakeFront(under_way=run), script)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_results_show_what_is_not_passed_first_and_its_evidence(size) -> None:
    front = FakeFront(last_report=REPORT)

    def detail(pilot: Pilot[int]) -> str:
        return str(pilot.app.screen.query_one("#detail", Static).content)

    # needs answers that stand: those of last time
    earlier = Interview(draft.Draft(), CATALOG)
    for path, text in GIVEN.items():
        earlier = earlier.answer(path, text)

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("tab", "tab", "enter")
        await see(pilot, ResultsScreen)
        table = pilot.app.screen.query_one("#table", DataTable)
        assert table.row_count == 2
        assert "disk is not full" in str(table.get_row_at(0))
        await until(pilot, lambda: "docker logs coder" in detail(pilot))
        await pilot.press("enter")
        await see(pilot, Evidence)
        await pilot.press("escape")
        await see(pilot, ResultsScreen)
        await pilot.press("p")
        assert table.row_count == 4

    play(front, script, size=size, earlier=earlier)
    assert [command for command, _ in front.started] == ["verify"]


def test_a_terminal_that_is_too_small_says_so_and_keeps_what_was_typed() -> None:
    """F-075, F-076."""
    front = FakeFront()

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, WizardScreen)
        await type_into(pilot, "ssh.host", "10.0.0.5")
        await pilot.resize_terminal(40, 10)
        await see(pilot, TooSmall)
        await pilot.resize_terminal(200, 60)
        await see(pilot, WizardScreen)
        control = row(pilot, "ssh.host").control
        assert isinstance(control, Input)
        assert control.value == "10.0.0.5"

    play(front, script)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_the_focused_field_is_on_the_screen_through_the_whole_step(size) -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, WizardScreen)
        for _ in range(len(pilot.app.screen.query(FieldRow))):
            await pilot.pause()
            focused = pilot.app.focused
            assert focused is not None
            assert pilot.app.screen.region.contains_region(focused.region), focused
            await pilot.press("tab")

    play(FakeFront(), script, size=size)
