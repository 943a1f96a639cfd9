"""Each profile drawn up once."""

import pytest

from tests.golden.render import PROFILES, draw_up, write_lock


@pytest.fixture(scope="session")
def lock(tmp_path_factory):
    return write_lock(tmp_path_factory.mktemp("lock") / "images.lock.yaml")


@pytest.fixture(scope="session", params=PROFILES, ids=lambda path: path.stem)
def profile(request):
    return request.param


@pytest.fixture(scope="session")
def job(profile, lock):
    return draw_up(profile, lock)
