"""Adding a service is one folder: no list of services stands anywhere else."""

import re
import shutil
from pathlib import Path

import yaml

from installer.core import draft
from installer.core.catalog import read_catalog
from installer.core.rendering import render
from installer.stacks import load_catalog, load_templates
from tests.stacks.builders import make_plan_for

ROOT = Path(__file__).resolve().parents[2]


def add_folder(tmp_path, name):
    shutil.copytree(ROOT / "stacks", tmp_path / "stacks")
    target = tmp_path / "stacks" / "compose" / name
    shutil.copytree(ROOT / "stacks" / "_skeleton", target)
    for path in target.iterdir():
        text = path.read_text().replace("SERVICE_UNDERSCORED", name.replace("-", "_"))
        path.write_text(text.replace("SERVICE", name))
    return tmp_path


def test_a_new_folder_is_a_service_with_answers_networks_limits_and_a_place_in_the_document(
    tmp_path,
):
    root = add_folder(tmp_path, "code-search")
    catalog = load_catalog(root)
    assert "code_search" in draft.schema(catalog)["properties"]
    plan = make_plan_for(catalog)
    body = render(plan, load_templates(root, catalog)).document["services"]["code-search"]
    assert body["read_only"] is True
    assert body["cap_drop"] == ["ALL"]
    assert body["deploy"]["resources"]["limits"]["memory"] == "128M"


def test_no_service_name_stands_in_the_product_code():
    names = [p.parent.name for p in (ROOT / "stacks" / "compose").glob("*/service.yaml")]
    words = re.compile(r"(?<![\w-])(" + "|".join(map(re.escape, names)) + r")(?![\w-])")
    found = []
    for path in (ROOT / "installer").rglob("*.py"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            code = line.split("#", 1)[0]
            if words.search(code) and not is_prose(code):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert found == []


def is_prose(line):
    """Docstrings and help texts may give an example by name; code may not decide by one."""
    return re.search(r"(==|!=|\bin\b|\[)\s*[\"'][a-z-]+[\"']", line) is None


def test_a_manifest_is_refused_with_every_mistake_named():
    document = yaml.safe_load((ROOT / "stacks" / "_skeleton" / "service.yaml").read_text())
    assert read_catalog({"SERVICE".lower(): {**document, "name": "service"}}).services
