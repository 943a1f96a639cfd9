"""Fixtures over every service and every variant of answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from installer.core.bundle import Bundle
from installer.core.catalog import Catalog
from installer.core.manifest import ServiceManifest
from installer.core.plan import Plan
from tests.stacks.builders import FOLDERS, VARIANTS, load, make


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load()


@pytest.fixture(params=FOLDERS)
def manifest(request: pytest.FixtureRequest, catalog: Catalog) -> ServiceManifest:
    """Each service in turn."""
    return catalog.services[request.param]


@pytest.fixture(params=sorted(VARIANTS))
def rendered(request: pytest.FixtureRequest) -> tuple[Plan, Bundle]:
    """Each variant in turn."""
    return make(request.param)


@pytest.fixture
def everything() -> tuple[Plan, Bundle]:
    return make("everything")


@pytest.fixture
def change(catalog: Catalog) -> Callable[..., ServiceManifest]:
    """A manifest with some fields replaced, validated again: for seeded defects."""

    def replace(name: str, **fields: object) -> ServiceManifest:
        raw = catalog.services[name].model_dump(by_alias=True)
        return ServiceManifest.model_validate({**raw, **fields})

    return replace
