"""A schedule of crontab(5) as plain numbers, for programs that do not read its five fields."""

from __future__ import annotations

from installer.core.fields_sizes import expand_schedule


def schedule_slots(text: str) -> dict[str, object]:
    """What each field allows: `minutes`, `hours`, `days`, `months`, `weekdays` (0 is Sunday).

    `either` says that day and weekday are both restricted, so that either is enough, as
    crontab(5) has it.
    """
    minutes, hours, days, months, weekdays = expand_schedule(text)
    fields = text.split()
    return {
        "minutes": sorted(minutes),
        "hours": sorted(hours),
        "days": sorted(days),
        "months": sorted(months),
        "weekdays": sorted({day % 7 for day in weekdays}),
        "either": not fields[2].startswith("*") and not fields[4].startswith("*"),
    }
