"""Every preflight rule as a table: facts and requirements in, outcomes and problem codes out.

A row names the rule, what differs from a sound host, and what the rule must say: `pass`, `unknown`,
or `warn`/`fail` with the problem's code; an empty tuple where the rule does not apply.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from installer.core.checks import CLASSES, RULES, WAIVABLE, judge_host, judge_rule
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
    Installation,
    Listener,
    Memory,
    PathKind,
    RouteFacts,
    Socket,
)
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

RULE_BY_ID = {rule.id: rule for rule in RULES}


def paths(**changed):
    sound = sound_facts().paths
    return {"paths": {**sound, **changed}}


def all_paths(**changes):
    return {"paths": {k: replace(p, **changes) for k, p in sound_facts().paths.items()}}


def engine(**changes):
    return {"engine": sound_engine(**changes)}


def network(**changes):
    return {"network": sound_network(**changes)}


def dns(*, host=None, bastion=None, container=None):
    sound = sound_dns()
    return {
        "dns": Dns(
            bastion={**sound.bastion, **(bastion or {})},
            host={**sound.host, **(host or {})},
            container=sound.container if container is None else container,
        )
    }


def both(**names):
    return dns(host=names, bastion=names)


def image(state, platforms=(), detail=""):
    return {"images": {IMAGE: ImageFacts(state, platforms, detail)}}


CODER, GIT = NAMES
PARKING = ("203.0.113.80",)
CATCH_ALL = f"{LABEL}.company.com"
BELOW = f"{LABEL}.coder.company.com"
OPS = Account("ops", 1000, ("ops",), "absent")
MEMBER = Account("ops", 1000, ("ops", "docker"), "absent")
STOPPED = {"engine": sound_engine(state=EngineState.STOPPED, compose="2.40.3", version=None)}
ABSENT = {"engine": sound_engine(state=EngineState.ABSENT, compose=None, version=None)}
UNPRIVILEGED = {"privileged": False}

ROWS = [
    # rule, case, facts, requirements, expected
    ("PF-PRIVILEGE", "root", {}, {}, ("pass",)),
    ("PF-PRIVILEGE", "no sudo F-016", {"account": OPS}, {}, ("fail privilege.no_root",)),
    (
        "PF-PRIVILEGE",
        "sudo wants a password F-017",
        {"account": replace(OPS, sudo="refused")},
        {},
        ("fail privilege.no_root",),
    ),
    (
        "PF-PRIVILEGE",
        "docker group is enough when root is not needed",
        {"account": MEMBER},
        UNPRIVILEGED,
        (),
    ),
    (
        "PF-PRIVILEGE",
        "no socket",
        {"account": OPS, **engine(state=EngineState.DENIED)},
        UNPRIVILEGED,
        ("fail privilege.no_engine_access",),
    ),
    (
        "PF-PRIVILEGE",
        "directory of another",
        {"account": MEMBER, **paths(data=sound_path("/var/lib/devplat", writable=False))},
        UNPRIVILEGED,
        ("fail privilege.not_writable",),
    ),
    ("PF-PLATFORM", "PC", {}, {}, ("pass",)),
    ("PF-PLATFORM", "ARM", {"machine": "aarch64"}, {}, ("pass",)),
    ("PF-PLATFORM", "32 bit", {"machine": "armv7l"}, {}, ("fail host.platform",)),
    (
        "PF-PLATFORM",
        "no Linux",
        {"kernel": "FreeBSD", "machine": "amd64"},
        {},
        ("fail host.platform",),
    ),
    ("PF-PLATFORM", "silent", {"kernel": "", "machine": ""}, {}, ("unknown",)),
    ("PF-ENGINE", "runs", {}, {}, ("pass",)),
    *[
        ("PF-ENGINE", f"{state} F-026", engine(state=state), {}, (f"fail engine.{state.value}",))
        for state in EngineState
        if state is not EngineState.RUNNING
    ],
    ("PF-ENGINE-VERSION", "new", {}, {}, ("pass",)),
    ("PF-ENGINE-VERSION", "the minimum", engine(version="24.0.0"), {}, ("pass",)),
    ("PF-ENGINE-VERSION", "old F-028", engine(version="23.0.6"), {}, ("fail engine.too_old",)),
    (
        "PF-ENGINE-VERSION",
        "a distribution's",
        engine(version="20.10.24+dfsg1"),
        {},
        ("fail engine.too_old",),
    ),
    ("PF-ENGINE-VERSION", "unreadable", engine(version="dev"), {}, ("unknown",)),
    ("PF-ENGINE-VERSION", "stopped", STOPPED, {}, ()),
    ("PF-COMPOSE", "new", {}, {}, ("pass",)),
    ("PF-COMPOSE", "next major", engine(compose="5.5.1"), {}, ("pass",)),
    ("PF-COMPOSE", "the minimum", engine(compose="2.24.0"), {}, ("pass",)),
    ("PF-COMPOSE", "old plugin F-028", engine(compose="2.23.3"), {}, ("fail compose.too_old",)),
    ("PF-COMPOSE", "absent F-028", engine(compose=None), {}, ("fail compose.absent",)),
    (
        "PF-COMPOSE",
        "legacy only F-028",
        engine(compose=None, legacy_compose="1.29.2"),
        {},
        ("fail compose.legacy",),
    ),
    ("PF-COMPOSE", "judged while the engine is stopped", STOPPED, {}, ("pass",)),
    ("PF-COMPOSE", "no engine at all", ABSENT, {}, ()),
    ("PF-ENGINE-MODE", "ordinary", {}, {}, ("pass",)),
    (
        "PF-ENGINE-MODE",
        "rootless",
        engine(security=("name=rootless",)),
        {},
        ("fail engine.rootless",),
    ),
    (
        "PF-ENGINE-MODE",
        "user ids mapped",
        engine(security=("name=userns",)),
        {},
        ("fail engine.userns_remap",),
    ),
    (
        "PF-ENGINE-MODE",
        "snap",
        engine(root_dir="/var/snap/docker/common/var-lib-docker"),
        {},
        ("fail engine.snap",),
    ),
    (
        "PF-ENGINE-MODE",
        "no memory limits",
        engine(missing_limits=("memory", "swap")),
        {},
        ("fail engine.limits",),
    ),
    (
        "PF-ENGINE-MODE",
        "no swap limit is no fault",
        engine(missing_limits=("swap",)),
        {},
        ("pass",),
    ),
    ("PF-ENGINE-MODE", "selinux", engine(security=("name=selinux",)), {}, ("warn engine.selinux",)),
    ("PF-ENGINE-MODE", "stopped", STOPPED, {}, ()),
    ("PF-INSTALLATION", "none", {}, {}, ("pass",)),
    (
        "PF-INSTALLATION",
        "ours",
        {
            **paths(
                install=sound_path(
                    "/opt/devplat",
                    kind=PathKind.DIRECTORY,
                    entries=("current", "releases", "state", "notes.txt"),
                )
            ),
            "installation": Installation(current="releases/1", releases=("1",)),
        },
        {},
        ("pass",),
    ),
    (
        "PF-INSTALLATION",
        "an empty directory",
        paths(install=sound_path("/opt/devplat", kind=PathKind.DIRECTORY)),
        {},
        ("pass",),
    ),
    (
        "PF-INSTALLATION",
        "somebody else's directory",
        paths(install=sound_path("/opt/devplat", kind=PathKind.DIRECTORY, entries=("bin", "etc"))),
        {},
        ("fail install.foreign_directory",),
    ),
    (
        "PF-INSTALLATION",
        "our project",
        engine(containers=(EngineContainer("a", "running", "devplat", "/opt/devplat/current"),)),
        {},
        ("pass",),
    ),
    (
        "PF-INSTALLATION",
        "another project of that name",
        engine(containers=(EngineContainer("a", "exited", "devplat", "/opt/devplat-old"),)),
        {},
        ("fail install.foreign_project",),
    ),
    ("PF-READ-ONLY", "writable", {}, {}, ("pass",)),
    ("PF-READ-ONLY", "read-only F-022", all_paths(read_only=True), {}, ("fail disk.read_only",)),
    (
        "PF-READ-ONLY",
        "one of two",
        paths(data=sound_path("/srv/x", mount="/srv", read_only=True)),
        {},
        ("pass", "fail disk.read_only"),
    ),
    (
        "PF-READ-ONLY",
        "root cannot write although nothing says so",
        all_paths(writable=False),
        {},
        ("fail disk.read_only",),
    ),
    ("PF-READ-ONLY", "nothing looked at", {"paths": {}}, {}, ()),
    ("PF-PATHS", "can be made", {}, {}, ("pass", "pass")),
    (
        "PF-PATHS",
        "a file in the way",
        paths(install=sound_path("/opt/devplat", existing="/opt", kind=PathKind.OTHER)),
        {},
        ("fail path.not_directory", "pass"),
    ),
    ("PF-PATHS", "nothing looked at", {"paths": {}}, {}, ()),
    ("PF-CPU", "enough", {}, {}, ("pass",)),
    ("PF-CPU", "just enough", {"cpus": 4}, {"cpus": 3.5}, ("pass",)),
    ("PF-CPU", "too few F-024", {"cpus": 2}, {}, ("fail host.cpus",)),
    ("PF-CPU", "unknown", {"cpus": None}, {}, ("unknown",)),
    ("PF-CPU", "not asked for", {"cpus": 1}, {"cpus": 0}, ()),
    ("PF-MEMORY", "enough", {}, {}, ("pass",)),
    ("PF-MEMORY", "sold as 16 GiB", {"memory": Memory(15_700, None, 0)}, {}, ("pass",)),
    (
        "PF-MEMORY",
        "too little F-024",
        {"memory": Memory(4_000, None, 0)},
        {},
        ("fail host.memory",),
    ),
    ("PF-MEMORY", "unknown", {"memory": None}, {}, ("unknown",)),
    ("PF-MEMORY", "not asked for", {"memory": Memory(100, None, 0)}, {"memory_mib": 0}, ()),
    ("PF-MEMORY-SHARE", "all below half", {}, {}, ("pass",)),
    (
        "PF-MEMORY-SHARE",
        "one above half HD-10",
        {},
        {"service_memory_mib": {"db": 16_001, "x": 9}},
        ("warn host.memory_share",),
    ),
    ("PF-MEMORY-SHARE", "memory unknown", {"memory": None}, {}, ()),
    ("PF-DISK", "enough on one file system", {}, {}, ("pass",)),
    (
        "PF-DISK",
        "enough on three",
        paths(
            data=sound_path("/data", mount="/data", device="/dev/sdb"),
            engine=sound_path("/e", mount="/e", device="/dev/sdc"),
        ),
        {},
        ("pass",) * 3,
    ),
    (
        "PF-DISK",
        "too little on the data file system F-018",
        paths(data=sound_path("/data", mount="/data", device="/dev/sdb", available=10 * GIB)),
        {},
        ("pass", "fail disk.space"),
    ),
    ("PF-DISK", "the sum is too much", all_paths(available=60 * GIB), {}, ("fail disk.space",)),
    ("PF-DISK", "full", all_paths(available=GIB), {}, ("fail disk.full",)),
    (
        "PF-DISK",
        "a rerun beside its own data",
        {**all_paths(available=10 * GIB), "installation": Installation(current="releases/1")},
        {},
        ("pass",),
    ),
    ("PF-DISK", "unknown", all_paths(available=None), {}, ("unknown",)),
    (
        "PF-DISK",
        "not asked for",
        all_paths(available=0),
        {"disk_gib_install": 0, "disk_gib_data": 0, "disk_gib_images": 0},
        (),
    ),
    ("PF-INODES", "enough", {}, {}, ("pass",)),
    ("PF-INODES", "none left F-021", all_paths(inodes_free=0), {}, ("fail disk.inodes",)),
    ("PF-INODES", "few left", all_paths(inodes_free=40_000), {}, ("fail disk.inodes",)),
    ("PF-INODES", "no fixed number", all_paths(inodes=0, inodes_free=0), {}, ("pass",)),
    ("PF-INODES", "unknown", all_paths(inodes=None), {}, ("unknown",)),
    ("PF-INODES", "not asked for", {"paths": {}}, {}, ()),
    ("PF-CLOCK", "right", {}, {}, ("pass",)),
    ("PF-CLOCK", "half a minute", {"clock": ClockReading(30, 0.1, True)}, {}, ("pass",)),
    (
        "PF-CLOCK",
        "10 minutes ahead F-023",
        {"clock": ClockReading(600, 0.1, None)},
        {},
        ("fail host.clock",),
    ),
    (
        "PF-CLOCK",
        "a year behind F-023",
        {"clock": ClockReading(-31_536_000, 1, None)},
        {},
        ("fail host.clock",),
    ),
    (
        "PF-CLOCK",
        "a slow exchange proves nothing",
        {"clock": ClockReading(61, 5, None)},
        {},
        ("pass",),
    ),
    ("PF-CLOCK", "silent", {"clock": None}, {}, ("unknown",)),
    ("PF-ADDRESS", "the host's", {}, {}, ("pass",)),
    ("PF-ADDRESS", "of a NAT", {}, {"address": "203.0.113.9"}, ("fail address.foreign",)),
    (
        "PF-ADDRESS",
        "same address, other notation",
        network(addresses=("2001:db8::10",)),
        {"address": "2001:DB8:0::10"},
        ("pass",),
    ),
    ("PF-ADDRESS", "unknown", network(addresses=None), {}, ("unknown",)),
    ("PF-ADDRESS", "every address", network(addresses=()), {"address": "all"}, ()),
    ("PF-PORTS", "free", {}, {}, ("pass", "pass")),
    (
        "PF-PORTS",
        "80 on every address F-032",
        network(listeners=(Listener("*", 80, "nginx (pid 9)"),)),
        {},
        ("fail ports.in_use", "pass"),
    ),
    (
        "PF-PORTS",
        "443 on the address F-032",
        network(listeners=(Listener(HOST_ADDRESS, 443),)),
        {},
        ("pass", "fail ports.in_use"),
    ),
    (
        "PF-PORTS",
        "on another address",
        network(listeners=(Listener("192.0.2.99", 443),)),
        {},
        ("pass", "pass"),
    ),
    (
        "PF-PORTS",
        "on loopback, one address asked for",
        network(listeners=(Listener("127.0.0.1", 80),)),
        {},
        ("pass", "pass"),
    ),
    (
        "PF-PORTS",
        "on loopback, every address asked for",
        network(listeners=(Listener("127.0.0.1", 80),)),
        {"address": "all"},
        ("fail ports.in_use", "pass"),
    ),
    (
        "PF-PORTS",
        "held by this deployment",
        {
            **network(listeners=(Listener("*", 80, "docker-proxy (pid 7)"),)),
            **engine(
                containers=(
                    EngineContainer("e", "running", "devplat", "/opt/devplat/current", (("", 80),)),
                )
            ),
        },
        {},
        ("pass", "pass"),
    ),
    (
        "PF-PORTS",
        "held by another project's container without a proxy process",
        engine(
            containers=(EngineContainer("web", "running", "shop", "/srv", (("0.0.0.0", 443),)),)
        ),
        {},
        ("pass", "fail ports.in_use"),
    ),
    (
        "PF-PORTS",
        "a stopped container holds nothing",
        engine(containers=(EngineContainer("web", "exited", "shop", "/srv", (("", 443),)),)),
        {},
        ("pass", "pass"),
    ),
    ("PF-PORTS", "unknown", network(listeners=None), {}, ("unknown",)),
    ("PF-PORTS", "none published", network(listeners=None), {"ports": ()}, ()),
    ("PF-SUBNETS", "no overlap", {}, {}, ("pass",)),
    (
        "PF-SUBNETS",
        "the host's own network F-035",
        {},
        {"pool": "192.0.0.0/16"},
        ("fail subnets.overlap",) * 3,
    ),
    (
        "PF-SUBNETS",
        "a VPN's route F-035",
        network(routes=(RouteFacts("172.30.5.0/24", "wg0"),)),
        {},
        ("fail subnets.overlap",),
    ),
    (
        "PF-SUBNETS",
        "a VPN around the pool F-035",
        network(routes=(RouteFacts("172.16.0.0/12", "tun0"),)),
        {},
        ("fail subnets.overlap",),
    ),
    (
        "PF-SUBNETS",
        "another container network F-035",
        engine(networks=(EngineNetwork("shop", ("172.30.64.0/20",), "shop"),)),
        {},
        ("fail subnets.overlap",),
    ),
    (
        "PF-SUBNETS",
        "our own networks of an earlier run",
        {
            **engine(networks=(EngineNetwork("a", ("172.30.0.8/29",), "devplat"),)),
            **network(
                routes=(RouteFacts("172.30.0.8/29", "br-1"),),
                addresses=(HOST_ADDRESS, "172.30.0.9"),
            ),
        },
        {},
        ("pass",),
    ),
    (
        "PF-SUBNETS",
        "where the session comes from",
        {"account": Account("root", 0, (), "present", client="172.30.77.1")},
        {},
        ("fail subnets.overlap",),
    ),
    (
        "PF-SUBNETS",
        "a name server behind the default route",
        network(name_servers=("172.30.0.53",)),
        {},
        ("fail subnets.overlap",),
    ),
    ("PF-SUBNETS", "unknown", network(routes=None), {}, ("unknown",)),
    ("PF-SUBNETS", "no pool", {}, {"pool": None}, ()),
    ("PF-DNS", "all right", {}, {}, ("pass",) * 3),
    ("PF-DNS", "one missing F-036", both(**{GIT: ()}), {}, ("pass", "fail dns.missing", "pass")),
    (
        "PF-DNS",
        "all missing F-036",
        both(**{CODER: (), GIT: (), BELOW: ()}),
        {},
        ("fail dns.missing", "fail dns.missing", "fail dns.wildcard_missing"),
    ),
    (
        "PF-DNS",
        "missing on the host only",
        dns(host={GIT: ()}),
        {},
        ("pass", "fail dns.missing", "pass"),
    ),
    (
        "PF-DNS",
        "missing here only",
        dns(bastion={GIT: ()}),
        {},
        ("pass", "fail dns.missing", "pass"),
    ),
    (
        "PF-DNS",
        "elsewhere F-037",
        both(**{CODER: ("203.0.113.7",)}),
        {},
        ("fail dns.elsewhere", "pass", "pass"),
    ),
    (
        "PF-DNS",
        "one address of two is elsewhere F-037",
        both(**{CODER: (HOST_ADDRESS, "2001:db8::bad")}),
        {},
        ("fail dns.elsewhere", "pass", "pass"),
    ),
    (
        "PF-DNS",
        "a load balancer accepted explicitly F-037",
        both(**{CODER: ("203.0.113.7",)}),
        {"addresses": (HOST_ADDRESS, "203.0.113.7")},
        ("pass",) * 3,
    ),
    (
        "PF-DNS",
        "wildcard missing F-038",
        both(**{BELOW: ()}),
        {},
        ("pass", "pass", "fail dns.wildcard_missing"),
    ),
    (
        "PF-DNS",
        "only a catch-all answers F-039",
        both(**{CATCH_ALL: PARKING, GIT: PARKING, BELOW: PARKING}),
        {},
        ("pass", "fail dns.catch_all", "fail dns.catch_all"),
    ),
    (
        "PF-DNS",
        "a catch-all with the right address is fine",
        both(**{CATCH_ALL: (HOST_ADDRESS,)}),
        {},
        ("pass",) * 3,
    ),
    ("PF-DNS", "any address will do", both(**{CODER: PARKING}), {"addresses": ()}, ("pass",) * 3),
    (
        "PF-DNS",
        "not required",
        both(**{GIT: ()}),
        {"dns_required": False},
        ("pass", "warn dns.missing", "pass"),
    ),
    (
        "PF-DNS",
        "the host's own name in its hosts file",
        dns(host={CODER: ("127.0.1.1",)}),
        {},
        ("pass",) * 3,
    ),
    ("PF-DNS", "nobody could be asked", {"dns": Dns()}, {}, ("unknown",) * 3),
    ("PF-DNS", "no names", {}, {"names": (), "wildcards": ()}, ()),
    ("PF-DNS-CATCH-ALL", "none", {}, {}, ("pass",)),
    (
        "PF-DNS-CATCH-ALL",
        "leads elsewhere F-039",
        both(**{CATCH_ALL: PARKING}),
        {},
        ("warn dns.catch_all",),
    ),
    ("PF-DNS-CATCH-ALL", "leads here", both(**{CATCH_ALL: (HOST_ADDRESS,)}), {}, ("pass",)),
    (
        "PF-DNS-CATCH-ALL",
        "shadows a name whose address is not known F-039",
        both(**{CATCH_ALL: PARKING, GIT: PARKING}),
        {"addresses": ()},
        ("warn dns.catch_all",),
    ),
    (
        "PF-DNS-CATCH-ALL",
        "shadows nothing",
        both(**{CATCH_ALL: PARKING}),
        {"addresses": ()},
        ("pass",),
    ),
    ("PF-DNS-CATCH-ALL", "nobody could be asked", {"dns": Dns()}, {}, ("unknown",)),
    ("PF-DNS-CATCH-ALL", "nothing to ask with", {}, {"probe_label": ""}, ()),
    ("PF-DNS-CONTAINER", "all right", {}, {}, ("pass",)),
    (
        "PF-DNS-CONTAINER",
        "missing",
        dns(container={CODER: (HOST_ADDRESS,), GIT: ()}),
        {},
        ("warn dns.container",),
    ),
    ("PF-DNS-CONTAINER", "no image to ask with", dns(container={}), {}, ("unknown",)),
    ("PF-DNS-CONTAINER", "no names", {}, {"names": ()}, ()),
    ("PF-IMAGE", "available", {}, {}, ("pass",)),
    ("PF-IMAGE", "present", image(ImageState.PRESENT, ("linux/amd64",)), {}, ("pass",)),
    ("PF-IMAGE", "platforms not told", image(ImageState.AVAILABLE), {}, ("pass",)),
    (
        "PF-IMAGE",
        "for another platform",
        image(ImageState.AVAILABLE, ("linux/arm64", "unknown/unknown")),
        {},
        ("fail image.platform",),
    ),
    ("PF-IMAGE", "absent", image(ImageState.ABSENT), {}, ("fail image.absent",)),
    ("PF-IMAGE", "wants a login F-031", image(ImageState.DENIED), {}, ("fail image.denied",)),
    (
        "PF-IMAGE",
        "login is in the answers",
        image(ImageState.DENIED),
        {"registry_login": True},
        ("unknown",),
    ),
    ("PF-IMAGE", "rate limit F-031", image(ImageState.LIMITED), {}, ("warn image.limited",)),
    (
        "PF-IMAGE",
        "registry away F-029",
        image(ImageState.UNREACHABLE),
        {},
        ("warn image.unreachable",),
    ),
    ("PF-IMAGE", "not told", {"images": {}}, {}, ("unknown",)),
    ("PF-IMAGE", "stopped", STOPPED, {}, ()),
    ("HH-01", "on", {}, {}, ("pass",)),
    ("HH-01", "off", engine(live_restore=False), {}, ("warn hardening.hh_01",)),
    ("HH-01", "not told", engine(live_restore=None), {}, ("unknown",)),
    ("HH-01", "stopped", STOPPED, {}, ()),
    ("HH-02", "none", {}, {}, ("pass",)),
    (
        "HH-02",
        "plain",
        network(listeners=(Listener("127.0.0.1", 2375),)),
        {},
        ("warn hardening.hh_02",),
    ),
    (
        "HH-02",
        "encrypted, clients not checked",
        network(listeners=(Listener("*", 2376),)),
        {},
        ("warn hardening.hh_02",),
    ),
    (
        "HH-02",
        "mutual TLS",
        {**network(listeners=(Listener("*", 2376),)), **engine(tls_verify=True)},
        {},
        ("pass",),
    ),
    ("HH-02", "not told", network(listeners=None), {}, ("unknown",)),
    ("HH-03", "bounded", {}, {}, ("pass",)),
    ("HH-03", "unbounded", engine(log_bounded=False), {}, ("warn hardening.hh_03",)),
    ("HH-03", "stopped", STOPPED, {}, ()),
    ("HH-04", "none", {}, {}, ("pass",)),
    ("HH-04", "one", engine(insecure_registries=("10.0.0.0/8",)), {}, ("warn hardening.hh_04",)),
    ("HH-04", "stopped", STOPPED, {}, ()),
    ("HH-05", "off", {}, {}, ("pass",)),
    (
        "HH-05",
        "on",
        engine(
            networks=(
                EngineNetwork("bridge", (), None, {"com.docker.network.bridge.enable_icc": "true"}),
            )
        ),
        {},
        ("warn hardening.hh_05",),
    ),
    ("HH-05", "no default bridge", engine(networks=()), {}, ("unknown",)),
    ("HH-05", "stopped", STOPPED, {}, ()),
    ("HH-06", "off", {}, {}, ("pass",)),
    ("HH-06", "on", engine(userland_proxy=True), {}, ("warn hardening.hh_06",)),
    ("HH-06", "stopped", STOPPED, {}, ()),
    ("HH-07", "maintained", {}, {}, ("pass",)),
    ("HH-07", "older", engine(version="26.1.5+dfsg1"), {}, ("warn hardening.hh_07",)),
    ("HH-07", "unreadable", engine(version="dev"), {}, ("unknown",)),
    ("HH-07", "stopped", STOPPED, {}, ()),
    ("HH-08", "off", {}, {}, ("pass",)),
    ("HH-08", "on", engine(swarm="active"), {}, ("warn hardening.hh_08",)),
    ("HH-08", "not told", engine(swarm=None), {}, ("unknown",)),
    ("HH-08", "stopped", STOPPED, {}, ()),
    ("HH-09", "tight", {}, {}, ("pass",)),
    (
        "HH-09",
        "socket for all",
        engine(socket=Socket(0o666, "root", "docker", 1)),
        {},
        ("warn hardening.hh_09",),
    ),
    (
        "HH-09",
        "socket of another group",
        engine(socket=Socket(0o660, "root", "users", 1)),
        {},
        ("warn hardening.hh_09",),
    ),
    ("HH-09", "configuration for all", engine(config_mode=0o666), {}, ("warn hardening.hh_09",)),
    ("HH-09", "stricter configuration", engine(config_mode=0o600), {}, ("pass",)),
    (
        "HH-09",
        "somebody else in the group",
        engine(members=("ops", "mallory")),
        {},
        ("warn hardening.hh_09",),
    ),
    ("HH-09", "no socket", engine(socket=None), {}, ()),
    ("HH-10", "off", {}, {}, ("pass",)),
    ("HH-10", "on", engine(experimental=True), {}, ("warn hardening.hh_10",)),
    ("HH-10", "not told", engine(experimental=None), {}, ("unknown",)),
    ("HH-10", "stopped", STOPPED, {}, ()),
    ("HH-11", "kept", {}, {}, ("pass",)),
    ("HH-11", "2 s off", {"clock": ClockReading(-2, 0.1, True)}, {}, ("warn hardening.hh_11",)),
    (
        "HH-11",
        "right by chance",
        {"clock": ClockReading(0, 0.1, False)},
        {},
        ("warn hardening.hh_11",),
    ),
    ("HH-11", "silent", {"clock": None}, {}, ("unknown",)),
    ("HH-12", "none", {}, {}, ("pass",)),
    ("HH-12", "some", {"memory": Memory(32_000, None, 2048)}, {}, ("warn hardening.hh_12",)),
    ("HH-12", "unknown", {"memory": None}, {}, ("unknown",)),
]


def said(results):
    return tuple(
        r.outcome.value
        if r.outcome in (Outcome.PASS, Outcome.UNKNOWN)
        else f"{r.outcome.value} {r.problem.code}"
        for r in results
    )


@pytest.mark.parametrize(
    ("rule", "facts", "needs", "expected"),
    [pytest.param(r, f, n, e, id=f"{r}: {case}") for r, case, f, n, e in ROWS],
)
def test_a_rule_says_what_the_table_says(rule, facts, needs, expected):
    results = tuple(judge_rule(RULE_BY_ID[rule], sound_facts(**facts), sound_needs(**needs)))
    assert said(results) == expected
    for result in results:
        assert (result.problem is None) == (result.outcome is Outcome.PASS)
        if result.problem:
            assert result.problem.remedy.summary
            assert result.problem.where == result.where
            assert not result.problem.summary.endswith(".")
            assert "\n" not in result.problem.summary


def test_a_sound_host_passes_everything():
    outcomes = {r.id: r.outcome for r in judge_host(sound_facts(), sound_needs())}
    assert set(outcomes.values()) == {Outcome.PASS}
    assert set(outcomes) == set(RULE_BY_ID)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_is_shown_to_pass_and_to_complain(rule):
    expected = [e for r, _, _, _, e in ROWS if r == rule.id]
    assert any("pass" in e for e in expected)
    assert any(word.startswith(("warn", "fail")) for e in expected for word in e)


def test_ids_are_unique_and_every_class_has_its_place():
    assert len(RULE_BY_ID) == len(RULES)
    assert {rule.error for rule in RULES} == set(CLASSES)


def test_everything_that_can_be_waived_exists():
    codes = {word.partition(" ")[2] for *_, e in ROWS for word in e} - {""}
    assert codes >= WAIVABLE
