"""What answers at once must not load what it does not need (P7); no time is measured here."""

import subprocess
import sys

import pytest

from tests.bench.startup import LOADED, VENDORS


def loaded_by(program, *modules):
    done = subprocess.run(
        [sys.executable, "-c", program, *modules], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1].split()


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_no_vendor_library_is_loaded(flag):
    assert loaded_by(LOADED.replace("--help", flag), *VENDORS) == []


@pytest.mark.parametrize("module", ["argparse", "installer.cli"])
def test_a_module_that_is_loaded_is_noticed(module):
    """The check above would see a vendor library."""
    assert loaded_by(LOADED, *VENDORS, module) == [module]


def test_shipping_needs_no_renderer():
    program = (
        "import sys, installer.phases.ship;"
        "print(*(name for name in sys.argv[1:] if name in sys.modules))"
    )
    assert loaded_by(program, "jinja2", "yaml", "pydantic", "hashlib") == ["hashlib"]


def test_the_ssh_library_comes_without_its_task_runner_and_does_not_keep_others_from_it():
    program = (
        "import sys, installer.adapters.ssh;"
        "before = [name for name in sys.argv[1:] if name in sys.modules];"
        "import invoke; print(*before)"
    )
    assert loaded_by(program, "invoke", "paramiko") == ["paramiko"]


@pytest.mark.parametrize("collecting", [True, False])
def test_loading_leaves_the_collector_as_it_was(collecting):
    program = (
        "import gc, sys; from installer.loading import without_collections;"
        f"(gc.enable if {collecting} else gc.disable)();"
        "before = gc.get_freeze_count()\n"
        "with without_collections(): inside = gc.isenabled(); import json\n"
        "print(gc.isenabled(), inside, gc.get_freeze_count() > before)"
    )
    assert loaded_by(program) == [str(collecting), "False", "True"]
