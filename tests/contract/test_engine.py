"""The contract of `Engine` on a real engine over SSH: pulling, starting, observing, stopping."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
import yaml

from installer.adapters.docker import ComposeEngine
from installer.adapters.docker_compose import NOT_RUNNING
from installer.core.errors import (
    DeployError,
    ExitCode,
    ImageError,
    InstallError,
    IntegrityError,
    StackError,
)
from installer.core.pull_progress import PullProgress
from installer.ports import Project
from tests.contract.engine_lab import SLEEP, Lab, drain, states, text_of
from tests.contract.faulty_registry import GOOD_DIGEST, PINNED_DIGEST
from tests.testbed.bed import Testbed
from tests.testbed.hosts import Host as Machine

pytestmark = pytest.mark.engine

HEALTHY = {**SLEEP, "healthcheck": {"test": "true", "interval": "1s"}}


@pytest.fixture(scope="module")
def lab(testbed: Testbed, module_host: Machine) -> Iterator[Lab]:
    assert testbed.lock_file is not None
    images = yaml.safe_load(testbed.lock_file.read_text())["images"]
    lab = Lab(module_host, next(name for name in images if "valkey" in name))
    lab.start_registry()
    drain(lab.engine.pull(lab.project("first", {"a": SLEEP}), ()))
    yield lab
    lab.close()


@pytest.fixture
def name(lab: Lab) -> Iterator[str]:
    """A project name of the test's own; whatever carries it is gone afterwards."""
    name = f"t{secrets.token_hex(3)}"
    yield name
    lab.root(
        f"docker ps -aq --filter label=com.docker.compose.project={name} | xargs -r docker rm -f; "
        f"docker network ls -q --filter label=com.docker.compose.project={name} | "
        "xargs -r docker network rm"
    )


def pull_of(lab: Lab, name: str, image: str) -> Project:
    return lab.project(name, {"x": {"image": image}, "innocent": {}})


def test_images_are_pulled_by_their_real_names_and_only_when_missing(lab: Lab, name: str) -> None:
    lab.root(f"docker image rm -f {lab.image}")
    project = lab.project(name, {"a": SLEEP})
    assert lab.image not in lab.engine.image_ids([lab.image])
    lines = drain(lab.engine.pull(project, ()))
    assert any("Pulled" in line for line in lines)
    told = PullProgress()
    assert sum(told.hear(line) for line in lines) > 1
    assert told.done == (told.total or 0) > 0
    again = drain(lab.engine.pull(project, ["a"]))
    assert any("present locally" in line for line in again)
    familiar = lab.image.removeprefix("docker.io/")
    ids = lab.engine.image_ids([lab.image, familiar, "docker.io/library/nosuch:1"])
    assert set(ids) == {lab.image, familiar}
    assert len(set(ids.values())) == 1


def test_an_image_is_found_by_its_digest(lab: Lab, name: str) -> None:
    pinned = f"127.0.0.1:5000/good/img@{GOOD_DIGEST}"
    drain(lab.engine.pull(pull_of(lab, name, pinned), ["x"]))
    other = pinned.replace(GOOD_DIGEST[-6:], "000000")
    assert set(lab.engine.image_ids([pinned, other])) == {pinned}


@pytest.mark.parametrize(
    ("image", "code", "said"),
    [
        ("docker.io/library/nosuch:1.0", "image.missing", ["docker.io", "nosuch:1.0"]),
        ("127.0.0.1:5000/unknown/img:1", "image.missing", ["127.0.0.1:5000", "unknown/img:1"]),
        ("127.0.0.1:5000/denied/img:1", "image.denied", ["log in", "denied/img:1"]),
        ("127.0.0.1:5000/limited/img:1", "image.rate_limit", ["rate limit", "log in", "mirror"]),
        ("127.0.0.1:5000/arm/img:1", "image.platform", ["processors", "arm/img:1"]),
        ("registry.invalid/x/img:1", "image.network", ["registry.invalid", "mirror", "x/img:1"]),
        ("127.0.0.1:9/x/img:1", "image.network", ["registry 127.0.0.1:9", "mirror", "firewall"]),
    ],
)
def test_an_image_that_cannot_be_fetched_is_named_with_its_registry(
    lab: Lab, name: str, image: str, code: str, said: list[str]
) -> None:
    """F-029, F-031."""
    with pytest.raises(ImageError) as caught:
        drain(lab.engine.pull(pull_of(lab, name, image), ()))
    assert caught.value.exit_code is ExitCode.IMAGE
    assert caught.value.problems[0].code == code
    text = text_of(caught.value)
    assert all(word in text for word in said)
    assert "valkey" not in text


@pytest.mark.parametrize("repository", ["altered", "swapped"])
def test_content_that_is_not_the_pinned_one_is_refused(
    lab: Lab, name: str, repository: str
) -> None:
    """F-030: another manifest, or another layer below the right one."""
    image = f"127.0.0.1:5000/{repository}/img"
    image += f"@{PINNED_DIGEST}" if repository == "altered" else ":1"
    with pytest.raises(IntegrityError) as caught:
        drain(lab.engine.pull(pull_of(lab, name, image), ["x"]))
    text = text_of(caught.value)
    assert "expected digest" in text
    assert "registry 127.0.0.1:5000" in text
    assert lab.engine.image_ids([image]) == {}
    assert lab.engine.containers(Project(name, f"/opt/{name}")) == ()


def test_a_registry_that_comes_back_is_tried_again(lab: Lab, name: str) -> None:
    """F-029."""
    lab.root("pkill -f '^python3 /opt/registry.py'; rm -f /opt/registry.log")
    back = False
    lines = []
    for line in lab.engine.pull(pull_of(lab, name, "127.0.0.1:5000/recovers/img:1"), ["x"]):
        lines.append(line.text)
        if "next try" in line.text and not back:
            lab.start_registry()
            back = True
    assert back
    assert any("Pulled" in line for line in lines)


def test_services_start_in_order_and_count_when_they_are_healthy(lab: Lab, name: str) -> None:
    after = {**SLEEP, "depends_on": {"a": {"condition": "service_healthy"}}}
    project = lab.project(name, {"a": HEALTHY, "b": after})
    drain(lab.engine.up(project, (), wait_s=60))
    assert states(lab.engine, project) == [("a", "running", "healthy"), ("b", "running", None)]
    first = {c.service: c.inspect["Id"] for c in lab.engine.containers(project)}
    drain(lab.engine.up(project, (), wait_s=60))
    assert {c.service: c.inspect["Id"] for c in lab.engine.containers(project)} == first


def test_the_operators_override_is_part_of_the_project(lab: Lab, name: str) -> None:
    override = {"a": {"labels": {"site": "north"}}}
    project = lab.project(name, {"a": HEALTHY}, override=override)
    drain(lab.engine.up(project, ["a"], wait_s=60))
    (container,) = lab.engine.containers(project)
    assert container.inspect["Config"]["Labels"]["site"] == "north"


def test_a_program_runs_inside_a_service_with_secrets_on_its_input(lab: Lab, name: str) -> None:
    project = lab.project(name, {"a": HEALTHY})
    drain(lab.engine.up(project, (), wait_s=60))
    script = "cat; printf '%s' \"it's \\\\ $1\" >&2; exit 7"
    done = lab.engine.exec(project, "a", ["sh", "-c", script, "-", "$HOME"], stdin=b"s3cret\n")
    assert (done.status, done.stdout, done.stderr) == (7, b"s3cret\n", b"it's \\ $HOME")
    assert lab.engine.exec(project, "a", ["cat"]).stdout == b""
    assert lab.engine.exec(project, "a", ["/no/such/program"]).status in (126, 127)


def test_a_program_for_a_service_that_does_not_run_says_so(lab: Lab, name: str) -> None:
    done = lab.engine.exec(lab.project(name, {"a": HEALTHY}), "a", ["true"])
    assert done.status == NOT_RUNNING
    assert f"the service a of {name} is not running" in done.error_text


def test_the_last_lines_of_a_service_are_given(lab: Lab, name: str) -> None:
    # the engine reads the two streams of a container independently, so each has its own here
    lines = "for i in 1 2 3 4 5; do echo line $$i; done; exec sleep 1000"
    error = "echo error >&2; exec sleep 1000"
    services = {
        "a": {**HEALTHY, "command": ["sh", "-c", lines]},
        "b": {**HEALTHY, "command": ["sh", "-c", error]},
    }
    project = lab.project(name, services)
    drain(lab.engine.up(project, (), wait_s=60))
    assert lab.engine.logs(project, "a", tail=3) == ("line 3", "line 4", "line 5")
    assert lab.engine.logs(project, "b", tail=3) == ("error",)
    assert lab.engine.logs(project, "other", tail=3) == ()


def test_down_removes_containers_and_networks_and_keeps_data(lab: Lab, name: str) -> None:
    """INV-07."""
    lab.root(f"docker volume create {name}-data --label com.docker.compose.project={name}")
    project = lab.project(name, {"a": HEALTHY})
    drain(lab.engine.up(project, (), wait_s=60))
    drain(lab.engine.down(project))
    assert lab.engine.containers(project) == ()
    assert lab.root(f"docker network ls -q --filter name={name}") == ""
    assert lab.root(f"docker volume rm {name}-data").strip() == f"{name}-data"


def fail_to_start(lab: Lab, project: Project, wait_s: int = 20) -> InstallError:
    with pytest.raises(DeployError) as caught:
        drain(lab.engine.up(project, (), wait_s=wait_s))
    assert caught.value.exit_code is ExitCode.DEPLOY_FAILED
    return caught.value


DIE = ["sh", "-c", "echo starting up; echo the reason is XYZ >&2; exit 3"]


@pytest.mark.parametrize("restart", ["no", "unless-stopped"])
def test_a_service_that_exits_is_named_with_status_and_last_lines(
    lab: Lab, name: str, restart: str
) -> None:
    """F-034: also one that is started again and again, which Compose takes for running."""
    project = lab.project(name, {"good": HEALTHY, "bad": {"command": DIE, "restart": restart}})
    error = fail_to_start(lab, project)
    problem = error.problems[0]
    assert (problem.code, problem.where) == ("deploy.exited", "bad")
    assert len(error.problems) == 1
    text = text_of(error)
    assert "the reason is XYZ" in text
    assert "last log lines" in text
    assert "3" in problem.summary or restart != "no"


def test_an_unhealthy_service_is_named_before_those_that_wait_for_it(lab: Lab, name: str) -> None:
    """F-034."""
    check = {"test": "echo probe says no; exit 9", "interval": "1s", "retries": 2}
    after = {**SLEEP, "depends_on": {"sick": {"condition": "service_healthy"}}}
    project = lab.project(name, {"sick": {**SLEEP, "healthcheck": check}, "waits": after})
    error = fail_to_start(lab, project)
    assert [(p.code, p.where) for p in error.problems] == [("deploy.unhealthy", "sick")]
    assert "probe says no" in text_of(error)
    assert "status 9" in text_of(error)


def test_a_service_that_never_becomes_healthy_ends_the_wait(lab: Lab, name: str) -> None:
    """F-034."""
    check = {"test": "echo not yet; exit 1", "interval": "1s", "start_period": "200s"}
    project = lab.project(name, {"slow": {**SLEEP, "healthcheck": check}})
    error = fail_to_start(lab, project, wait_s=4)
    assert error.problems[0].code == "deploy.not_healthy"
    assert "not yet" in text_of(error)


def test_a_port_that_is_taken_is_named(lab: Lab, name: str) -> None:
    """F-033."""
    project = lab.project(name, {"edge": {**HEALTHY, "ports": ["22:80"]}})
    error = fail_to_start(lab, project)
    assert (error.problems[0].code, error.problems[0].where) == ("deploy.port_taken", "edge")
    assert "port 22" in error.problems[0].summary


def test_a_port_of_another_container_is_named(lab: Lab, name: str) -> None:
    """F-033."""
    project = lab.project(
        name, {"a": {**HEALTHY, "ports": ["8443:1"]}, "b": {**HEALTHY, "ports": ["8443:2"]}}
    )
    error = fail_to_start(lab, project)
    assert error.problems[0].code == "deploy.port_taken"
    assert "port 8443" in error.problems[0].summary


def test_a_program_that_is_not_in_the_image_is_told(lab: Lab, name: str) -> None:
    error = fail_to_start(lab, lab.project(name, {"a": {"entrypoint": ["/nosuch"]}}))
    assert error.problems[0].code == "deploy.not_started"
    assert "/nosuch" in text_of(error)


def test_a_service_that_outgrows_its_memory_is_told(lab: Lab, name: str) -> None:
    eat = ["sh", "-c", "exec tail /dev/zero"]
    project = lab.project(name, {"a": {"command": eat, "mem_limit": "16m", "memswap_limit": "16m"}})
    error = fail_to_start(lab, project)
    assert error.problems[0].code == "deploy.out_of_memory"
    assert "memory" in error.problems[0].remedy.summary


def test_a_start_never_pulls(lab: Lab, name: str) -> None:
    project = lab.project(name, {"a": {"image": "127.0.0.1:5000/good/img:2"}})
    with pytest.raises(ImageError) as caught:
        drain(lab.engine.up(project, (), wait_s=10))
    assert "good/img:2" in caught.value.problems[0].summary


@pytest.mark.parametrize("text", ["services: [", "services: {a: {nosuch: 1}}", None])
def test_a_file_that_compose_cannot_read_is_the_products_fault(
    lab: Lab, name: str, text: str | None
) -> None:
    project = lab.project(name, {"a": HEALTHY})
    path = f"{project.directory}/compose.yaml"
    lab.root(f"cat > {path}", text.encode()) if text else lab.root(f"rm {path}")
    with pytest.raises(StackError) as caught:
        drain(lab.engine.up(project, (), wait_s=10))
    assert "compose.yaml" in caught.value.problems[0].summary


def test_everything_so_far_went_over_one_connection(lab: Lab) -> None:
    """P11."""
    assert lab.engine.info().memory > 0
    assert lab.host.connections == 1


def test_questions_go_on_after_the_connection_was_lost(lab: Lab) -> None:
    assert lab.engine.info().cgroup_version in (1, 2)
    lab.host.close()
    assert lab.engine.info().cgroup_version in (1, 2)
    assert lab.host.connections == 2


def test_the_group_of_the_engine_suffices_without_root(lab: Lab, name: str) -> None:
    engine = ComposeEngine(lab.host, privileged=False)
    project = lab.project(name, {"a": HEALTHY})
    drain(engine.up(project, (), wait_s=60))
    assert states(engine, project) == [("a", "running", "healthy")]
    assert engine.exec(project, "a", ["echo", "in"]).stdout == b"in\n"
    engine.close()
