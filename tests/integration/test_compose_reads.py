"""The real Compose reads every golden bundle and gives back what was meant (BR-07, BR-08)."""

import io
import json
import subprocess
import tarfile

import pytest

from tests.golden.render import EXPECTED, PROFILES, draw_up
from tests.golden.test_bundles import undouble

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def resolved(module_host, tmp_path_factory):
    """Profile → what `docker compose config` on the target makes of its bundle."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(EXPECTED, "golden")
    subprocess.run(
        module_host.ssh_argv("tar xf - -C /tmp"), input=buffer.getvalue(), check=True, timeout=60
    )
    command = "cd /tmp/golden/{} && docker compose config --format json"
    # `config` prints a compose file again, so it doubles the dollar signs that it read as one
    return {p.stem: undouble(json.loads(module_host.ssh(command.format(p.stem)))) for p in PROFILES}


@pytest.fixture(scope="module", params=PROFILES, ids=lambda path: path.stem)
def pair(request, resolved, tmp_path_factory):
    lock = request.param.parents[1] / "images.lock.yaml"
    return resolved[request.param.stem], draw_up(request.param, lock).bundle.document


def test_texts_arrive_exactly_as_they_were_meant(pair):
    """Interpolation is on: a dollar sign survives only if it was escaped."""
    found, meant = pair
    assert found["services"].keys() == meant["services"].keys()
    for name, body in meant["services"].items():
        service = found["services"][name]
        for key in ("environment", "labels", "command", "entrypoint", "image", "user"):
            if key in body:
                assert service[key] == as_compose(key, body[key]), f"{name}.{key}"
        if "healthcheck" in body:
            assert service["healthcheck"]["test"] == body["healthcheck"]["test"]


def as_compose(key, value):
    if key in ("command", "entrypoint") and isinstance(value, str):
        return value.split()
    return value


def test_limits_and_hardening_are_what_compose_understood(pair):
    found, meant = pair
    for name, body in meant["services"].items():
        service = found["services"][name]
        limits = body["deploy"]["resources"]["limits"]
        resolved = service["deploy"]["resources"]["limits"]
        mib = int(limits["memory"].removesuffix("M"))
        assert int(resolved["memory"]) == mib * 1024 * 1024 == int(service["memswap_limit"])
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_a_dollar_sign_that_is_not_escaped_would_be_noticed(module_host):
    """The check fails on a seeded defect."""
    script = (
        "printf 'services: {x: {image: a, labels: {l: \"$HOME\"}}}' > /tmp/x.yaml;"
        "docker compose -f /tmp/x.yaml config --format json"
    )
    found = json.loads(module_host.ssh(script))
    assert found["services"]["x"]["labels"]["l"] != "$HOME"
