"""Estimates: by a step's own pace where it knows its size, else by earlier runs, else none."""

from datetime import UTC, datetime, timedelta

import pytest

from installer.core.events import (
    Outcome,
    Stamped,
    StepFinished,
    StepOutput,
    StepProgress,
    StepStarted,
)
from installer.output.text import Narrator
from installer.recording import stamp

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def stamped(*timed, medians=None):
    """Events as they leave; each is given with the seconds at which it happens."""
    times = iter([BEGUN + timedelta(seconds=second) for second, _ in timed])

    def run():
        yield from (event for _, event in timed)

    return list(
        stamp(
            run(),
            now=lambda: next(times).isoformat(timespec="milliseconds"),
            redact=lambda event: event,
            medians=medians or {},
        )
    )


def estimates(*timed, medians=None):
    return [
        event.event.eta_s for event in stamped(*timed, medians=medians)
        if not isinstance(event.event, StepOutput | StepFinished)
    ]  # fmt: skip


UPLOAD = (
    (0, StepStarted("ship", "ship")),
    (0, StepProgress("ship", 0, 5_000_000, "3 files")),
    (2, StepProgress("ship", 1_000_000, 5_000_000, "3 files")),
    (5, StepProgress("ship", 4_000_000, 5_000_000, "3 files")),
    (6, StepProgress("ship", 5_000_000, 5_000_000, "3 files")),
)


def test_a_first_run_estimates_an_upload_by_its_bytes():
    assert estimates(*UPLOAD) == [None, None, 8.0, 1.2, 0.0]


def test_the_pace_of_this_run_counts_more_than_earlier_ones():
    assert estimates(*UPLOAD, medians={"ship": 60.0}) == [60.0, 60.0, 8.0, 1.2, 0.0]


def test_a_step_of_unknown_size_takes_what_it_usually_does():
    timed = (
        (0, StepStarted("pull", "pull")),
        (10, StepProgress("pull", 5, None, "still working")),
        (45, StepProgress("pull", 9, None, "still working")),
    )
    assert estimates(*timed, medians={"pull": 40.25}) == [40.2, 30.2, None]
    assert estimates(*timed) == [None, None, None]


@pytest.mark.parametrize(
    "progress",
    [
        pytest.param((0.5, StepProgress("s", 1, 100)), id="too early to tell"),
        pytest.param((9, StepProgress("s", 0, 100)), id="nothing done"),
        pytest.param((9, StepProgress("s", 101, 100)), id="more done than there is"),
        pytest.param((9, StepProgress("other", 1, 100)), id="a step that never began"),
        pytest.param((9, StepProgress("s", 0, 0)), id="nothing to do"),
    ],
)
def test_no_pace_gives_no_estimate(progress):
    assert estimates((0, StepStarted("s", "s")), progress) == [None, None]


def told(events, **options):
    lines = []
    options = {"colour": False, "verbose": False, "quiet": False, **options}
    narrator = Narrator(lines.append, **options)
    for event in events:
        narrator(event)
    return lines


def test_a_long_upload_says_when_it_will_be_done_and_not_every_second():
    timed = [(0, StepStarted("ship", "ship the release"))]
    timed += [(s, StepProgress("ship", s * 10_000, 1_000_000, "3 files")) for s in range(35)]
    timed += [(35, StepFinished("ship", Outcome.PASS, changed=True))]
    assert told(stamped(*timed))[1:-1] == [
        "          1 % 3 files, about 2 min left",
        "          11 % 3 files, about 89 s left",
        "          21 % 3 files, about 79 s left",
        "          31 % 3 files, about 69 s left",
    ]


def test_progress_without_an_estimate_is_for_the_verbose():
    events = [Stamped(1, BEGUN.isoformat(), StepProgress("s", 1, 3, "going"))]
    assert told(events) == []
    assert told(events, verbose=True) == ["          1/3 going"]
    assert told(events, quiet=True) == []
