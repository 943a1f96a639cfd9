"""Results of the probing: one check for each source, and some for the deployment as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from installer.core.errors import Problem, Remedy
from installer.core.events import CheckResult, Outcome
from installer.core.outside import Came
from installer.core.segmentation.probing import Kind, ReachRules, Sight, observe
from installer.core.segmentation.reach import Place, Reach

PREFIX = "segmentation.reach"

_WORST = (Outcome.FAIL, Outcome.WARN, Outcome.PASS)
_JUDGED = {
    Kind.BREACH: Outcome.FAIL,
    Kind.CLOSED: Outcome.FAIL,
    Kind.REVERSE: Outcome.WARN,
    Kind.UNDECLARED: Outcome.WARN,
    Kind.METADATA: Outcome.WARN,
    Kind.WAY_OUT: Outcome.WARN,
}
_REMEDIES = {
    Kind.BREACH: Remedy(
        "take away what connects them: a network that both are on, a published port, or a way to"
        " the host that its firewall leaves open; run apply, which restores the networks of the"
        " release, then verify",
        ("docker network inspect $(docker network ls -q)", "devplat-install apply"),
    ),
    Kind.CLOSED: Remedy(
        "look whether the service listens, whether both are on the network named after them, and"
        " whether a firewall of the host refuses traffic between containers",
        ("docker network ls", "iptables -S DOCKER-USER"),
    ),
    Kind.REVERSE: Remedy(
        "a network has no direction; where that matters, let the host's firewall refuse new"
        " connections of the one to the other (DOCKER-USER, with br_netfilter loaded)",
        ("iptables -I DOCKER-USER -s SOURCE -d DESTINATION -p tcp --syn -j DROP",),
    ),
    Kind.UNDECLARED: Remedy(
        "find the program that listens there and turn it off, or declare the port in the manifest"
        " of its service",
        ("nsenter -t $(docker inspect -f '{{.State.Pid}}' CONTAINER) -n ss -ltnp",),
    ),
    Kind.METADATA: Remedy(
        "if it needs no credentials of the instance, ask for session tokens with one hop (IMDSv2),"
        " or refuse the address in the host's firewall",
        ("iptables -I DOCKER-USER -d 169.254.169.254 -j DROP",),
    ),
    Kind.WAY_OUT: Remedy(
        "make sure that its networks are internal; run apply, which restores those of the release",
        ("devplat-install apply",),
    ),
}
_SAYS = {
    Kind.BREACH: "reaches what it must not",
    Kind.CLOSED: "does not reach what it needs",
    Kind.REVERSE: "reaches, against the direction of a declared flow",
    Kind.UNDECLARED: "reaches ports that nobody declared",
    Kind.METADATA: "reaches the credentials of the cloud instance",
    Kind.WAY_OUT: "has a way out that nobody declared",
}


def judge_reach(reach: Reach, rules: ReachRules, services: Sequence[str]) -> Iterator[CheckResult]:
    """A check for each service, and for others that were looked at; then those of the whole.

    Args:
        reach: What was seen.
        rules: What is expected.
        services: Those that must run; one from which nothing could be tried is not known.
    """
    sights = tuple(observe(reach, rules))
    names = dict.fromkeys((*services, *(place.called for place in reach.places)))
    for name in names:
        places = [place for place in reach.places if place.called == name]
        if any(place.shares_host for place in places):
            yield _shares_host(name)
        elif not places or any(place.tries is None for place in places):
            yield _unknown(name, "does not run" if not places else "no try could be made from it")
        else:
            own = [sight for sight in sights if sight.source in places]
            yield _judge_source(name, places, own, rules)
    yield _judge_families(reach)
    yield _judge_host(sights)


def unknown_reach(why: str) -> CheckResult:
    """Nothing could be tried at all."""
    return _result(
        PREFIX, "containers reach what they may and nothing else", Outcome.UNKNOWN, None, "", why,
        Remedy("verify as an account that may become root, on a host with bash and util-linux"),
    )  # fmt: skip


def _judge_source(
    name: str, places: Sequence[Place], sights: Sequence[Sight], rules: ReachRules
) -> CheckResult:
    wrong = [sight for sight in sights if sight.kind in _JUDGED]
    outcome = next(
        (o for o in _WORST if any(_JUDGED[sight.kind] is o for sight in wrong)), Outcome.PASS
    )
    expected = ", ".join(
        f"{flow.destination}:{flow.port}" for flow in rules.expected if flow.source == name
    )
    found = "; ".join((*_tell_wrong(wrong), *_tell_right(places, sights)))
    remedy = next((_REMEDIES[kind] for kind in _JUDGED if any(s.kind is kind for s in wrong)), None)
    title = f"{name} reaches what it may and nothing else"
    return _result(
        f"{PREFIX}.{name}", title, outcome, name, f"open: {expected or 'nothing'}", found, remedy
    )


def _tell_wrong(sights: Sequence[Sight]) -> Iterator[str]:
    for kind in _JUDGED:
        named = [_told(sight) for sight in sights if sight.kind is kind]
        if named:
            yield f"{_SAYS[kind]}: {', '.join(dict.fromkeys(named))}"


def _told(sight: Sight) -> str:
    """With the container, where one name stands for several."""
    return str(sight) if sight.source.service else f"{sight} from {sight.source.name}"


def _tell_right(places: Sequence[Place], sights: Iterable[Sight]) -> Iterator[str]:
    sights = tuple(sights)
    flows = {f"{s.destination}:{s.port}" for s in sights if s.kind is Kind.FLOW}
    came = Counter(tried.came for place in places for tried in place.tries or ())
    closed = ", ".join(f"{came[c]} {c}" for c in Came if c is not Came.OPEN and came[c])
    yield f"{len(flows)} flows open: {', '.join(sorted(flows)) or 'none'}"
    yield f"tries denied: {closed or 'none'}"
    refused = {s.note for s in sights if s.kind is Kind.REFUSED}
    if refused:
        yield f"refused as the table says: {', '.join(sorted(refused))}"
    beside = {str(s) for s in sights if s.kind is Kind.NEIGHBOUR}
    if beside:
        yield f"open too, on networks shared for other flows: {', '.join(sorted(beside))}"


def _judge_families(reach: Reach) -> CheckResult:
    """IPv6: either every address was tried, or there is none; link-local ones were not tried."""
    title = "both address families were looked at"
    with_six = [p.called for p in reach.places if any(":" in a for a in p.addresses)]
    linked = [p.called for p in reach.places if p.links]
    count = len(reach.places)
    found = (
        f"IPv6 addresses of {len(with_six)} of {count} containers were tried as well"
        if with_six
        else f"none of {count} containers has an IPv6 address"
    )
    if not linked:
        return _result(f"{PREFIX}.ipv6", title, Outcome.PASS, None, "", found, None)
    found += f"; link-local ones, not tried: {', '.join(dict.fromkeys(linked))}"
    return _result(
        f"{PREFIX}.ipv6", title, Outcome.WARN, None, "no address that was not tried", found,
        Remedy(
            "the engine turns IPv6 off on networks without it; look for a setting that turns it on"
            " again in containers",
            ("sysctl net.ipv6.conf.default.disable_ipv6",),
        ),
    )  # fmt: skip


def _judge_host(sights: Iterable[Sight]) -> CheckResult:
    """Services of the host itself: an internal network does not keep a container from them."""
    ports: dict[int, set[str]] = {}
    for sight in sights:
        if sight.kind is Kind.HOST:
            ports.setdefault(sight.port, set()).add(sight.source.called)
    title = "containers reach no service of the host itself"
    if not ports:
        return _result(f"{PREFIX}.host", title, Outcome.PASS, None, "none", "none", None)
    found = ", ".join(
        f"port {port} from {len(who)} services" for port, who in sorted(ports.items())
    )
    return _result(
        f"{PREFIX}.host", title, Outcome.WARN, "host", "none", found,
        Remedy(
            "let the host's firewall refuse what comes in from container networks; only the"
            " engine's name server needs nothing of the host",
            ("iptables -I INPUT -i br-+ -m conntrack --ctstate NEW -j DROP",),
        ),
    )  # fmt: skip


def _shares_host(name: str) -> CheckResult:
    return _result(
        f"{PREFIX}.{name}",
        f"{name} reaches what it may and nothing else",
        Outcome.FAIL,
        name,
        "a network name space of its own",
        "it is in the host's network",
        Remedy(
            "start it anew as the release says; none of the platform may have the host's network",
            (f"docker rm -f {name}", "devplat-install apply"),
        ),
    )


def _unknown(name: str, why: str) -> CheckResult:
    return _result(
        f"{PREFIX}.{name}", f"{name} reaches what it may and nothing else", Outcome.UNKNOWN, name,
        "", why, Remedy("verify again when it runs"),
    )  # fmt: skip


def _result(
    check: str,
    title: str,
    outcome: Outcome,
    where: str | None,
    expected: str,
    found: str,
    remedy: Remedy | None,
) -> CheckResult:
    problem = None
    if remedy is not None and outcome is not Outcome.PASS:
        problem = Problem("segmentation.reach", f"{where or 'probing'}: {found}", remedy, where)
    return CheckResult(check, title, outcome, where, expected, found, problem)
