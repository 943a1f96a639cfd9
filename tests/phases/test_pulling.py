"""Progress of a pull in bytes, from what Compose 2.26 prints; other text is no progress."""

import pytest

from installer.core.events import StepOutput, StepProgress
from installer.core.pull_progress import PullProgress
from installer.phases.pulling import relay_pull
from installer.ports import OutputLine

BAR = "[==>        ]"
PRINTED = f"""\
 a Pulling
 fa1a1bdbf960 Pulling fs layer
 e6038d0c0849 Pulling fs layer
 6eac1acdde3b Waiting
 fa1a1bdbf960 Downloading {BAR}     769B/10.24kB
 fa1a1bdbf960 Downloading {BAR}  10.24kB/10.24kB
 fa1a1bdbf960 Verifying Checksum
 fa1a1bdbf960 Download complete
 e6038d0c0849 Downloading {BAR}  540.7kB/141.6MB
 e6038d0c0849 Downloading {BAR}     70.8MB/141.6MB
 fa1a1bdbf960 Extracting {BAR}  10.24kB/10.24kB
 fa1a1bdbf960 Pull complete
 6eac1acdde3b Download complete
 e6038d0c0849 Download complete
 e6038d0c0849 Extracting {BAR}  557.1kB/141.6MB
 a Pulled
"""


def after(lines):
    progress = PullProgress()
    for line in lines:
        progress.hear(line)
    return progress.done, progress.total


def pulling(*lines):
    def talk():
        for line in lines:
            yield OutputLine(line, "beat" if line == "" else "err")

    return list(relay_pull("launch.pull", talk()))


@pytest.mark.parametrize(
    ("count", "done", "total"),
    [
        pytest.param(4, 0, None, id="no size is known"),
        pytest.param(5, 769, 3 * 10_240, id="a layer of unknown size is like the others"),
        pytest.param(10, 70_810_240, 141_610_240 + 141_610_240 // 2, id="half of the large one"),
        pytest.param(13, 70_810_240, 141_610_240, id="a small layer tells no size"),
        pytest.param(16, 141_610_240, 141_610_240, id="everything is here"),
    ],
)
def test_the_bytes_of_all_layers_are_added(count, done, total):
    assert after(PRINTED.splitlines()[:count]) == (done, total)


def test_a_layer_that_begins_anew_counts_from_its_start():
    lines = [f"aaaaaaaaaaaa Downloading {BAR} 5MB/10MB", "aaaaaaaaaaaa Pulling fs layer"]
    assert after(lines) == (0, None)


@pytest.mark.parametrize(
    "line",
    [
        "", "a Pulling", "postgres Downloading 1MB/2MB", "deadbeef0123",
        "0123456789ab frobnicating",
        "Error response from daemon: manifest for 0123456789ab Downloading 1MB/2MB", "\x1b[2K",
        "0123456789ab Downloading [=>] 1.2.3.4MB", "0123456789ab Downloading 5 of 7 MB",
    ],
)  # fmt: skip
def test_what_is_not_understood_is_no_progress(line):
    assert after([line]) == (0, None)


def test_a_number_that_is_none_is_no_error():
    line = f"0123456789ab Downloading {BAR} 1.2.3MB/..MB"
    assert after([line]) == (0, None)


def test_a_pull_is_told_once_per_percent_and_other_lines_as_they_are():
    steps = [f"aaaaaaaaaaaa Downloading {BAR} {n}kB/100MB" for n in range(0, 100_001, 100)]
    events = pulling("a Pulling", *steps, "aaaaaaaaaaaa Download complete", "a Pulled")
    assert [e.line for e in events if isinstance(e, StepOutput)] == ["a Pulling", "a Pulled"]
    told = [e for e in events if isinstance(e, StepProgress)]
    assert [e.done for e in told] == [n * 1_000_000 for n in range(101)]
    assert {e.total for e in told} == {100_000_000}
    assert (told[0].note, told[-1].note) == ("of the images", "of the images, unpacking")


def test_signs_of_life_carry_the_bytes_once_there_are_any():
    events = pulling("", f"aaaaaaaaaaaa Downloading {BAR} 1MB/2MB", "", "")
    assert [(e.done, e.total) for e in events] == [
        (1, None), (1_000_000, 2_000_000), (1_000_000, 2_000_000), (1_000_000, 2_000_000),
    ]  # fmt: skip


def test_an_error_passes_through():
    def talk():
        yield OutputLine("aaaaaaaaaaaa Waiting", "err")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        list(relay_pull("launch.pull", talk()))
