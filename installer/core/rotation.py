"""Which secrets are rotated, why some are not, and who restarts in which order.

Decided from the plan alone, so that a person can consent before anything is contacted. No value is
ever here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from installer.core.errors import ConflictError, Problem, Remedy, UsageError
from installer.core.fields import nearest, visible
from installer.core.manifest import DatabaseAction, SecretDeclaration
from installer.core.plan import Plan
from installer.core.secrets import ISSUED, named_secrets
from installer.core.selection import CERTIFICATE_FILES, EDGE, certificate_files

NEXT = ".next"
"""Ends the name under which a new value waits."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a rotation is about.

    Attributes:
        names: The secrets that get a new value, in the plan's order.
        skipped: Those that were not named one by one and cannot have one → why.
    """

    names: tuple[str, ...]
    skipped: Mapping[str, str]


def choose_secrets(plan: Plan, names: Iterable[str]) -> Choice:
    """The secrets to rotate: those named, or all that can be.

    Raises:
        UsageError: there is no such secret; says which one is most like it.
        ConflictError: one that was named cannot be replaced; says why.
    """
    named = tuple(dict.fromkeys(names))
    known = tuple(spec.name for spec in plan.secrets)
    refusals = {n: r for n in known if (r := _refusal_of(declaration_of(plan, n)))}
    if not named:
        return Choice(tuple(name for name in known if name not in refusals), refusals)
    edge = {name: remedy for name in named if (remedy := _renewal_of(plan, name))}
    if unknown := [name for name in named if name not in known and name not in edge]:
        raise UsageError(*(_unknown(name, known, refusals) for name in unknown))
    refused = [_refused(name, why) for name, why in refusals.items() if name in named]
    if refused or edge:
        raise ConflictError(*refused, *(_renewed(*each) for each in edge.items()))
    return Choice(tuple(name for name in known if name in named), {})


def declaration_of(plan: Plan, name: str) -> SecretDeclaration:
    """What a manifest says of a secret of the plan."""
    manifests = plan.catalog.services.values()
    return next(d for m in manifests for d in m.secrets if d.name == name)


def _refusal_of(secret: SecretDeclaration) -> str | None:
    if secret.kind in ISSUED:
        return "it is issued with an end, and an apply that finds it near that makes the next"
    return secret.rotation.refuse


def databases_of(plan: Plan, names: Iterable[str]) -> tuple[DatabaseAction, ...]:
    """Databases whose password is one of these secrets, each once, in start order."""
    wanted = set(names)
    found = {
        (action.provider, action.database): action
        for service in plan.services
        for action in plan.manifest(service).bootstrap
        if isinstance(action, DatabaseAction)
        if action.secret in wanted and action.provider in plan.services
    }
    return tuple(found.values())


def files_of(plan: Plan, names: Iterable[str]) -> dict[str, str]:
    """`<service>/<file>` → text, of every secret file that is made of one of these secrets."""
    wanted = set(names)
    return {
        f"{service}/{file}": text
        for service in plan.services
        for file, text in sorted(plan.manifest(service).secret_files.items())
        if named_secrets(text) & wanted
    }


def reload_order(plan: Plan, names: Iterable[str]) -> tuple[str, ...]:
    """Services to restart for new values of these secrets, each once.

    The order that the manifests give holds for each secret; what they leave open is start order.
    """
    chains = [_reload_chain(plan, name) for name in names]
    left = [s for s in plan.services if any(s in chain for chain in chains)]
    before: dict[str, set[str]] = {service: set() for service in left}
    for earlier, later in (pair for chain in chains for pair in pairwise(chain)):
        before[later].add(earlier)
    order: list[str] = []
    while left:
        # manifests that contradict each other leave none; any order is as good as another then
        free = next((s for s in left if before[s].isdisjoint(left)), left[0])
        left.remove(free)
        order.append(free)
    return tuple(order)


def _reload_chain(plan: Plan, name: str) -> tuple[str, ...]:
    """Services to restart for one secret: those the manifest names, else all that have it.

    Without agents a file of a service is mounted by itself, and a container sees the one that was
    there when it was started: then every service that has it is restarted.
    """
    declared = [s for s in declaration_of(plan, name).rotation.reload if s in plan.services]
    having = [path.partition("/")[0] for path in files_of(plan, (name,))]
    if declared and plan.agents:
        having = []
    return tuple(dict.fromkeys((*declared, *having)))


def _renewal_of(plan: Plan, name: str) -> Remedy | None:
    """What to do instead, when the name is one of the edge's certificate or credentials."""
    own = {*CERTIFICATE_FILES, *certificate_files(plan.answers)}
    file = name.removeprefix(EDGE)
    if file == name and file not in own:
        return None
    mode, apply = plan.answers.tls.mode, ("devplat-install apply",)
    if mode == "files":
        return Remedy("put new files where tls.certificate_file and tls.key_file say", apply)
    if mode == "acme" and file not in CERTIFICATE_FILES:
        return Remedy("replace it at the DNS provider and where tls.acme.credentials says", apply)
    if mode == "acme":
        return Remedy("nothing is to be done: the edge gets its next certificate by itself")
    return Remedy("nothing is to be done: a run that finds it near its end makes the next", apply)


def _renewed(name: str, remedy: Remedy) -> Problem:
    return Problem(
        "rotate.renewed",
        f"{name} belongs to the edge, whose certificate is renewed by itself and not rotated",
        remedy,
        where="tls.mode",
    )


def _refused(name: str, why: str) -> Problem:
    return Problem(
        "rotate.refused",
        f"{name} cannot be replaced by a new value: {why}",
        Remedy("leave it; it stays in the store and in the backup"),
        where=name,
    )


def _unknown(name: str, known: Iterable[str], refusals: Iterable[str]) -> Problem:
    can_be = [each for each in known if each not in refusals]
    guess = nearest(name.removesuffix(NEXT), can_be)
    return Problem(
        "usage.secret",
        f"no secret of this platform is called {visible(name)}"
        + (f"; did you mean {guess!r}?" if guess else ""),
        Remedy(f"name one of: {', '.join(sorted(can_be))}"),
    )
