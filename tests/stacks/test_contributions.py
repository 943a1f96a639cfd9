"""What services add to each other, and secrets whose values the answers refer to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from installer.core.catalog import Catalog
from installer.core.errors import StackError
from installer.core.plan import Plan
from installer.core.rendering import render
from installer.core.rotation import choose_secrets
from installer.core.secrets import Secret
from installer.phases.deliver import changed_secrets, ensure_step
from installer.ports import Ports
from installer.stacks import load_catalog, load_templates
from tests.phases.memory_store import Store
from tests.stacks.builders import make_plan_for

ROOT = Path(__file__).parents[2]
MANIFEST: dict[str, Any] = {
    "name": "search",
    "title": "Search",
    "summary": "A service of this test",
    "group": "application",
    "licence": "MIT",
    "section": "search",
    "image": {"repository": "docker.io/library/search", "tag": "1.0"},
    "user": "65534:65534",
    "options": [
        {"name": "hook", "type": "secret", "title": "Hook", "help": "Where to tell."},
        {"name": "depth", "type": "int", "title": "Depth", "help": "How deep."},
    ],
    "secrets": [
        {"name": "search-hook", "purpose": "told", "answer": "search.hook", "otherwise": "omit"},
        {"name": "search-key", "purpose": "made unless given", "answer": "search.hook"},
    ],
    "secret_files": {"hook": "url=${search-hook}", "key": "${search-key}"},
    "gives": [
        {"to": "redis", "ports": {9999: "reads it"}, "secret_files": {"search": "${search-key}"}}
    ],
    "resources": {"cpus": [0.25, 0.5], "memory_mib": [128, 256], "pids": 100},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The stacks, with one service more that gives to another."""
    shutil.copytree(ROOT / "stacks", tmp_path / "stacks")
    folder = tmp_path / "stacks/compose/search"
    (folder / "to/redis/extra").mkdir(parents=True)
    (folder / "service.yaml").write_text(yaml.safe_dump(MANIFEST))
    (folder / "compose.yaml.j2").write_text("command: [search]\n")
    (folder / "to/redis/extra/a.conf.j2").write_text("of {{ service.name }}\n")
    (folder / "to/redis/extra/b.conf").write_text("{{ $labels }} as it is\n")
    return tmp_path


def load(root: Path) -> Catalog:
    return load_catalog(root)


def plan_of(root: Path, **answers: Any) -> Plan:
    return make_plan_for(load(root), more=answers)


def test_files_flows_and_secret_files_are_added_to_the_other_service(root: Path) -> None:
    plan = plan_of(root)
    bundle = render(plan, load_templates(root, load(root)))
    assert bundle.files["redis/extra/a.conf"].data == b"of search\n"
    assert bundle.files["redis/extra/b.conf"].data == b"{{ $labels }} as it is\n"
    assert not [path for path in bundle.files if path.startswith("search/")]
    assert "redis-to-search" in plan.networks_of["redis"]
    assert plan.manifest("redis").secret_files["search"] == "${search-key}"


def test_they_change_the_release_of_the_one_that_gets_them(root: Path) -> None:
    def release() -> str:
        bundle = render(plan_of(root), load_templates(root, load(root)))
        labels: dict[str, str] = bundle.document["services"]["redis"]["labels"]
        return labels["devplat.release"]

    before = release()
    (root / "stacks/compose/search/to/redis/extra/b.conf").write_text("other\n")
    assert release() != before


def test_nothing_is_left_of_them_when_one_of_the_two_is_not_installed(root: Path) -> None:
    catalog = load(root)
    giver_off = plan_of(root, search={"enabled": False})
    assert "search" not in giver_off.manifest("redis").secret_files
    assert "redis/extra/a.conf" not in render(giver_off, load_templates(root, catalog)).files
    taker_off = plan_of(root, redis={"enabled": False})
    assert not [n for n in taker_off.networks if "redis" in n.name]
    assert not [p for p in render(taker_off, load_templates(root, catalog)).files if "redis" in p]


def test_a_file_that_the_other_has_already_is_refused(root: Path) -> None:
    taken = next((root / "stacks/compose/redis/config").iterdir()).name
    (root / "stacks/compose/search/to/redis" / taken).write_text("mine\n")
    with pytest.raises(StackError, match="which has it already"):
        render(plan_of(root), load_templates(root, load(root)))


def test_a_gift_to_nobody_is_refused(root: Path) -> None:
    gift = {**MANIFEST, "gives": [{"to": "redos"}]}
    (root / "stacks/compose/search/service.yaml").write_text(yaml.safe_dump(gift))
    with pytest.raises(StackError, match="redos"):
        load(root)


def test_a_secret_that_the_answers_leave_out_leaves_with_its_files(root: Path) -> None:
    plan = plan_of(root)
    names = {spec.name for spec in plan.secrets}
    assert "search-hook" not in names
    assert "search-key" in names
    assert sorted(plan.manifest("search").secret_files) == ["key"]
    assert plan.answers.at("search.depth") is None


def test_a_secret_that_the_answers_refer_to_has_that_value_now_and_later(root: Path) -> None:
    plan = plan_of(root, search={"hook": "env:HOOK", "depth": 3})
    assert plan.answers.at("search.depth") == 3
    assert sorted(plan.manifest("search").secret_files) == ["hook", "key"]
    specs = {spec.name: spec for spec in plan.secrets}
    assert specs["search-hook"].answer == specs["search-key"].answer == "search.hook"

    store = Store(lambda _: None)
    for spec in plan.secrets:
        store.versions[spec.name] = [Secret("as it was")]
    given = {"search-hook": Secret("new"), "search-key": Secret("as it was")}
    ports = cast(
        Ports,
        SimpleNamespace(
            secrets=store,
            given=given,
            certificates=Certificates(),
            entropy=os.urandom,
            services=None,
        ),
    )
    step = ensure_step(plan, ports)
    assert [spec.name for spec in changed_secrets(plan, ports)] == ["search-hook"]
    assert not step.check()
    list(step.do())
    assert step.check()
    assert store.get("search-hook") == Secret("new")
    assert store.version("search-key") == 1


def test_such_a_secret_is_changed_where_it_comes_from(root: Path) -> None:
    plan = plan_of(root, search={"hook": "env:HOOK"})
    refused = choose_secrets(plan, ()).skipped
    assert "search.hook" in refused["search-hook"]
    assert "search-hook" not in choose_secrets(plan_of(root), ()).skipped


class Certificates:
    """Nothing to issue."""

    def current(self, names: object) -> object:
        return names

    ensure = current
