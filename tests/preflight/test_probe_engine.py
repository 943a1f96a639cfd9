"""The probe script beside a stand-in of the engine's command."""

from __future__ import annotations

from installer.core.facts import EngineState, ImageState
from tests.preflight.looking import environment, look, parameters, tools

FAKE_DOCKER = r"""
case "$1 $2" in
"info --format")
  case $3 in
  *DockerRootDir*) echo /var/lib/docker ;;
  *) echo '{"ServerVersion":"28.5.2","MemoryLimit":true,"DockerRootDir":"/var/lib/docker"}' ;;
  esac ;;
"version --format") echo '{"Server":{"Version":"28.5.2","Components":[]}}' ;;
"compose version") echo v2.40.3 ;;
"network ls") echo aa; echo bb ;;
"network inspect") echo '{"name":"bridge","ipam":[{"Subnet":"172.17.0.0/16"}]}' ;;
"ps -aq") echo cc ;;
"inspect --type") echo '{"name":"/x-1","labels":{"com.docker.compose.project":"x"}}' ;;
"image inspect")
  case "$*" in *local:1*) echo linux amd64 ;; *) exit 1 ;; esac ;;
"manifest inspect")
  case "$3" in *gone*) echo 'manifest unknown' >&2; exit 1 ;; esac ;;
"run --rm") printf '%s\n' "$*" >&2; echo '192.0.2.10 coder.example' ;;
*) echo "unexpected: $*" >&2; exit 64 ;;
esac
"""


def test_an_engine_is_asked_for_everything_without_changing_it(probe_script, host_tree):
    log = host_tree / "calls"
    directory = tools(host_tree, docker=f'echo "$*" >>{log}\n{FAKE_DOCKER}')
    stdin = parameters(
        host_tree,
        ("name", "coder.example"),
        ("image", "local:1"),
        ("image", "there:1"),
        ("image", "gone:1"),
        ("container-dns", "yes"),
    )
    _done, facts = look(probe_script, stdin, env=environment(host_tree, directory))
    assert facts.engine.state is EngineState.RUNNING
    assert (facts.engine.compose, facts.engine.version) == ("2.40.3", "28.5.2")
    assert facts.engine.networks[0].subnets == ("172.17.0.0/16",)
    assert facts.engine.containers[0].project == "x"
    assert {r: i.state for r, i in facts.images.items()} == {
        "local:1": ImageState.PRESENT,
        "there:1": ImageState.AVAILABLE,
        "gone:1": ImageState.ABSENT,
    }
    assert facts.dns.container == {"coder.example": ("192.0.2.10",)}
    verbs = {" ".join(line.split()[:2]) for line in log.read_text().splitlines()}
    assert verbs == {
        "info --format",
        "version --format",
        "compose version",
        "network ls",
        "network inspect",
        "ps -aq",
        "inspect --type",
        "image inspect",
        "manifest inspect",
        "run --rm",
    }


def test_a_container_is_started_only_from_an_image_that_is_here(probe_script, host_tree):
    directory = tools(host_tree, docker=FAKE_DOCKER)
    stdin = parameters(
        host_tree, ("name", "coder.example"), ("image", "there:1"), ("container-dns", "yes")
    )
    done, facts = look(probe_script, stdin, env=environment(host_tree, directory))
    assert b"run --rm" not in done.stdout
    assert facts.dns.container == {}


def test_credentials_in_the_engines_configuration_do_not_leave_the_host(probe_script, host_tree):
    directory = tools(
        host_tree, docker="echo 'cannot reach http://u:hunter2@proxy.example:3128' >&2; exit 1"
    )
    done, _facts = look(probe_script, parameters(host_tree), env=environment(host_tree, directory))
    assert b"proxy.example" in done.stdout
    assert b"hunter2" not in done.stdout + done.stderr
