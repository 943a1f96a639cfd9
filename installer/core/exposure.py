"""What a host lets in: ports that listen on it, are published on it, and are open from elsewhere.

Declared are the published ports of the edge and SSH. What the table of segmentation refuses from
the outside fails; what somebody else runs on the host is listed, for its owner to know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from installer.core.errors import Problem, Remedy
from installer.core.events import CheckResult, Outcome
from installer.core.facts import Listener
from installer.core.outside import Came, Knock
from installer.core.segmentation.probing import HOST
from installer.core.segmentation.table import SegmentationTable

_DAEMONS = ("sshd", "systemd (pid 1)")
"""Who holds the port of SSH: the daemon, or the one that starts it when somebody comes."""


@dataclass(frozen=True, slots=True)
class ExposureRules:
    """What may be open.

    Attributes:
        published: Ports that are for everybody.
        ssh: Port of the SSH server.
        refused: Port → id of the row that refuses it from the outside.
        publishes: Service → ports that it publishes.
        engine: Ports of the engine's own interface among them, which give the whole host.
    """

    published: frozenset[int]
    ssh: int
    refused: Mapping[int, str]
    publishes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    engine: frozenset[int] = frozenset()

    @property
    def declared(self) -> frozenset[int]:
        """Everything that may be open to somebody."""
        return self.published | {self.ssh}

    @property
    def tried(self) -> tuple[int, ...]:
        """Ports to try from elsewhere, whether or not anything is known to listen there."""
        return tuple(sorted(self.declared | set(self.refused)))


def exposure_rules(
    table: SegmentationTable, publishes: Mapping[str, tuple[int, ...]], ssh: int
) -> ExposureRules:
    """The rules by the table: every port that it knows, except those that are declared.

    Args:
        table: Of segmentation.
        publishes: Service → ports that it publishes.
        ssh: Port of the SSH server.
    """
    published = frozenset(port for ports in publishes.values() for port in ports)
    known = {f.port: "a port of a service" for f in table.allow}
    of_host = {f.port: f.id for f in table.deny_probes if f.destination == HOST}
    from_outside = {f.port: f.id for f in table.deny_probes if f.source == table.outside}
    rows: dict[int | str, str] = {**known, **of_host, **from_outside}
    refused = {
        port: row
        for port, row in rows.items()
        if isinstance(port, int) and port not in published | {ssh, 22}
    }
    engine = frozenset(port for port in of_host if isinstance(port, int)) - {ssh, 22}
    return ExposureRules(published, ssh, refused, publishes, engine)


def judge_listeners(
    tcp: Sequence[Listener] | None, udp: Sequence[Listener], rules: ExposureRules
) -> Iterator[CheckResult]:
    """Sockets of the host that more than loopback reaches."""
    title = "the host listens on what is declared and on nothing else"
    if tcp is None:
        yield _result(
            "host.listeners", title, Outcome.UNKNOWN, "", "ss told nothing",
            Remedy("install iproute2 on the target, then verify again"),
        )  # fmt: skip
        return
    far = [s for s in tcp if not _is_near(s.address)]
    engine = [s for s in far if s.port in rules.engine]
    foreign = [f"tcp {_told(s)}" for s in far if not _is_declared(s, rules) and s not in engine]
    foreign += [f"udp {_told(s)}" for s in udp if not _is_near(s.address)]
    yield _result(
        "host.engine", "the engine listens on no port of the network",
        Outcome.FAIL if engine else Outcome.PASS, "none",
        ", ".join(f"{_told(s)} ({rules.refused.get(s.port, '')})" for s in engine) or "none",
        Remedy(
            "take `hosts: tcp://…` out of /etc/docker/daemon.json and `-H tcp://…` out of its unit;"
            " whoever reaches that port has the host",
            ("systemctl cat docker", "ss -ltnp"),
        ),
    )  # fmt: skip
    expected = ", ".join(map(str, sorted(rules.declared)))
    yield _result(
        "host.listeners", title, Outcome.WARN if foreign else Outcome.PASS, expected,
        f"foreign: {', '.join(dict.fromkeys(foreign))}" if foreign else f"{len(far)}, as declared",
        Remedy(
            "stop what nobody needs, or bind it to 127.0.0.1; for the rest, name in the host's own"
            " records who needs it",
            ("ss -ltnup",),
        ),
    )  # fmt: skip


def judge_published(
    inspected: Iterable[tuple[str, Mapping[str, Any]]], rules: ExposureRules
) -> CheckResult:
    """Containers of ours publish what their manifests say (SM-02).

    Args:
        inspected: Service and the engine's own description, of each container.
        rules: What each may publish.
    """
    wrong: list[str] = []
    count = 0
    for service, inspect in inspected:
        bindings = (inspect.get("HostConfig") or {}).get("PortBindings") or {}
        seen = (inspect.get("NetworkSettings") or {}).get("Ports") or {}
        allowed = rules.publishes.get(service, ())
        for target, ends in {**seen, **bindings}.items():
            port = target.partition("/")[0]
            for end in ends or ():
                count += 1
                if port not in map(str, allowed) or str(end.get("HostPort")) != port:
                    address = end.get("HostIp") or "every address"
                    wrong.append(f"{service} {target} at {address} port {end.get('HostPort')}")
    expected = ", ".join(f"{s}: {', '.join(map(str, p))}" for s, p in rules.publishes.items() if p)
    return _result(
        "host.published", "only the edge publishes ports",
        Outcome.FAIL if wrong else Outcome.PASS, expected,
        ", ".join(dict.fromkeys(wrong)) or f"{count} bindings, as declared",
        Remedy(
            "take the port out of whatever added it (an override file, a container started by"
            " hand), then restore the release",
            ("docker ps --format '{{.Names}} {{.Ports}}'", "devplat-install apply"),
        ),
    )  # fmt: skip


def judge_knocks(
    knocks: Sequence[Knock], rules: ExposureRules, view: str, *, is_outside: bool
) -> CheckResult:
    """What is open from one place.

    Args:
        knocks: What came of each try.
        rules: What may be open.
        view: The place, for people.
        is_outside: It is outside of every firewall. A bastion may be inside: what is open there
            need not be open to the world, so only the engine's interface fails.
    """
    opened = [k for k in knocks if k.came is Came.OPEN]
    wrong = [k for k in opened if k.port not in rules.declared]
    closed = [k for k in knocks if k.port in rules.published and k.came is not Came.OPEN]
    to_ssh = [k for k in opened if k.port == rules.ssh and is_outside]
    fails = closed + wrong if is_outside else [k for k in wrong if k.port in rules.engine]
    outcome = Outcome.FAIL if fails else Outcome.WARN if wrong or to_ssh else Outcome.PASS
    parts = [f"open: {_list(opened) or 'nothing'}"]
    parts += [f"must not be open: {', '.join(_row(k, rules) for k in wrong)}"] if wrong else []
    parts += [f"not reached: {_list(closed)}"] if closed else []
    parts += [f"SSH is open to the world (SD-13): {_list(to_ssh)}"] if to_ssh else []
    parts.append(f"{len(knocks)} tried")
    if not is_outside:
        parts.append("this place may be inside the firewall; network.vantage names one outside")
    return _result(
        "ports.outside" if is_outside else "ports.bastion",
        f"from {view}, only what is declared is open", outcome,
        ", ".join(map(str, sorted(rules.declared))), "; ".join(parts),
        Remedy(
            "let firewalls pass the published ports, SSH from the bastion only, and nothing else;"
            " a published port of a container is refused in DOCKER-USER, not in INPUT",
            ("ss -ltnp", "iptables -S DOCKER-USER"),
        ),
        where=view,
    )  # fmt: skip


def unknown_knocks(view: str, why: str, *, is_outside: bool) -> CheckResult:
    """Nothing could be tried from there."""
    return _result(
        "ports.outside" if is_outside else "ports.bastion",
        f"from {view}, only what is declared is open", Outcome.UNKNOWN, "", why,
        Remedy("make that it can be reached and has bash, or name another network.vantage"),
        where=view,
    )  # fmt: skip


def _is_declared(listener: Listener, rules: ExposureRules) -> bool:
    if listener.port == rules.ssh or (listener.process or "").startswith(_DAEMONS):
        return True
    return listener.port in rules.published


def _is_near(address: str) -> bool:
    """Loopback, or a link only."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return parsed.is_loopback or parsed.is_link_local


def _told(listener: Listener) -> str:
    where = "every address" if listener.address == "*" else listener.address
    by = f" by {listener.process}" if listener.process else ""
    return f"{listener.port} on {where}{by}"


def _row(knock: Knock, rules: ExposureRules) -> str:
    row = rules.refused.get(knock.port)
    return f"{knock.address} {knock.port}" + (f" ({row})" if row else "")


def _list(knocks: Iterable[Knock]) -> str:
    return ", ".join(f"{k.address} {k.port}" for k in knocks)


def _result(
    check: str,
    title: str,
    outcome: Outcome,
    expected: str,
    found: str,
    remedy: Remedy,
    *,
    where: str | None = None,
) -> CheckResult:
    problem = None
    if outcome is not Outcome.PASS:
        problem = Problem("exposure", f"{title}: {found}", remedy, where or HOST)
    return CheckResult(check, title, outcome, where or HOST, expected, found, problem)
