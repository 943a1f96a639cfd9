"""The images of the test-bed cover the product, and their names are the registries' own."""

from __future__ import annotations

import ast

import pytest
import yaml

from tests.testbed import catalogue
from tests.testbed.commands import TestbedError
from tests.testbed.places import STANDINS

IMAGES = catalogue.read_images()


@pytest.mark.parametrize(
    ("repository", "full", "path"),
    [
        ("postgres", "docker.io/library/postgres", "library/postgres"),
        ("gitea/gitea", "docker.io/gitea/gitea", "gitea/gitea"),
        ("docker.io/postgres", "docker.io/postgres", "library/postgres"),
        ("ghcr.io/coder/coder", "ghcr.io/coder/coder", "coder/coder"),
        ("localhost:5000/a/b", "localhost:5000/a/b", "a/b"),
    ],
)
def test_a_repository_has_one_full_name_and_one_path(repository, full, path):
    assert catalogue.full_name(repository) == full
    assert catalogue.path_in_registry(repository) == path


def test_every_image_of_the_product_is_served_under_its_own_name():
    references = catalogue.product_references()
    assert len(references) > 5
    assert references.keys() <= catalogue.wanted_references(IMAGES).keys()


def test_an_image_without_a_stand_in_is_named(tmp_path, monkeypatch):
    folder = tmp_path / "stacks" / "compose" / "oracle"
    folder.mkdir(parents=True)
    image = {"image": {"repository": "docker.io/oracle/db", "tag": "1"}}
    (folder / "service.yaml").write_text(yaml.safe_dump(image))
    found = catalogue.product_references(tmp_path)
    assert found == {"docker.io/oracle/db:1": "oracle"}
    monkeypatch.setattr(catalogue, "product_references", lambda: found)
    with pytest.raises(TestbedError, match=r"oracle/db:1 \(service oracle\)"):
        catalogue.wanted_references(IMAGES)


def test_further_tags_are_served_too():
    spec = catalogue.ImageSpec("ghcr.io/a/b", "stand-in", (), tags=("v1",))
    assert catalogue.wanted_references({**IMAGES, "ghcr.io/a/b": spec})["ghcr.io/a/b:v1"] is spec


@pytest.mark.parametrize("spec", IMAGES.values(), ids=IMAGES)
def test_what_an_image_is_made_of_exists(spec):
    assert spec.kind in ("stand-in", "debian", "real")
    assert set(spec.groups) <= set(catalogue.GROUPS)
    for name in (*spec.files, *spec.scripts.values()):
        assert (STANDINS / name).is_file(), name
    for target in spec.programs.values():
        module, _, function = target.partition(":")
        assert f"{module}.py" in spec.files
        tree = ast.parse((STANDINS / f"{module}.py").read_text())
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert (function or "main") in functions


@pytest.mark.parametrize("spec", IMAGES.values(), ids=IMAGES)
def test_an_image_brings_every_module_that_its_own_import(spec):
    brought = {name.removesuffix(".py") for name in spec.files}
    ours = {path.stem for path in STANDINS.glob("*.py")}
    for name in spec.files:
        if not name.endswith(".py"):
            continue
        for node in ast.walk(ast.parse((STANDINS / name).read_text())):
            if isinstance(node, ast.Import):
                wanted = {alias.name for alias in node.names}
            else:
                wanted = {node.module} if isinstance(node, ast.ImportFrom) else set()
            assert wanted & ours <= brought, (name, wanted & ours - brought)
