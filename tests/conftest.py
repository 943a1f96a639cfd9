"""Fixtures that more than one area uses, and what `make check` leaves to `make test`."""

from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.integration.way_back")  # its failures say what was seen
pytest_plugins = ["tests.testbed.fixtures"]

HERE = Path(__file__).parent
SLOW = (
    "answers/test_fuzz.py", "ceremony", "certificates", "contract", "packaging", "secrets",
    "standin_tests", "testbed_tests",
)  # fmt: skip
"""Fuzzing, crash points, real servers on loopback: minutes together, seldom broken by a change."""


def pytest_collection_modifyitems(items):
    """Mark what is slow by where it lies."""
    for item in items:
        place = item.path.relative_to(HERE).as_posix() if item.path.is_relative_to(HERE) else ""
        if place.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
