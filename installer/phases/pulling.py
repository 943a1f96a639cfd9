"""The lines of a pull as events: progress in bytes where Compose tells it, else signs of life."""

from __future__ import annotations

from collections.abc import Iterator

from installer.core.events import Event, StepOutput, StepProgress
from installer.core.pull_progress import PullProgress
from installer.phases.steps import relay
from installer.ports import OutputLine, Talk


def relay_pull(step: str, talk: Talk[OutputLine, object]) -> Iterator[Event]:
    """As `relay`; what is told of single layers becomes the progress of all, once per percent."""
    pulled = PullProgress()
    told = -1
    for event in relay(step, talk):
        heard = isinstance(event, StepOutput) and pulled.hear(event.line)
        beat = isinstance(event, StepProgress)
        done, total = pulled.done, pulled.total
        if not heard and (total is None or not beat):
            yield event
        elif total is not None and (beat or told != 100 * done // total):
            told = 100 * done // total
            note = "of the images" if done < total else "of the images, unpacking"
            yield StepProgress(step, done, total, note)
