"""The images of OpenBao and Vault as they are pulled, in a container on a host of the test-bed."""

from __future__ import annotations

import shlex

import pytest

from tests.testbed.catalogue import product_references, read_images, wanted_references
from tests.testbed.commands import attempt

pytestmark = pytest.mark.engine
REFERENCES = {
    spec.repository.rpartition("/")[2]: reference
    for reference, spec in wanted_references(read_images()).items()
    if reference in product_references() and spec.repository.endswith(("/openbao", "/vault"))
}
HARD = "--read-only --cap-drop ALL --security-opt no-new-privileges:true --user 100:1000"


@pytest.fixture
def run(module_host):
    """Status and output of a container of an image."""

    def run(image, *command, options=""):
        words = shlex.join(command)
        script = f"timeout -k 1 60 docker run --rm {options} {REFERENCES[image]} {words} 2>&1"
        status, out, error = attempt(module_host.ssh_argv(script), timeout=90)
        return status, out + error

    return run


def test_both_are_there():
    assert set(REFERENCES) == {"openbao", "vault"}


@pytest.mark.parametrize(
    ("image", "options"), [("openbao", HARD), ("vault", f"{HARD} --cap-add IPC_LOCK")]
)
def test_it_runs_hardened_as_the_account_of_the_real_image(run, image, options):
    status, output = run(image, "version", options=options)
    assert (status, "v2." in output) == (0, True), output
    status, output = run(image, "sh", "-c", f"id -un; stat -c %u:%g /{image}/file", options=options)
    assert (status, output.split()[-2:]) == (0, [image, "100:1000"]), output


def test_vault_is_not_started_without_its_capability(run):
    status, output = run("vault", "version", options=HARD)
    assert status != 0
    assert "operation not permitted" in output


@pytest.mark.parametrize("image", ["openbao", "vault"])
@pytest.mark.parametrize("program", ["vault", "nc", "dd", "stat", "sh", "wget"])
def test_a_program_that_scripts_rely_on_is_there(run, image, program):
    status, output = run(image, "--help", options=f"--entrypoint {program}")
    assert status not in (126, 127) or program == "vault", output
    assert "not found" not in output


@pytest.mark.parametrize("image", ["openbao", "vault"])
def test_a_program_that_the_real_image_lacks_is_not_there(run, image):
    assert run(image, "--help", options="--entrypoint curl")[0] == 127


def test_openbao_is_started_for_development_unless_told_otherwise(run):
    """The stand-in refuses that; a real one does it, in memory and without TLS."""
    if read_images()["docker.io/openbao/openbao"].kind == "real":
        pytest.skip("a real server would start")
    status, output = run("openbao")
    assert status == 1
    assert "flag provided but not defined: -dev" in output
