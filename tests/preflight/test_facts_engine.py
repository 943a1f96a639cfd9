"""What the engine and registries say, and why an engine cannot be used."""

from __future__ import annotations

import re

import pytest

from installer.core.facts import EngineState, ImageState
from installer.core.probe import Section
from tests.preflight.reading import parse


@pytest.fixture
def ubuntu(recorded):
    return parse(recorded("ubuntu-24.04"))


def test_what_the_engine_says_is_taken_over(ubuntu):
    engine = ubuntu.engine
    assert engine.state is EngineState.RUNNING
    assert (engine.live_restore, engine.userland_proxy, engine.log_bounded) == (True, False, True)
    assert engine.insecure_registries == ("10.9.0.0/16", "lab.example:5000")
    assert (engine.mirrors, engine.proxied) == (("https://mirror.example/",), True)
    assert (engine.members, ubuntu.engine_gid) == (("ops", "deploy"), 988)
    assert engine.networks[1].project == "devplat"
    assert engine.networks[2].subnets == ("172.18.0.0/16", "fd00:1::/64")
    assert [c.name for c in engine.containers] == ["devplat-edge-1", "shop-web-1", "old"]
    assert engine.containers[1].ports == (("", 80),)


def test_credentials_of_a_proxy_are_not_in_the_facts(ubuntu, recorded):
    assert "hunter2" in recorded("ubuntu-24.04")
    assert "hunter2" not in repr(ubuntu)


def test_credentials_in_a_complaint_are_cut_out():
    section = Section("info", complaints=("proxyconnect to http://u:hunter2@proxy:3128 failed",))
    assert section.complaint == "proxyconnect to http://proxy:3128 failed"


@pytest.mark.parametrize(
    ("reference", "state"),
    [
        ("postgres:17", ImageState.PRESENT),
        ("ghcr.io/coder/coder:v2.20.0", ImageState.AVAILABLE),
        ("private.example/app:1", ImageState.DENIED),
        ("busy.example/app:1", ImageState.LIMITED),
        ("gone.example/app:1", ImageState.ABSENT),
        ("hung.example/app:1", ImageState.UNKNOWN),
    ],
)
def test_what_is_known_of_images_is_told_apart(ubuntu, reference, state):
    assert ubuntu.images[reference].state is state


@pytest.mark.parametrize(
    ("message", "state"),
    [
        ("dial tcp: lookup ghcr.io on 10.0.0.1:53: no such host", ImageState.UNREACHABLE),
        ("net/http: TLS handshake timeout", ImageState.UNREACHABLE),
        ("x509: certificate signed by unknown authority", ImageState.UNREACHABLE),
        ("pull access denied for x, repository does not exist", ImageState.DENIED),
        ("something new", ImageState.UNKNOWN),
    ],
)
def test_messages_of_registries_are_told_apart(recorded, message, state):
    text = recorded("ubuntu-24.04").replace("manifest unknown: manifest unknown", message)
    assert parse(text).images["gone.example/app:1"].state is state


ENGINE_CASES = {
    "absent": ([], ("|docker /usr/bin/docker\n", ""), EngineState.ABSENT),
    "only the client": (["|dockerd", "|socket", "|process", "|reach"], None, EngineState.ABSENT),
    "stopped": (["|socket", "|process", "|reach"], None, EngineState.STOPPED),
    "stale socket": (["|process"], None, EngineState.STOPPED),
    "forbidden": ([], ("|reach yes", "|reach no"), EngineState.DENIED),
}


@pytest.mark.parametrize("case", ENGINE_CASES)
def test_reasons_why_the_engine_cannot_be_used_are_told_apart_f_026(recorded, case):
    """F-026: stopped, absent, no permission on the socket."""
    dropped, replaced, state = ENGINE_CASES[case]
    text = re.sub(
        r'(?m)^\|\{"ID":.*$',
        '|{"ServerVersion":"","ServerErrors":["Cannot connect to the Docker daemon"]}',
        recorded("ubuntu-24.04"),
    )
    for prefix in dropped:
        text = re.sub(rf"(?m)^{re.escape(prefix)} .*\n", "", text)
    if replaced:
        text = text.replace(*replaced)
    assert parse(text).engine.state is state


def test_podman_behind_the_docker_command_is_recognised(recorded):
    assert parse(recorded("rhel-9")).engine.state is EngineState.FOREIGN


def test_an_engine_that_does_not_answer_is_recognised(recorded):
    text = re.sub(r'(?m)^\|\{"ID":.*\n', "", recorded("ubuntu-24.04"))
    text = text.replace("section info 0 ", "section info 124 ")
    assert parse(text).engine.state is EngineState.SILENT
