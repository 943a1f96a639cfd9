"""The test-bed for pytest: a run per session, fresh hosts per test or module. Where there is no
engine the tests skip with the reason; with `DEVPLAT_REQUIRE_ENGINE=1` they fail, so that a build
cannot pass by skipping them.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import pytest

from tests.testbed import bed, faults
from tests.testbed.bed import Testbed
from tests.testbed.commands import TestbedError
from tests.testbed.hosts import Host
from tests.testbed.places import find_places

REQUIRED = "DEVPLAT_REQUIRE_ENGINE"


@pytest.fixture(scope="session")
def testbed() -> Iterator[Testbed]:
    """A run of this session's own: network, registry, no host yet."""
    run_id = f"t{os.getpid()}-{secrets.token_hex(2)}"
    try:
        made = bed.up(run_id, 0)
    except TestbedError as error:
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"no test-bed, and {REQUIRED}=1: {error}")
        pytest.skip(f"no test-bed: {error}")
    (find_places().run(run_id) / "owner").write_text(str(os.getpid()))
    bed.remove_dead_runs()
    try:
        yield made
    finally:
        bed.down(run_id)


def _lend(testbed: Testbed, name: str) -> Iterator[Host]:
    host = testbed.add_host(name)
    try:
        yield host
    finally:
        testbed.remove_host(name)


@pytest.fixture
def testbed_host(testbed: Testbed) -> Iterator[Host]:
    """A host that nobody has touched, for one test."""
    yield from _lend(testbed, f"h{secrets.token_hex(3)}")


@pytest.fixture(scope="module")
def module_host(testbed: Testbed) -> Iterator[Host]:
    """A host that the tests of one module share, in the order they are written."""
    yield from _lend(testbed, f"m{secrets.token_hex(3)}")


@pytest.fixture
def cut(testbed: Testbed) -> Callable[[Host, str], AbstractContextManager[None]]:
    """`with cut(host, how):`; see `faults.WAYS`."""
    return partial(faults.cut, testbed)
