"""What an operator reads, what can be waived, and which class of error is raised."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer.core.checks import WAIVABLE, judge_host, raise_for
from installer.core.errors import (
    ConflictError,
    ContainerRuntimeError,
    DnsError,
    ImageError,
    PreflightError,
    PrivilegeError,
    RemoteIoError,
)
from installer.core.events import Outcome
from installer.core.facts import (
    Account,
    ClockReading,
    Dns,
    EngineContainer,
    EngineNetwork,
    EngineState,
    ImageFacts,
    ImageState,
    Listener,
    Memory,
    RouteFacts,
)
from installer.core.rules_host import describe_skew
from installer.core.rules_network import propose_range
from tests.preflight.builders import (
    GIB,
    HOST_ADDRESS,
    IMAGE,
    LABEL,
    NAMES,
    sound_dns,
    sound_engine,
    sound_facts,
    sound_needs,
    sound_network,
    sound_path,
)


def names(**changed):
    sound = sound_dns()
    return Dns({**sound.bastion, **changed}, {**sound.host, **changed}, sound.container)


def fallen(**paths):
    return {**sound_facts().paths, **paths}


FAULTS = {
    # catalogue id → (facts, error class, words that must be told, in lower case)
    "F-016": (
        {"account": Account("ops", 1000, ("ops",), "absent")},
        PrivilegeError,
        ("sudo", "ops all=(root) nopasswd: /bin/sh"),
    ),
    "F-017": (
        {"account": Account("ops", 1000, ("ops", "sudo"), "refused")},
        PrivilegeError,
        ("password", "nopasswd"),
    ),
    "F-018": (
        {
            "paths": fallen(
                data=sound_path("/data", mount="/data", device="/dev/b", available=7 * GIB)
            )
        },
        PreflightError,
        ("needed", "available", "path", "7.0 gib", "50.0 gib", "/data", "volumes"),
    ),
    "F-021": (
        {"paths": fallen(data=sound_path("/data", mount="/data", device="/dev/b", inodes_free=0))},
        PreflightError,
        ("inodes",),
    ),
    "F-022": (
        {"paths": fallen(install=sound_path("/opt/devplat", read_only=True))},
        RemoteIoError,
        ("read-only", "/opt/devplat"),
    ),
    "F-023": (
        {"clock": ClockReading(600, 0.1, False)},
        PreflightError,
        ("clock", "ntp", "10 min ahead"),
    ),
    "F-024": (
        {"cpus": 2, "memory": Memory(3900, None, 0)},
        PreflightError,
        (
            "memory",
            "cpu",
            "required",
            "found",
            "3900",
            "16384",
            "waivers: host.cpus",
            "waivers: host.memory",
        ),
    ),
    "F-026 stopped": (
        {"engine": sound_engine(state=EngineState.STOPPED)},
        ContainerRuntimeError,
        ("start the service", "not running"),
    ),
    "F-026 absent": (
        {"engine": sound_engine(state=EngineState.ABSENT)},
        ContainerRuntimeError,
        ("absent", "install"),
    ),
    "F-026 denied": (
        {"engine": sound_engine(state=EngineState.DENIED)},
        ContainerRuntimeError,
        ("no permission", "socket", "start the service"),
    ),
    "F-028": (
        {"engine": sound_engine(compose=None, legacy_compose="1.29.2")},
        ContainerRuntimeError,
        ("found version: 1.29.2", "required version: 2.24"),
    ),
    "F-028 old": (
        {"engine": sound_engine(compose="2.21.0")},
        ContainerRuntimeError,
        ("found version 2.21.0", "required version 2.24"),
    ),
    "F-031": ({"images": {IMAGE: ImageFacts(ImageState.DENIED)}}, ImageError, ("log in", IMAGE)),
    "F-032": (
        {"network": sound_network(listeners=(Listener("*", 443, "caddy (pid 950)"),))},
        PreflightError,
        ("port 443", "process", "caddy (pid 950)"),
    ),
    "F-035": (
        {"engine": sound_engine(networks=(EngineNetwork("shop", ("172.30.8.0/24",), None),))},
        PreflightError,
        ("range", "172.30.0.0/16", "172.30.8.0/24", "shop", "172.31.0.0/16"),
    ),
    "F-036": (
        {"dns": names(**{"git.company.com": ()})},
        DnsError,
        (
            "git.",
            "record to create",
            "git.company.com. in a 192.0.2.10",
            "coder.company.com. in a 192.0.2.10",
            "*.coder.company.com. in a 192.0.2.10",
        ),
    ),
    "F-037": (
        {"dns": names(**{"coder.company.com": ("203.0.113.7",)})},
        DnsError,
        ("found", "expected", "203.0.113.7", "192.0.2.10", "load balancer", "nat"),
    ),
    "F-038": (
        {"dns": names(**{f"{LABEL}.coder.company.com": ()})},
        DnsError,
        ("*.coder.", "workspace apps"),
    ),
    "F-039": (
        {
            "dns": names(
                **{"git.company.com": ("203.0.113.80",), f"{LABEL}.company.com": ("203.0.113.80",)}
            )
        },
        DnsError,
        ("wildcard", "*.company.com", "203.0.113.80"),
    ),
}


def told(error):
    pieces = []
    for problem in error.problems:
        pieces += [problem.summary, problem.detail or "", problem.remedy.summary]
        pieces += problem.remedy.commands
    return "\n".join(pieces).lower()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_catalogue_raises_its_class_and_says_what_to_do(fault):
    facts, error, words = FAULTS[fault]
    with pytest.raises(error) as caught:
        raise_for(judge_host(sound_facts(**facts), sound_needs()))
    text = told(caught.value)
    assert [word for word in words if word not in text] == []


def test_a_sound_host_raises_nothing():
    raise_for(judge_host(sound_facts(), sound_needs()))
    assert all(r.outcome is Outcome.PASS for r in judge_host(sound_facts(), sound_needs()))


def test_the_first_class_is_raised_with_the_problems_of_all():
    facts = sound_facts(
        cpus=1,
        dns=names(**{"git.company.com": ()}),
        engine=sound_engine(compose="2.1.0"),
        images={IMAGE: ImageFacts(ImageState.ABSENT)},
    )
    with pytest.raises(ContainerRuntimeError) as caught:
        raise_for(judge_host(facts, sound_needs()))
    assert [p.code for p in caught.value.problems] == [
        "compose.too_old",
        "host.cpus",
        "dns.missing",
        "image.absent",
    ]


def test_another_project_of_our_name_is_a_conflict():
    stranger = EngineContainer("x", "running", "devplat", "/home/bob/devplat")
    with pytest.raises(ConflictError) as caught:
        raise_for(
            judge_host(sound_facts(engine=sound_engine(containers=(stranger,))), sound_needs())
        )
    assert "/home/bob/devplat" in told(caught.value)


def test_warnings_raise_nothing():
    facts = sound_facts(
        engine=sound_engine(live_restore=False),
        images={IMAGE: ImageFacts(ImageState.UNREACHABLE)},
    )
    results = judge_host(facts, sound_needs())
    assert {r.id for r in results if r.outcome is Outcome.WARN} == {
        "HH-01",
        "PF-DAEMON",
        "PF-IMAGE",
    }
    raise_for(results)


def test_a_recorded_decision_waives_a_failure_and_stays_visible_f_024():
    facts = sound_facts(cpus=2, dns=names(**{"git.company.com": ()}))
    needs = sound_needs(waivers={"host.cpus": "rehearsal", "dns.missing": "no zone here"})
    results = judge_host(facts, needs)
    waived = {r.id: r for r in results if r.outcome is Outcome.WAIVED}
    assert set(waived) == {"PF-CPU", "PF-DNS"}
    assert "rehearsal" in waived["PF-CPU"].found
    assert waived["PF-CPU"].problem.code == "host.cpus"
    raise_for(results)


def test_a_waiver_of_one_code_waives_no_other():
    facts = sound_facts(cpus=2, memory=Memory(2000, None, 0))
    needs = sound_needs(waivers={"host.cpus": "rehearsal"}, service_memory_mib={})
    with pytest.raises(PreflightError) as caught:
        raise_for(judge_host(facts, needs))
    assert [p.code for p in caught.value.problems] == ["host.memory"]


@pytest.mark.parametrize(
    ("code", "facts"),
    [
        ("host.clock", {"clock": ClockReading(600, 0.1, None)}),
        ("ports.in_use", {"network": sound_network(listeners=(Listener("*", 80),))}),
        ("engine.stopped", {"engine": sound_engine(state=EngineState.STOPPED)}),
        (
            "disk.full",
            {"paths": fallen(data=sound_path("/d", mount="/d", device="/dev/b", available=GIB))},
        ),
        ("privilege.no_root", {"account": Account("ops", 1, (), "absent")}),
    ],
)
def test_what_a_run_cannot_do_without_cannot_be_waived(code, facts):
    assert code not in WAIVABLE
    results = judge_host(sound_facts(**facts), sound_needs(waivers={code: "please"}))
    assert code in {r.problem.code for r in results if r.outcome is Outcome.FAIL and r.problem}


def test_every_name_is_listed_not_only_the_first_missing_one_f_036():
    results = judge_host(sound_facts(dns=names(**dict.fromkeys(NAMES, ()))), sound_needs())
    listed = {r.where: r.outcome for r in results if r.id == "PF-DNS"}
    assert listed == {
        "coder.company.com": Outcome.FAIL,
        "git.company.com": Outcome.FAIL,
        "*.coder.company.com": Outcome.PASS,
    }


def test_each_place_says_what_it_saw():
    dns = replace(sound_dns(), bastion={**sound_dns().bastion, "git.company.com": ()})
    results = judge_host(sound_facts(dns=dns), sound_needs())
    found = next(r.found for r in results if r.where == "git.company.com")
    assert found == f"bastion: no address; host: {HOST_ADDRESS}"


def test_every_range_that_overlaps_is_named():
    routes = (RouteFacts("172.30.1.0/24", "wg0"), RouteFacts("172.30.2.0/24", "wg1"))
    results = judge_host(sound_facts(network=sound_network(routes=routes)), sound_needs())
    found = [r.found for r in results if r.id == "PF-SUBNETS"]
    assert found == ["172.30.1.0/24 (route by wg0)", "172.30.2.0/24 (route by wg1)"]


ranges = st.builds(
    lambda address, prefix: IPv4Network((address, prefix), strict=False),
    st.integers(0x0A000000, 0x0AFFFFFF)
    | st.integers(0xAC100000, 0xAC1FFFFF)
    | st.integers(0xC0A80000, 0xC0A8FFFF),
    st.integers(8, 32),
)


@given(st.integers(16, 28), st.lists(ranges, max_size=12))
def test_a_proposed_range_is_private_of_the_same_size_and_free(prefix, used):
    proposed = propose_range(prefix, used)
    if proposed is not None:
        assert proposed.prefixlen == prefix
        assert proposed.is_private
        assert not any(proposed.overlaps(network) for network in used)


def test_no_range_is_proposed_where_none_is_free():
    everything = [IPv4Network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
    assert propose_range(16, everything) is None
    assert propose_range(16, everything[:2]) == IPv4Network("192.168.0.0/16")
    assert propose_range(24, [*everything[:2], IPv4Network("192.168.4.0/22")]) == IPv4Network(
        "192.168.255.0/24"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s ahead"),
        (-90, "90.0 s behind"),
        (600, "10 min ahead"),
        (-7200, "2 h behind"),
        (-31_536_000, "365 days behind"),
    ],
)
def test_a_difference_of_clocks_reads_well(seconds, text):
    assert describe_skew(seconds) == text
