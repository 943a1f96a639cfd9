"""Builders of sound facts and requirements, and stand-ins for the ports that preflight uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from installer.core.buckets import BucketPlace, BucketSight, Reach
from installer.core.dns_message import CaaRecord
from installer.core.errors import InstallError
from installer.core.facts import (
    Account,
    ClockReading,
    Dns,
    Engine,
    EngineNetwork,
    EngineState,
    HostFacts,
    HostNetwork,
    ImageFacts,
    ImageState,
    Installation,
    Listener,
    Memory,
    OsRelease,
    PathFacts,
    PathKind,
    RouteFacts,
    Socket,
)
from installer.core.facts_host import EngineConfig, Firewall, Updates, Upkeep
from installer.core.kernel import KernelSetting
from installer.core.outside import Came, Knock, Rehearsal
from installer.core.requirements import Requirements
from installer.core.workspace_engines import EngineSight, WorkspaceNeeds, read_engine_info
from installer.ports import Command, Completed, Ports

GIB = 1024**3
HOST_ADDRESS = "192.0.2.10"
NAMES = ("coder.company.com", "git.company.com")
IMAGE = "ghcr.io/coder/coder:v2@sha256:" + "0" * 64
LABEL = "probe-1"


def sound_path(path: str, **changes: Any) -> PathFacts:
    facts = PathFacts(
        path=path,
        existing="/",
        kind=PathKind.ABSENT,
        writable=True,
        mode=0o755,
        owner=(0, 0),
        mount="/",
        device="/dev/sda1",
        fs_type="ext4",
        read_only=False,
        size=200 * GIB,
        available=150 * GIB,
        inodes=10_000_000,
        inodes_free=9_000_000,
        options=("rw", "relatime"),
    )
    return replace(facts, **changes)


def sound_engine(**changes: Any) -> Engine:
    engine = Engine(
        state=EngineState.RUNNING,
        version="28.5.2",
        compose="2.40.3",
        root_dir="/var/lib/docker",
        socket=Socket(0o660, "root", "docker", 988),
        members=("ops",),
        config_mode=0o644,
        networks=(
            EngineNetwork(
                "bridge",
                ("172.17.0.0/16",),
                None,
                {"com.docker.network.bridge.enable_icc": "false"},
            ),
        ),
        security=("name=apparmor", "name=seccomp,profile=builtin"),
        logging_driver="json-file",
        log_bounded=True,
        live_restore=True,
        experimental=False,
        swarm="inactive",
        userland_proxy=False,
        storage_driver="overlay2",
    )
    return replace(engine, **changes)


def sound_network(**changes: Any) -> HostNetwork:
    network = HostNetwork(
        addresses=(HOST_ADDRESS,),
        routes=(RouteFacts("192.0.2.0/24", "eth0"), RouteFacts("172.17.0.0/16", "docker0")),
        listeners=(Listener("*", 22, "sshd (pid 1)"),),
        name_servers=("192.0.2.53",),
        database="S",
    )
    return replace(network, **changes)


def sound_config(**changes: Any) -> EngineConfig:
    """A configuration of the engine that nothing is missing from; None takes a key out."""
    settings = {
        "live-restore": True,
        "userland-proxy": False,
        "icc": False,
        "no-new-privileges": True,
        "log-driver": "json-file",
        "log-opts": {"max-size": "50m", "max-file": "2"},
        "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 4096, "Hard": 4096}},
        "default-address-pools": [{"base": "10.200.0.0/16", "size": 24}],
    }
    changed = {key.replace("_", "-"): value for key, value in changes.items()}
    merged = {**settings, **changed}
    return EngineConfig({key: value for key, value in merged.items() if value is not None})


def sound_upkeep(**changes: Any) -> Upkeep:
    upkeep = Upkeep(
        sysctls={"vm.overcommit_memory": 1, "fs.inotify.max_user_instances": 8192},
        apparmor=True,
        selinux="disabled",
        firewall=Firewall((), 0),
        updates=Updates(unattended=False, engine_held=False),
        entropy=256,
        engine_at_boot=True,
        config=sound_config(),
    )
    return replace(upkeep, **changes)


SYSCTLS = (
    KernelSetting(
        name="fs.inotify.max_user_instances", value=1024, why="many editors", source="inotify(7)"
    ),
    KernelSetting(
        name="vm.overcommit_memory", value=1, compare="equal", why="it forks", source="its makers"
    ),
)


def sound_dns() -> Dns:
    found = dict.fromkeys((*NAMES, f"{LABEL}.coder.company.com"), (HOST_ADDRESS,))
    everywhere = {**found, f"{LABEL}.company.com": ()}
    letsencrypt = (CaaRecord(False, "issue", "letsencrypt.org"),)
    issuers = dict.fromkeys((*NAMES, "*.coder.company.com"), letsencrypt)
    return Dns(bastion=everywhere, host=everywhere, container=found, issuers=issuers)


def sound_rehearsal(**changes: Any) -> Rehearsal:
    """The published ports, reached from outside, with our own listener behind them."""
    knocks = tuple(Knock(HOST_ADDRESS, port, Came.OPEN, "n0nce") for port in (80, 443))
    return replace(Rehearsal("probe@outside.test", knocks, "n0nce"), **changes)


WORKSPACE_HOST = "tcp://ws1.company.com:2376"
WORKSPACE_INFO = {
    "ServerVersion": "28.5.2",
    "OSType": "linux",
    "Architecture": "x86_64",
    "NCPU": 16,
    "MemTotal": 64 * GIB,
    "Driver": "btrfs",
    "DriverStatus": [["Data Space Available", "900GB"]],
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=userns"],
    "LiveRestoreEnabled": True,
    "MemoryLimit": True,
}
WORKSPACE_NEEDS = WorkspaceNeeds(
    (WORKSPACE_HOST,), ("ca", "certificate", "key"), "amd64", 16, 60_000, 500
)


def sound_sight(*, of_host: Mapping[str, Any] | None = None, **changes: Any) -> EngineSight:
    """The engine of a workspace host that meets `WORKSPACE_NEEDS`."""
    at = datetime(2026, 11, 24, tzinfo=UTC)
    sight = EngineSight(
        WORKSPACE_HOST,
        at,
        api="1.51",
        tls="TLSv1.3",
        certificate_until=at + timedelta(days=90),
        client_until=at + timedelta(days=90),
        host=replace(read_engine_info(WORKSPACE_INFO), **(of_host or {})),
    )
    return replace(sight, **changes)


BUCKET = BucketPlace(
    consumer="gitea",
    bucket="company-git",
    host="s3.company.com",
    path="/company-git",
    region="eu-west-1",
    ca_file=None,
    access_key="gitea-storage-key",
    secret_key="gitea-storage-secret",
)


def sound_facts(**changes: Any) -> HostFacts:
    """A host that meets every requirement of `sound_needs` and every hardening rule."""
    facts = HostFacts(
        os=OsRelease("debian", "13", "Debian GNU/Linux 13"),
        kernel="Linux",
        release="6.12",
        machine="x86_64",
        cpus=8,
        memory=Memory(32_000, 30_000, 0),
        cgroup=2,
        systemd=True,
        clock=ClockReading(0.01, 0.02, True),
        account=Account("root", 0, ("root",), "present", login="ops"),
        paths={
            "install": sound_path("/opt/devplat"),
            "data": sound_path("/var/lib/devplat"),
            "engine": sound_path("/var/lib/docker"),
        },
        network=sound_network(),
        engine=sound_engine(),
        images={IMAGE: ImageFacts(ImageState.AVAILABLE, ("linux/amd64", "linux/arm64"))},
        installation=Installation(),
        dns=sound_dns(),
        upkeep=sound_upkeep(),
        rehearsal=sound_rehearsal(),
        workspaces=(sound_sight(),),
        buckets={BUCKET.consumer: BucketSight(Reach.ANSWERED, 200)},
    )
    return replace(facts, **changes)


def sound_needs(**changes: Any) -> Requirements:
    needs = Requirements(
        deployment="devplat",
        install_dir="/opt/devplat",
        data_dir="/var/lib/devplat",
        cpus=4,
        memory_mib=16_384,
        disk_gib_install=1,
        disk_gib_data=50,
        disk_gib_images=15,
        service_memory_mib={"app": 4096},
        ports=(80, 443),
        database="db.company.com/5432",
        address=HOST_ADDRESS,
        pool="172.30.0.0/16",
        names=NAMES,
        wildcards=("*.coder.company.com",),
        base_domain="company.com",
        addresses=(HOST_ADDRESS,),
        images=(IMAGE,),
        probe_label=LABEL,
        sysctls=SYSCTLS,
        acme_host="acme-v02.api.letsencrypt.org",
        acme_challenge="dns-01",
        workspaces=WORKSPACE_NEEDS,
        buckets=(BUCKET,),
    )
    return replace(needs, **changes)


class FakeHost:
    """Answers every command with the text that `answer` gives; records the commands."""

    name = "target.example"

    def __init__(self, answer: Callable[[Command], str | InstallError]) -> None:
        self._answer = answer
        self.commands: list[Command] = []

    def run(self, command: Command) -> Completed:
        self.commands.append(command)
        answer = self._answer(command)
        if isinstance(answer, InstallError):
            raise answer
        return Completed(0, answer.encode(), b"")


class FakeResolver:
    def __init__(self, names: dict[str, tuple[str, ...]]) -> None:
        self.names = names
        self.asked: list[str] = []

    def addresses(self, name: str) -> tuple[str, ...]:
        self.asked.append(name)
        return self.names.get(name, ())


class FakeClock:
    """Starts at a fixed instant; each reading is one second after the last."""

    def __init__(self, start: float) -> None:
        self._now = datetime.fromtimestamp(start, UTC) - timedelta(seconds=1)

    def now(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()

    def sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


def fake_ports(host: FakeHost, resolver: FakeResolver, clock: FakeClock) -> Ports:
    nothing = cast(Any, None)
    used = {"host": host, "resolver": resolver, "clock": clock}
    return Ports(**{field.name: used.get(field.name, nothing) for field in fields(Ports)})
