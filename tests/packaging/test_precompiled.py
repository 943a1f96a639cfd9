"""Templates compiled by a build: complete, true to their sources, and never used when stale."""

import json
import subprocess
import sys
import tarfile

import jinja2
import pytest

from installer import precompiled
from installer.core.templating import make_environment
from installer.precompiled import FOLDER, INDEX, PrecompiledLoader, compile_templates
from installer.stacks import load_catalog, load_templates
from tests.golden.render import HERE, draw_up, write_lock
from tests.packaging.test_resources import ROOT, build_wheel

RENDER_WITHOUT_COMPILING = """
import jinja2
from installer.stacks import load_stacks, load_templates

def refuse(*args, **options):
    raise AssertionError("a template was compiled")

jinja2.Environment.compile = refuse
stacks = load_stacks()
environment = load_templates(stacks.root, stacks.catalog).environment
names = [
    name for name in environment.list_templates() if name.endswith(".j2") or name[:8] == "_shared/"
]
for name in names:
    environment.get_template(name)
print(len(names))
"""


@pytest.fixture
def stacks(tmp_path):
    """A `stacks/` with two templates, one of which includes the other."""
    service = tmp_path / "stacks" / "compose" / "one"
    service.mkdir(parents=True)
    (service / "a.j2").write_text("{% for n in plan %}\n{{ n }}\n{% endfor %}\n")
    (service.parent / "_shared").mkdir()
    (service.parent / "_shared" / "part").write_text("shared {{ plan }}")
    (service / "b.j2").write_text("{% include '_shared/part' %}\n")
    (service / "plain.txt").write_text("{% not a template %}")
    return tmp_path / "stacks"


def environment_of(stacks):
    return make_environment(PrecompiledLoader(stacks))


def compiled_names(stacks):
    environment = environment_of(stacks)
    return {
        name for name in environment.list_templates()
        if environment.loader.is_compiled(environment, name)
    }  # fmt: skip


def forbid_compiling(environment, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("a template was compiled")

    monkeypatch.setattr(environment, "compile", refuse)


def test_every_template_of_a_wheel_loads_without_being_compiled(tmp_path):
    names = build_wheel(tmp_path)
    assert not [name for name in names if name.endswith(".pyc")]
    done = subprocess.run(
        [sys.executable, "-P", "-c", RENDER_WITHOUT_COMPILING], capture_output=True, text=True,
        cwd="/", env={"PYTHONPATH": str(tmp_path / "site"), "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= len(list(ROOT.glob("stacks/compose/**/*.j2")))

    (tmp_path / "site" / "installer" / "_data" / "stacks" / FOLDER / INDEX).unlink()
    done = subprocess.run(
        [sys.executable, "-P", "-c", RENDER_WITHOUT_COMPILING], capture_output=True, text=True,
        cwd="/", env={"PYTHONPATH": str(tmp_path / "site"), "HOME": str(tmp_path)},
    )  # fmt: skip
    assert "a template was compiled" in done.stderr


def test_a_source_distribution_can_build_the_wheel(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        paths = {name.partition("/")[2] for name in archive.getnames()}
    assert "hatch_build.py" in paths
    assert "installer/precompiled.py" in paths
    assert not [path for path in paths if FOLDER in path]


def test_a_bundle_is_the_same_with_compiled_templates_as_from_their_sources(tmp_path, monkeypatch):
    lock = write_lock(tmp_path / "lock.yaml")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    profile = HERE / "profiles" / "small.yaml"
    compile_templates(ROOT / "stacks")
    compiled = draw_up(profile, lock).bundle
    monkeypatch.setattr(precompiled, "FOLDER", "none")
    assert draw_up(profile, lock).bundle.files == compiled.files


def test_compiled_templates_render_what_their_sources_do(stacks, monkeypatch):
    wanted = {
        name: environment_of(stacks).get_template(name).render(plan=["x", "y"])
        for name in ("one/a.j2", "one/b.j2")
    }
    compile_templates(stacks)
    environment = environment_of(stacks)
    forbid_compiling(environment, monkeypatch)
    assert {
        name: environment.get_template(name).render(plan=["x", "y"]) for name in wanted
    } == wanted  # fmt: skip
    assert compiled_names(stacks) == {"one/a.j2", "one/b.j2", "_shared/part"}


def test_an_unknown_name_is_an_error_in_a_compiled_template_too(stacks):
    compile_templates(stacks)
    with pytest.raises(jinja2.UndefinedError, match="plan"):
        environment_of(stacks).get_template("one/a.j2").render()


def test_a_compiled_template_stays_in_the_sandbox(stacks):
    (stacks / "compose" / "one" / "a.j2").write_text("{{ plan.__class__.__mro__ }}")
    compile_templates(stacks)
    assert "one/a.j2" in compiled_names(stacks)
    with pytest.raises(jinja2.exceptions.SecurityError):
        environment_of(stacks).get_template("one/a.j2").render(plan=1)


def test_an_edited_template_is_read_anew_and_the_others_are_not(stacks):
    compile_templates(stacks)
    (stacks / "compose" / "one" / "a.j2").write_text("edited")
    assert environment_of(stacks).get_template("one/a.j2").render() == "edited"
    assert compiled_names(stacks) == {"one/b.j2", "_shared/part"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda m: m.setattr(jinja2, "__version__", "9.9.9"), id="another Jinja"),
        pytest.param(
            lambda m: m.setattr(precompiled.templating, "__file__", __file__),
            id="another environment",
        ),
    ],
)
def test_what_another_compiler_made_is_not_used(stacks, monkeypatch, change):
    compile_templates(stacks)
    assert compiled_names(stacks)
    change(monkeypatch)
    assert compiled_names(stacks) == set()
    assert environment_of(stacks).get_template("one/b.j2").render(plan=1) == "shared 1"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"compiler": 1}', "\xff", '{"templates": {}}']
)
def test_a_broken_index_only_costs_time(stacks, text):
    compile_templates(stacks)
    (stacks / FOLDER / INDEX).write_text(text, encoding="latin-1")
    assert compiled_names(stacks) == set()
    assert environment_of(stacks).get_template("one/b.j2").render(plan=1) == "shared 1"


def test_modules_that_vanish_only_cost_time(stacks):
    compile_templates(stacks)
    environment = environment_of(stacks)
    for module in (stacks / FOLDER).glob("*.py"):
        module.unlink()
    assert environment.get_template("one/b.j2").render(plan=1) == "shared 1"


def test_a_template_that_is_no_jinja_stops_the_build_and_leaves_what_was(stacks):
    compile_templates(stacks)
    before = {path.name: path.read_bytes() for path in (stacks / FOLDER).iterdir()}
    (stacks / "compose" / "one" / "a.j2").write_text("{% endfor %}")
    with pytest.raises(jinja2.TemplateSyntaxError):
        compile_templates(stacks)
    assert {path.name: path.read_bytes() for path in (stacks / FOLDER).iterdir()} == before
    assert [path.name for path in stacks.iterdir()] == sorted([FOLDER, "compose"])


def test_compiling_again_gives_the_same_bytes_and_forgets_removed_templates(stacks):
    def compiled():
        return {path.name: path.read_bytes() for path in compile_templates(stacks).iterdir()}

    first = compiled()
    assert compiled() == first
    (stacks / "compose" / "one" / "a.j2").unlink()
    index = json.loads(compiled()[INDEX])
    assert set(index["templates"]) == {"one/b.j2", "_shared/part"}
    assert len(list((stacks / FOLDER).glob("*.py"))) == 2


def test_a_checkout_without_a_build_compiles_into_the_cache_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(precompiled, "FOLDER", "none")
    templates = load_templates(ROOT, load_catalog(ROOT))
    templates.environment.get_template("_shared/with-secrets.sh")
    assert len(list((tmp_path / "devplat-install" / "templates").glob("*.cache"))) == 1
