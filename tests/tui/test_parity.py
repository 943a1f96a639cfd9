"""One set of answers, three ways in: on the screens, as lines at a terminal, and as a file (BR-04).

Each golden profile is typed as a person would type it, and has to come out byte for byte.
"""

from __future__ import annotations

import re
from argparse import Namespace
from pathlib import Path

import pytest
from textual.pilot import Pilot

from installer import reading
from installer.core import draft
from installer.core.interview import Interview
from installer.tui.review import ReviewScreen
from installer.tui.wizard import WizardScreen
from tests.golden.render import PROFILES, draw_up, write_lock
from tests.interview.terminal import Terminal, open_terminals
from tests.tui.driving import CATALOG, SMALL, go_to, play, see, type_into
from tests.tui.front import FakeFront

each_profile = pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)


def read(path: Path, *settings: str) -> Interview:
    """The conversation as it would stand after the answers of a file."""
    args = Namespace(answers=str(path), settings=[*settings], environ={}, draft=None)
    return Interview(reading.read_draft(args), CATALOG)


def keystrokes(profile: Path, lock: Path) -> dict[str, str]:
    """Answer path → what a person types there, for every answer that the profile gives."""
    given = read(profile, f"images.lock_file={lock}")
    items = [item for step in given.steps for item in given.items(step)]
    return {item.path: item.text for item in items if item.text}


def answers_of(profile: Path, lock: Path) -> str:
    return draft.dump(read(profile, f"images.lock_file={lock}").validate(attended=True).answers)


def same_bundle(answers: Path, lock: Path, profile: Path) -> bool:
    """Whether answers make the very files that the profile makes."""
    return draw_up(answers, lock).bundle.files == draw_up(profile, lock).bundle.files


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return write_lock(tmp_path / "images.lock.yaml")


async def type_profile(pilot: Pilot[int], keys: dict[str, str]) -> None:
    """Step by step through the list on the left, with the settings of single services shown."""
    await pilot.press("enter")
    await see(pilot, WizardScreen)
    screen = pilot.app.screen
    assert isinstance(screen, WizardScreen)
    typed: set[str] = set()
    if any(screen.interview.item(path).question.is_detail for path in keys):
        await pilot.press("f4")
    for step in screen.interview.steps:
        await go_to(pilot, step)
        while waiting := [
            item.path
            for item in screen.interview.items(step)
            if item.path in keys and item.path not in typed
        ]:
            typed.add(waiting[0])
            await type_into(pilot, waiting[0], keys[waiting[0]])
    assert typed == set(keys)
    await pilot.press("f2")


@pytest.mark.slow
@each_profile
def test_a_profile_typed_on_the_screens_is_the_profile(
    profile: Path, lock: Path, tmp_path: Path
) -> None:
    front, keys = FakeFront(), keystrokes(profile, lock)

    async def script(pilot: Pilot[int]) -> None:
        await type_profile(pilot, keys)
        await see(pilot, ReviewScreen)

    play(front, script, size=SMALL)
    written = draft.dump(front.saved[-1].validate(attended=True).answers)
    assert written == answers_of(profile, lock)
    answers = tmp_path / "answers.yaml"
    answers.write_text(written)
    assert same_bundle(answers, lock, profile)


def answer_lines(terminal: Terminal, profile: Path, lock: Path, written: Path) -> None:
    """At each prompt what belongs there, a reason where a warning wants one, until it is kept."""
    keys = keystrokes(profile, lock)
    given = read(profile, f"images.lock_file={lock}")
    titles = [
        (f"{number}.", item.question.title, item.path)
        for number, step in enumerate(given.steps, start=1)
        for item in given.items(step)
    ]
    while (line := terminal.next_prompt(written.exists)) is not None:
        if line.startswith("Also the "):
            terminal.type("y")
        elif line.startswith("Reason for accepting"):
            terminal.type("told again with the waivers")
        else:
            number, _, title = line.partition(" [")[0].partition(" ")
            meant = [p for n, t, p in titles if number.startswith(n) and t == title and p in keys]
            terminal.type(keys.pop(meant[0], "").replace("\n", "; ") if meant else "")
    assert not keys


# a conversation looks whether a named file is there, and those of a profile are on no machine
@pytest.mark.slow
@pytest.mark.parametrize(
    "profile",
    [path for path in PROFILES if "certificate_file" not in path.read_text()],
    ids=lambda path: path.stem,
)
def test_a_profile_typed_as_lines_is_the_profile(profile: Path, lock: Path, tmp_path: Path) -> None:
    written = tmp_path / "run/answers.yaml"
    names = [*re.findall(r"env:([A-Z_]+)", profile.read_text()), "DEVPLAT_STORE_PASSPHRASE"]
    with open_terminals(tmp_path) as start:
        terminal = start("--plain", **dict.fromkeys(names, "a long passphrase of this test 42!"))
        answer_lines(terminal, profile, lock, written)
        assert written.exists(), terminal.text
    assert written.read_text() == answers_of(profile, lock)
    assert same_bundle(written, lock, profile)
