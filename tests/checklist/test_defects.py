"""Each seeded defect makes exactly its item fail, and those that share its probe (CR-08, CR-10)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from installer.core.checklist import Mode, Result
from tests.checklist.defects import DEFECTS, SMOKE
from tests.checklist.sound import (
    TABLE,
    Results,
    everything,
    report_of,
    smoke_ids,
    stand,
    with_results,
)

_FRAME = report_of(())


def not_passed(results: Results) -> set[str]:
    """Heads of the automatic items, and measured sides of assisted ones, that do not pass."""
    standing = stand(replace(_FRAME, checks=results))
    return {state.head.id for state in standing.items if state.measured.faults}


SOUND = not_passed(everything())
"""What does not apply to these answers."""


def test_a_sound_installation_passes_every_automatic_item() -> None:
    standing = stand(report_of())
    results = {s.item.id: s.result for s in standing.items if s.item.mode is Mode.AUTOMATIC}
    assert set(results.values()) == {Result.PASS}
    assert {"CK-45"} == SOUND


def test_there_are_sixty_defects_and_more_and_every_automatic_item_has_one() -> None:
    assert len({name for _, name, _ in DEFECTS}) == len(DEFECTS) >= 60
    automatic = {TABLE.head(i).id for i in TABLE.items if i.mode is Mode.AUTOMATIC}
    assert automatic <= {item for item, _, _ in DEFECTS}


@pytest.mark.parametrize(
    ("item", "make"), [pytest.param(item, make, id=name) for item, name, make in DEFECTS]
)
def test_a_defect_fails_its_item_and_no_other(item: str, make: Callable[[], Results]) -> None:
    assert not_passed(with_results(*make())) - SOUND == {item}


def test_a_smoke_test_that_the_rows_name_is_one_that_a_manifest_has() -> None:
    assert set(SMOKE) <= set(smoke_ids())
