"""Directories that change places: killed anywhere, the old data comes back. BK-18, BK-20."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

import pytest

from installer.adapters.local import LocalHost
from installer.core.errors import ConflictError
from installer.core.layout import Layout
from installer.phases import restore
from installer.phases.drill import Drill
from installer.phases.restore import Move, go_back, note_path, refuse_half_restored, swap_step
from installer.ports import Command, Completed

MANIFEST = {"run": "20260101T030000Z-00000000", "parts": []}


class Cut(Exception):
    """The connection is lost."""


class CutHost(LocalHost):
    """Runs so many commands, then none: before the next one, or in the middle of it."""

    def __init__(self, commands: int, *, halfway: bool) -> None:
        super().__init__()
        self.left, self.halfway = commands, halfway

    def run(self, command: Command) -> Completed:
        if self.left <= 0:
            if self.halfway and "mv -T" in command.script:
                lines = command.script.splitlines()
                super().run(Command("\n".join(lines[:-1]), privileged=command.privileged))
            raise Cut
        self.left -= 1
        return super().run(command)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    if os.geteuid() != 0:
        pytest.skip("the phases act as root; this test needs root")
    made = Layout(str(tmp_path / "opt"), str(tmp_path / "data"))
    Path(made.state).mkdir(parents=True)
    return made


def prepare(layout: Layout) -> tuple[Move, ...]:
    """Two services with old data, and what was restored for them."""
    moves = []
    for name in ("first", "second"):
        live = Path(layout.data(name, "data"))
        ready = Path(layout.data_dir) / "restore/in-place" / name / "data"
        for folder, word in ((live, "old"), (ready, "new")):
            folder.mkdir(parents=True)
            (folder / "word").write_text(word)
        aside = Path(layout.data_dir) / "restore/before-x" / name / "data"
        moves.append(Move(str(ready), str(live), str(aside), "1000:1000"))
    return tuple(moves)


def words(moves: tuple[Move, ...]) -> list[str]:
    return [(Path(move.live) / "word").read_text() for move in moves]


def swap(
    host: LocalHost, layout: Layout, moves: tuple[Move, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "plan_moves", lambda *_: moves)
    work = cast(Drill, type("Work", (), {"host": host, "layout": layout})())
    step = swap_step(work, cast(dict[str, Any], MANIFEST), None)
    for _ in step.do():
        pass
    assert step.verify()


def test_what_was_restored_takes_the_place_and_the_old_data_is_kept(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves = prepare(layout)
    swap(LocalHost(), layout, moves, monkeypatch)
    assert words(moves) == ["new", "new"]
    assert [(Path(m.aside) / "word").read_text() for m in moves] == ["old", "old"]
    assert Path(moves[0].live).stat().st_uid == 1000
    # while it is under way nothing else may start; taking it back gives the old data
    with pytest.raises(ConflictError, match="interrupted"):
        refuse_half_restored(LocalHost(), layout)
    go_back(LocalHost(), layout)
    assert words(moves) == ["old", "old"]
    refuse_half_restored(LocalHost(), layout)


@pytest.mark.parametrize("halfway", [False, True])
@pytest.mark.parametrize("commands", range(6))
def test_a_restore_cut_anywhere_is_taken_back_whole(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, commands: int, halfway: bool
) -> None:
    """BK-20: no mixture; and taking back can be cut and repeated too."""
    moves = prepare(layout)
    try:
        swap(CutHost(commands, halfway=halfway), layout, moves, monkeypatch)
    except Cut:
        assert commands < 6
    noted = Path(note_path(layout)).exists()
    if noted:
        assert json.loads(Path(note_path(layout)).read_text())["run"] == MANIFEST["run"]
        for again in range(3):
            try:
                go_back(CutHost(again, halfway=halfway), layout)
            except Cut:
                continue
    go_back(LocalHost(), layout)
    assert words(moves) == ["old", "old"]
    assert not Path(note_path(layout)).exists()
