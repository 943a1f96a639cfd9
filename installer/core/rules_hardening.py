"""Host hardening rules HH-01 to HH-12: reported as warnings, they stop nothing.

They are the host owner's to meet; the ids are those of the acceptance catalogue, most of them from
the CIS Docker Benchmark. Rules over the engine yield nothing while it cannot be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from installer.core.errors import Problem, Remedy
from installer.core.events import Outcome
from installer.core.facts import Engine, EngineState, HostFacts
from installer.core.requirements import Requirements
from installer.core.rules import Finding, Judge, judged, passed, unknown, version_of
from installer.core.rules_host import describe_skew

MAINTAINED_MAJOR = 28
"""Oldest major version of the engine that had fixes from its makers when this was written; a
distribution may maintain an older one itself."""

OFFSET_LIMIT_S = 1.0
"""HH-11."""

DAEMON_JSON = "/etc/docker/daemon.json"
_PLAIN_PORT, _TLS_PORT = 2375, 2376
_Verdict: TypeAlias = tuple[bool | None, str]
"""Whether the rule is met (None: not known), and what was found."""


def _restart(setting: str) -> Remedy:
    return Remedy(
        f"set {setting} in {DAEMON_JSON} and restart the engine when it suits",
        ("sudo systemctl restart docker",),
    )


def _live_restore(engine: Engine) -> _Verdict:
    return engine.live_restore, f"live-restore {_on(engine.live_restore)}"


def _log_bounded(engine: Engine) -> _Verdict:
    limit = "bounded" if engine.log_bounded else "without max-size"
    return engine.log_bounded, f"{engine.logging_driver or 'unknown'} {limit}"


def _registries(engine: Engine) -> _Verdict:
    return not engine.insecure_registries, ", ".join(engine.insecure_registries) or "none"


def _default_bridge(engine: Engine) -> _Verdict:
    option = "com.docker.network.bridge.enable_icc"
    value = next((n.options.get(option) for n in engine.networks if n.name == "bridge"), None)
    return None if value is None else value == "false", f"enable_icc {value or 'unknown'}"


def _userland_proxy(engine: Engine) -> _Verdict:
    return engine.userland_proxy is False, f"userland-proxy {_on(engine.userland_proxy)}"


def _maintained(engine: Engine) -> _Verdict:
    version = version_of(engine.version)
    return None if version is None else version[0] >= MAINTAINED_MAJOR, str(engine.version)


def _swarm(engine: Engine) -> _Verdict:
    met = engine.swarm == "inactive" if engine.swarm else None
    return met, f"swarm {engine.swarm or 'unknown'}"


def _experimental(engine: Engine) -> _Verdict:
    met = None if engine.experimental is None else not engine.experimental
    return met, f"experimental {_on(engine.experimental)}"


def _over_engine(
    rule_id: str, look: Callable[[Engine], _Verdict], expected: str, remedy: Remedy
) -> Judge:
    def judge(facts: HostFacts, _needs: Requirements) -> Iterator[Finding]:
        if facts.engine.state is EngineState.RUNNING:
            met, found = look(facts.engine)
            yield _finding(rule_id, met, expected=expected, found=found, remedy=remedy)

    return judge


def _judge_engine_port(facts: HostFacts, _needs: Requirements) -> Iterator[Finding]:
    """HH-02: nothing listens on 2375; 2376 only where the engine checks client certificates."""
    listeners = facts.network.listeners
    plain = [x for x in listeners or () if x.port == _PLAIN_PORT]
    tls = [x for x in listeners or () if x.port == _TLS_PORT]
    met = None if listeners is None else not plain and (not tls or facts.engine.tls_verify)
    yield _finding(
        "HH-02",
        met,
        expected="no engine port, or 2376 with mutual TLS",
        found=", ".join(f"{x.address} port {x.port}" for x in (*plain, *tls)) or "none",
        remedy=_restart('"hosts": ["unix:///var/run/docker.sock"]'),
    )


def _judge_engine_files(facts: HostFacts, _needs: Requirements) -> Iterator[Finding]:
    """HH-09: socket 0660 root:docker, configuration at most 0644, no surprise in the group."""
    engine = facts.engine
    if engine.socket is None:
        return
    account = facts.account.login or facts.account.user
    strangers = [member for member in engine.members if member not in ("root", account)]
    socket = engine.socket
    tight = not socket.mode & ~0o660 and socket.owner == "root"
    tight = tight and socket.group in ("docker", "root")
    config = engine.config_mode is None or not engine.config_mode & 0o133
    found = f"socket {socket.mode:04o} {socket.owner}:{socket.group}"
    if engine.config_mode is not None:
        found += f", {DAEMON_JSON} {engine.config_mode:04o}"
    if strangers:
        found += f", also in the group: {', '.join(strangers)}"
    yield _finding(
        "HH-09",
        tight and config and not strangers,
        expected=f"socket 0660 root:docker, {DAEMON_JSON} 0644, nobody else in the group",
        found=found,
        remedy=Remedy(
            "members of the group docker are root in all but name: remove who does not need it",
            ("getent group docker", "ls -l /var/run/docker.sock"),
        ),
    )


def _judge_offset(facts: HostFacts, _needs: Requirements) -> Iterator[Finding]:
    """HH-11: offset below 1 s, beyond what the measurement leaves open."""
    clock = facts.clock
    if clock is None:
        met, found = None, "unknown"
    else:
        met = abs(clock.skew_s) - clock.uncertainty_s < OFFSET_LIMIT_S
        met = met and clock.synchronised is not False
        service = {True: "synchronised", False: "not synchronised", None: "service unknown"}
        found = f"{describe_skew(clock.skew_s)}, {service[clock.synchronised]}"
    yield _finding(
        "HH-11",
        met,
        expected="offset below 1 s, kept by NTP",
        found=found,
        remedy=Remedy("switch on NTP", ("sudo timedatectl set-ntp true",)),
    )


def _judge_swap(facts: HostFacts, _needs: Requirements) -> Iterator[Finding]:
    """HH-12: no swap, so that no secret is written to a disk."""
    swap = facts.memory.swap_mib if facts.memory else None
    yield _finding(
        "HH-12",
        None if swap is None else swap == 0,
        expected="no swap",
        found="unknown" if swap is None else f"{swap} MiB",
        remedy=Remedy(
            "switch swap off, or encrypt it with a random key", ("sudo swapoff -a", "swapon --show")
        ),
    )


def _finding(
    rule_id: str, met: bool | None, *, expected: str, found: str, remedy: Remedy
) -> Finding:
    code = f"hardening.{rule_id.lower().replace('-', '_')}"
    if met is None:
        return unknown("host", code, found)
    if met:
        return passed("host", expected=expected, found=found)
    problem = Problem(
        code=code,
        summary=f"host hardening {rule_id}: found {found}, expected {expected}",
        where="host",
        remedy=remedy,
    )
    return judged(Outcome.WARN, problem, expected=expected, found=found)


def _on(value: bool | None) -> str:
    return {True: "on", False: "off", None: "unknown"}[value]


HARDENING: tuple[tuple[str, str, Judge], ...] = (
    (
        "HH-01",
        "engine keeps containers running while it restarts",
        _over_engine("HH-01", _live_restore, "live-restore on", _restart('"live-restore": true')),
    ),
    ("HH-02", "no unencrypted engine port", _judge_engine_port),
    (
        "HH-03",
        "default log driver bounded",
        _over_engine(
            "HH-03",
            _log_bounded,
            "max-size set",
            _restart('"log-opts": {"max-size": "10m", "max-file": "3"}'),
        ),
    ),
    (
        "HH-04",
        "no insecure registries",
        _over_engine(
            "HH-04", _registries, "none but loopback", _restart('"insecure-registries": []')
        ),
    ),
    (
        "HH-05",
        "no traffic between containers on the default bridge",
        _over_engine("HH-05", _default_bridge, "enable_icc false", _restart('"icc": false')),
    ),
    (
        "HH-06",
        "userland proxy off",
        _over_engine(
            "HH-06", _userland_proxy, "userland-proxy off", _restart('"userland-proxy": false')
        ),
    ),
    (
        "HH-07",
        "engine version still maintained",
        _over_engine(
            "HH-07",
            _maintained,
            f"{MAINTAINED_MAJOR} or later",
            Remedy(
                "upgrade the engine, or see that the distribution maintains it", ("docker version",)
            ),
        ),
    ),
    (
        "HH-08",
        "swarm mode off",
        _over_engine(
            "HH-08",
            _swarm,
            "swarm inactive",
            Remedy("leave the swarm if nothing needs it", ("docker swarm leave",)),
        ),
    ),
    ("HH-09", "rights of the engine's files", _judge_engine_files),
    (
        "HH-10",
        "experimental features off",
        _over_engine("HH-10", _experimental, "experimental off", _restart('"experimental": false')),
    ),
    ("HH-11", "time synchronised", _judge_offset),
    ("HH-12", "swap off", _judge_swap),
)
