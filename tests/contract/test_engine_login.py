"""A pull from a registry that asks for an account, by the real client and engine over SSH."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator

import pytest
import yaml

from installer.adapters.docker import ComposeEngine
from installer.adapters.docker_login import RegistryLogin
from installer.core.errors import ExitCode, ImageError
from installer.core.secrets import Secret
from installer.ports import Project
from tests.contract.engine_lab import SLEEP, Lab, drain, text_of
from tests.contract.faulty_registry import ACCOUNT, GOOD_DIGEST, PRIVATE_PORT
from tests.testbed.bed import Testbed
from tests.testbed.hosts import Host as Machine

pytestmark = pytest.mark.engine

SERVER = f"127.0.0.1:{PRIVATE_PORT}"
IMAGE = f"{SERVER}/good/img@{GOOD_DIGEST}"
LOGIN = RegistryLogin(SERVER, ACCOUNT[0], Secret(ACCOUNT[1]))
PLACES = "/root /home /dev/shm /tmp /var/tmp /run /var/log /etc"


@pytest.fixture(scope="module")
def lab(testbed: Testbed, module_host: Machine) -> Iterator[Lab]:
    assert testbed.lock_file is not None
    images = yaml.safe_load(testbed.lock_file.read_text())["images"]
    lab = Lab(module_host, next(name for name in images if "valkey" in name))
    lab.start_registry()
    yield lab
    lab.close()


@pytest.fixture
def project(lab: Lab) -> Iterator[Project]:
    yield lab.project("private", {"x": {**SLEEP, "image": IMAGE}})
    lab.root(f"docker image rm -f {IMAGE} >/dev/null 2>&1 || :")


def engine(lab: Lab, login: RegistryLogin | None) -> ComposeEngine:
    return ComposeEngine(lab.host, pauses_s=(), login=login)


def traces(lab: Lab, *more: str) -> list[str]:
    """Files of the host that hold the password or the account's credentials, and what is left."""
    encoded = f"$(printf %s {shlex.quote(':'.join(ACCOUNT))} | base64)"
    found = lab.root(
        f'grep -rlF -e {shlex.quote(ACCOUNT[1])} -e "{encoded}" -- {PLACES} 2>/dev/null || :; '
        "ls -d /dev/shm/devplat-login.* 2>/dev/null || :"
    )
    said = [line for line in more if ACCOUNT[1] in line]
    return found.splitlines() + said


def test_an_image_is_pulled_with_the_account_and_nothing_of_it_stays(
    lab: Lab, project: Project
) -> None:
    lines = drain(engine(lab, LOGIN).pull(project, ()))
    assert set(lab.engine.image_ids([IMAGE])) == {IMAGE}
    assert traces(lab, *lines) == []
    assert not any("WARNING" in line for line in lines)
    lab.root(f"docker image rm -f {IMAGE}")
    with pytest.raises(ImageError) as caught:  # the engine remembers no account either
        drain(engine(lab, None).pull(project, ()))
    assert caught.value.problems[0].code == "image.denied"


def test_the_search_finds_what_a_common_login_leaves(lab: Lab) -> None:
    """The seeded defect: `docker login` by itself keeps the account for good."""
    lab.root(
        f"docker login --username={shlex.quote(ACCOUNT[0])} --password-stdin {SERVER}",
        ACCOUNT[1].encode(),
    )
    try:
        assert traces(lab) == ["/root/.docker/config.json"]
    finally:
        lab.root(f"docker logout {SERVER}")
    assert traces(lab) == []


def test_a_wrong_password_is_told_before_anything_is_pulled(lab: Lab, project: Project) -> None:
    wrong = dataclasses.replace(LOGIN, password=Secret("canary wrong"))
    with pytest.raises(ImageError) as caught:
        drain(engine(lab, wrong).pull(project, ()))
    (problem,) = caught.value.problems
    assert caught.value.exit_code is ExitCode.IMAGE
    assert (problem.code, problem.where) == ("image.login", "registry.password")
    assert SERVER in problem.summary
    assert "registry.username and registry.password" in problem.remedy.summary
    assert "canary" not in text_of(caught.value)
    assert lab.engine.image_ids([IMAGE]) == {}
    assert traces(lab) == []


def test_a_registry_that_is_away_is_no_wrong_password(lab: Lab, project: Project) -> None:
    away = dataclasses.replace(LOGIN, server="127.0.0.1:9")
    with pytest.raises(ImageError) as caught:
        drain(engine(lab, away).pull(project, ()))
    assert caught.value.problems[0].code == "image.network"
    assert "127.0.0.1:9" in caught.value.problems[0].summary


def test_other_logins_of_the_host_are_used_meanwhile(lab: Lab) -> None:
    lab.root(
        f"docker login --username={shlex.quote(ACCOUNT[0])} --password-stdin {SERVER}",
        ACCOUNT[1].encode(),
    )
    try:
        open_registry = dataclasses.replace(LOGIN, server="127.0.0.1:5000")
        private = lab.project("others", {"x": {**SLEEP, "image": IMAGE}})
        drain(engine(lab, open_registry).pull(private, ()))
        assert set(lab.engine.image_ids([IMAGE])) == {IMAGE}
    finally:
        lab.root(f"docker logout {SERVER}; docker image rm -f {IMAGE} >/dev/null 2>&1 || :")
