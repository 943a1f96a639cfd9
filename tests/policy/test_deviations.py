"""Deviations: listed and used ones are reported, all others fail (rule of the hardening table)."""

from __future__ import annotations

from typing import Any

import pytest

from installer.core.events import CheckResult, Outcome
from installer.core.manifest import Exception_
from installer.core.policy import audit_compose, audit_inspect
from tests.policy.builders import (
    ADDRESS,
    DATA_DIR,
    EXCEPTIONS,
    audit_context,
    hardening_table,
    sound_container,
    sound_document,
    sound_service,
)

TABLE = hardening_table()


def declare(service: str, *assertions: str) -> dict[str, tuple[Exception_, ...]]:
    """The exceptions of the sound document, those of one service replaced."""
    declared = tuple(
        Exception_(assertion=a, reason="we must", compensation="we watch") for a in assertions
    )
    return {**EXCEPTIONS, service: declared}


def result_of(results: tuple[CheckResult, ...], service: str, assertion: str) -> CheckResult:
    (found,) = [r for r in results if (r.where, r.id) == (service, assertion)]
    return found


def compose_result(service: str, assertion: str, body: dict[str, Any], **facts: Any) -> CheckResult:
    results = audit_compose({"services": {service: body}}, TABLE, audit_context(**facts))
    return result_of(results, service, assertion)


def service_as(role: str, **changes: Any) -> dict[str, Any]:
    """A sound service under another role's label."""
    body = {**sound_service("gitea"), **changes}
    body["labels"] = {**body["labels"], "devplat.role": role}
    return body


def test_a_used_deviation_is_reported_with_reason_and_compensation() -> None:
    found = result_of(
        audit_compose(
            sound_document(), TABLE, audit_context(exceptions=declare("traefik", "HD-26"))
        ),
        "traefik",
        "HD-26",
    )
    assert found.outcome is Outcome.WAIVED
    assert "we must" in found.found
    assert "we watch" in found.found
    assert found.expected == "at most: Ports 80 and 443 only"


def test_a_deviation_that_the_service_does_not_declare_fails() -> None:
    found = result_of(
        audit_compose(sound_document(), TABLE, audit_context(exceptions={})), "traefik", "HD-26"
    )
    assert found.outcome is Outcome.FAIL


@pytest.mark.parametrize("broken", [True, False])
def test_an_exception_that_the_roles_row_does_not_list_fails_needed_or_not(broken: bool) -> None:
    body = sound_service("gitea") | ({"read_only": False} if broken else {})
    found = compose_result("gitea", "HD-08", body, exceptions=declare("gitea", "HD-08"))
    assert found.outcome is Outcome.FAIL
    assert "not among the deviations" in found.found


def test_a_declared_exception_that_nothing_needs_any_longer_fails() -> None:
    body = sound_service("gitea")
    found = compose_result("gitea", "HD-26", body, exceptions=declare("gitea", "HD-26"))
    assert found.outcome is Outcome.FAIL
    assert "nothing needs" in found.found
    container = sound_container("gitea")
    results = audit_inspect(
        container, None, TABLE, audit_context(exceptions=declare("gitea", "HD-26"))
    )
    assert result_of(results, "gitea", "HD-26").outcome is Outcome.FAIL


def test_an_exception_to_an_assertion_that_does_not_exist_fails() -> None:
    body = sound_service("gitea")
    found = compose_result("gitea", "HD-99", body, exceptions=declare("gitea", "HD-99"))
    assert found.outcome is Outcome.FAIL


def test_an_exception_to_an_assertion_that_this_side_does_not_show_is_left_alone() -> None:
    context = audit_context(exceptions=declare("gitea", "HD-36"))
    results = audit_compose({"services": {"gitea": sound_service("gitea")}}, TABLE, context)
    assert {r.outcome for r in results} == {Outcome.PASS}


def port(host_ip: str, published: int, protocol: str = "tcp") -> dict[str, Any]:
    return {"target": 1, "published": str(published), "host_ip": host_ip, "protocol": protocol}


@pytest.mark.parametrize(
    ("addresses", "ports", "outcome"),
    [
        ((ADDRESS,), [port(ADDRESS, 80), port(ADDRESS, 443)], Outcome.WAIVED),
        ((ADDRESS,), [f"{ADDRESS}:443:8443"], Outcome.WAIVED),
        (("2001:db8::1",), ["[2001:db8::1]:443:443/tcp"], Outcome.WAIVED),
        ((), [port("198.51.100.7", 443)], Outcome.WAIVED),
        (("0.0.0.0", "::"), [port("0.0.0.0", 443), port("::", 443)], Outcome.WAIVED),
        ((ADDRESS,), [port("", 443)], Outcome.FAIL),
        ((ADDRESS,), ["443:443"], Outcome.FAIL),
        ((ADDRESS,), [port("0.0.0.0", 443)], Outcome.FAIL),
        ((), [port("0.0.0.0", 443)], Outcome.FAIL),
        ((), [port("::", 443)], Outcome.FAIL),
        ((ADDRESS,), [port("203.0.113.5", 443)], Outcome.FAIL),
        ((ADDRESS,), [port(ADDRESS, 8080)], Outcome.FAIL),
        ((ADDRESS,), [port(ADDRESS, 443), port(ADDRESS, 8082)], Outcome.FAIL),
        ((ADDRESS,), [port(ADDRESS, 443, "udp")], Outcome.FAIL),
        ((ADDRESS,), [f"{ADDRESS}:8000-8010:80"], Outcome.FAIL),
    ],
)
def test_the_edge_publishes_its_two_ports_on_an_explicit_address_only(
    addresses: tuple[str, ...], ports: list[Any], outcome: Outcome
) -> None:
    body = sound_service("traefik") | {"ports": ports}
    assert compose_result("traefik", "HD-26", body, bind_addresses=addresses).outcome is outcome


@pytest.mark.parametrize(
    ("bindings", "outcome"),
    [
        ({"8443/tcp": [{"HostIp": ADDRESS, "HostPort": "443"}]}, Outcome.WAIVED),
        ({"443/tcp": [{"HostIp": "", "HostPort": "443"}]}, Outcome.FAIL),
        ({"443/tcp": [{"HostIp": ADDRESS, "HostPort": "8443"}]}, Outcome.FAIL),
        ({"443/tcp": [{"HostIp": ADDRESS, "HostPort": ""}]}, Outcome.WAIVED),
        ({"9000/tcp": [{"HostIp": ADDRESS, "HostPort": ""}]}, Outcome.FAIL),
    ],
)
def test_the_engines_bindings_of_the_edge_are_held_against_the_same_row(
    bindings: dict[str, Any], outcome: Outcome
) -> None:
    container = sound_container("traefik")
    container["HostConfig"]["PortBindings"] = bindings
    results = audit_inspect(container, None, TABLE, audit_context())
    assert result_of(results, "traefik", "HD-26").outcome is outcome


@pytest.mark.parametrize(
    ("ports", "outcome"),
    [
        ([port(ADDRESS, 2222)], Outcome.WAIVED),
        ([port(ADDRESS, 2222), port(ADDRESS, 2223)], Outcome.FAIL),
        ([port("", 2222)], Outcome.FAIL),
    ],
)
def test_git_over_ssh_may_have_one_port(ports: list[Any], outcome: Outcome) -> None:
    body = sound_service("gitea") | {"ports": ports}
    exceptions = declare("gitea", "HD-26")
    assert compose_result("gitea", "HD-26", body, exceptions=exceptions).outcome is outcome


@pytest.mark.parametrize("label", ["socket-proxy", "socket-proxy-logs", "socket-proxy-edge"])
def test_one_row_covers_every_socket_proxy(label: str) -> None:
    body = sound_service("socket-proxy-coder")
    body["labels"]["devplat.role"] = label
    context = audit_context(exceptions=declare(label, "HD-01", "HD-24"))
    outcomes = {r.outcome for r in audit_compose({"services": {label: body}}, TABLE, context)}
    assert outcomes == {Outcome.PASS, Outcome.WAIVED}


def test_a_socket_proxy_gets_the_socket_and_nothing_else_from_the_host() -> None:
    body = sound_service("socket-proxy-coder")
    body["volumes"].append({"type": "bind", "source": "/run", "target": "/run", "read_only": True})
    results = audit_compose({"services": {"socket-proxy-coder": body}}, TABLE, audit_context())
    failed = {r.id for r in results if r.outcome is Outcome.FAIL}
    assert failed == {"HD-22"}


@pytest.mark.parametrize(
    ("role", "assertion", "changes", "outcome"),
    [
        ("alloy", "HD-01", {"user": "0"}, Outcome.WAIVED),
        ("alloy", "HD-01", {"user": "root"}, Outcome.FAIL),
        ("vault", "HD-04", {"cap_add": ["CAP_IPC_LOCK"]}, Outcome.WAIVED),
        ("vault", "HD-04", {"cap_add": ["ipc_lock", "SYS_PTRACE"]}, Outcome.FAIL),
        ("vault", "HD-04", {"cap_add": []}, Outcome.FAIL),
        ("postgres", "HD-04", {"cap_add": ["CHOWN", "SETUID"]}, Outcome.WAIVED),
        ("postgres", "HD-04", {"cap_add": ["CHOWN", "NET_ADMIN"]}, Outcome.FAIL),
        ("backup", "HD-28", {"restart": "no"}, Outcome.WAIVED),
        ("job", "HD-28", {"restart": None}, Outcome.WAIVED),
        ("job", "HD-28", {"restart": "on-failure:99"}, Outcome.FAIL),
        ("job", "HD-27", {"healthcheck": None}, Outcome.WAIVED),
        ("gitea", "HD-37", {"init": False}, Outcome.WAIVED),
        ("gitea", "HD-37", {"init": True}, Outcome.FAIL),
    ],
)
def test_a_deviation_reaches_as_far_as_its_row_says(
    role: str, assertion: str, changes: dict[str, Any], outcome: Outcome
) -> None:
    body = service_as(role, **changes)
    found = compose_result("some", assertion, body, exceptions=declare("some", assertion))
    assert found.outcome is outcome


@pytest.mark.parametrize(
    ("role", "source", "outcome"),
    [
        ("node-exporter", "/proc", Outcome.WAIVED),
        ("node-exporter", "/", Outcome.WAIVED),
        ("node-exporter", "/etc", Outcome.FAIL),
        ("alloy", "/var/lib/docker/containers", Outcome.WAIVED),
        ("alloy", "/var/lib/docker", Outcome.FAIL),
    ],
)
def test_exact_host_directories_are_listed_per_role(
    role: str, source: str, outcome: Outcome
) -> None:
    volume = {"type": "bind", "source": source, "target": "/host", "read_only": True}
    body = service_as(role, volumes=[volume])
    found = compose_result("some", "HD-22", body, exceptions=declare("some", "HD-22"))
    assert found.outcome is outcome
    writable = service_as(role, volumes=[{**volume, "read_only": False}])
    assert compose_result("some", "HD-23", writable).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        ("/run/docker.sock", Outcome.FAIL),
        ("/var/run/docker.sock", Outcome.FAIL),
        (f"{DATA_DIR}/build-engine/docker.sock", Outcome.WAIVED),
    ],
)
def test_a_runner_never_gets_the_socket_of_the_engine_that_holds_the_data(
    source: str, outcome: Outcome
) -> None:
    volume = {"type": "bind", "source": source, "target": "/s", "read_only": True}
    body = service_as("drone-runner", volumes=[volume])
    found = compose_result("some", "HD-24", body, exceptions=declare("some", "HD-24"))
    assert found.outcome is outcome


def test_a_wrapper_that_reads_files_is_reported_and_lets_no_value_show() -> None:
    wrapped = sound_service("coder")
    assert compose_result("coder", "HD-33", wrapped).outcome is Outcome.WAIVED
    shown = sound_service("coder")
    shown["environment"]["CODER_PG_CONNECTION_URL"] = "postgres://coder:pw@postgres/coder"
    assert compose_result("coder", "HD-33", shown).outcome is Outcome.FAIL
    bare = sound_service("coder")
    del bare["entrypoint"]
    found = compose_result("coder", "HD-33", bare)
    assert found.outcome is Outcome.FAIL
    assert "nothing needs" in found.found
