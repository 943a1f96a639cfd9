"""What is delivered beside the bundle: secrets, files per consumer, data directories."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from installer.core.deployed import Deployed
from installer.core.errors import Problem, Remedy
from installer.core.events import CheckResult, Outcome, Run
from installer.core.layout import Layout
from installer.core.plan import Plan
from installer.core.secrets import (
    ISSUED,
    Secret,
    SecretKind,
    SecretSpec,
    expand,
    make_secret,
)
from installer.core.selection import CERTIFICATE_FILES, EDGE, ROOTS
from installer.phases.launch import active_project
from installer.phases.reloading import pending_names
from installer.phases.remote import quote, run_root
from installer.phases.ship import SecretFile
from installer.phases.steps import Step, no_effect
from installer.ports import CertificateIssuer, Ports, SecretStore

MOUNT = "/run/secrets"
"""Where a consumer and its agent see the rendered files."""


def ensure_step(plan: Plan, ports: Ports) -> Step:
    """Every secret of the plan has a value in the store, made once; the edge's certificate too.

    Those that the answers refer to have the value that they refer to now; certificates of the
    platform's own servers are renewed in time.
    """
    wanted = {spec.name for spec in plan.secrets}

    def are_there() -> bool:
        tls = ports.certificates.current(plan.public_names)
        there = wanted <= ports.secrets.names() and not changed_secrets(plan, ports)
        return there and (tls is not None or not _needs_certificate(plan))

    def make() -> Run[None]:
        for spec in plan.secrets:
            if spec.answer is None and not is_issued(spec, ports):
                ports.secrets.ensure(spec, partial(make_secret, spec.kind, ports.entropy))
        for spec in changed_secrets(plan, ports):
            ports.secrets.replace(spec, _new_value(spec, ports))
        ports.certificates.ensure(plan.public_names)
        return no_effect()

    return Step("secrets.ensure", "make secrets", are_there, make, are_there)


def changed_secrets(plan: Plan, ports: Ports) -> list[SecretSpec]:
    """Secrets that are to have another value than the store has.

    Their answers refer to another one, or they are issued and due.
    """
    given = [spec for spec in plan.secrets if spec.answer]
    due = ports.services.due() if ports.services else ()
    return [
        *(spec for spec in given if ports.secrets.get(spec.name) != ports.given[spec.name]),
        *due,
    ]


def is_issued(spec: SecretSpec, ports: Ports) -> bool:
    """Whether a value comes from the authority of the platform's own servers."""
    return ports.services is not None and spec.kind in ISSUED and spec.answer is None


def judge_services(plan: Plan, ports: Ports) -> CheckResult | None:
    """Whether the certificates of the platform's own servers are good for a while."""
    if ports.services is None or not any(is_issued(spec, ports) for spec in plan.secrets):
        return None
    title = "the certificates between the services are not due for renewal"
    due = ", ".join(spec.name for spec in ports.services.due())
    if not due:
        return CheckResult("tls.services", title, Outcome.PASS)
    problem = Problem(
        "tls.services_due",
        f"due for renewal: {due}",
        Remedy("have them renewed; their services are restarted", ("devplat-install apply --yes",)),
        where=plan.deployment,
    )
    return CheckResult("tls.services", title, Outcome.WARN, plan.deployment, problem=problem)


def _new_value(spec: SecretSpec, ports: Ports) -> Secret:
    if ports.services is not None and is_issued(spec, ports):
        return ports.services.issue(spec)
    return ports.given[spec.name]


def edge_step(plan: Plan, ports: Ports) -> Step:
    """The edge's certificate or credentials are in the store, where its agent reads them."""

    def stale() -> dict[str, Secret]:
        edge = edge_secrets(plan, ports.certificates)
        return {name: value for name, value in edge.items() if ports.secrets.get(name) != value}

    def keep() -> Run[None]:
        for name, value in stale().items():
            ports.secrets.replace(SecretSpec(name, SecretKind.PEM, "Served by the edge"), value)
        return no_effect()

    return Step(
        "secrets.edge",
        "keep the edge's certificate",
        lambda: not stale(),
        keep,
        lambda: not stale(),
    )


def stale_edge_files(plan: Plan, layout: Layout, ports: Ports) -> dict[str, Secret]:
    """`<service>/<file>` → content, of the edge's files that are not what its container sees.

    An agent renders a new value only after a while; a file that is mounted by itself is seen as it
    was when the container started.
    """
    if plan.edge is None:
        return {}
    edge = edge_secrets(plan, ports.certificates)
    served = plan.manifest(plan.edge).secret_files
    files = {name.removeprefix(EDGE): value for name, value in edge.items()}
    wanted = {f"{plan.edge}/{file}": v for file, v in files.items() if file in served}
    if plan.agents:
        seen = read_digests(plan, layout, ports, sorted(wanted)) if wanted else {}
    else:
        seen = _mounted_digests(plan, layout, ports, sorted(wanted)) if wanted else {}
    return {path: value for path, value in wanted.items() if seen.get(path) != _digest(value)}


def read_secrets(plan: Plan, store: SecretStore) -> dict[str, Secret]:
    """The secrets of the plan that have a value, by name.

    Raises:
        SecretStoreError: the store cannot be read.
    """
    values = ((spec.name, store.get(spec.name)) for spec in plan.secrets)
    return {name: value for name, value in values if value is not None}


def edge_secrets(plan: Plan, certificates: CertificateIssuer) -> dict[str, Secret]:
    """What the edge serves with, or gets its own certificates with; empty when it is not made."""
    if not _needs_certificate(plan):
        return {f"{EDGE}{name}": value for name, value in certificates.credentials.items()}
    tls = certificates.current(plan.public_names)
    if tls is None:
        return {}
    contents = (Secret(tls.fullchain_pem.decode()), tls.key)
    # Who has no root of ours needs none; the chain itself does for those who must be given one.
    roots = Secret((tls.roots_pem or tls.fullchain_pem).decode())
    files = zip(CERTIFICATE_FILES, contents, strict=True)
    return {**{f"{EDGE}{file}": value for file, value in files}, f"{EDGE}{ROOTS}": roots}


def secret_files(plan: Plan, secrets: Mapping[str, Secret]) -> dict[str, SecretFile]:
    """`<service>/<file>` → content and owner, for everything below /run/secrets of the stack.

    Args:
        plan: Names consumers and files.
        secrets: Every secret of the plan, and the edge's.
    """
    return {
        f"{name}/{file}": SecretFile(expand(text, secrets).reveal().encode(), manifest.user)
        for name in plan.services
        for manifest in [plan.manifest(name)]
        for file, text in sorted(manifest.secret_files.items())
    }


def data_directories(plan: Plan) -> dict[str, str]:
    """`<service>/<name>` → `mode uid:gid`, as `stat` prints them."""
    return {
        f"{name}/{data.name}": f"{data.mode.lstrip('0')} {plan.manifest(name).user}"
        for name in plan.services
        for data in plan.manifest(name).data
    }


def is_delivered(plan: Plan, deployed: Deployed, ports: Ports, known: Collection[str]) -> bool:
    """Whether the target has exactly the secret files that the stores would deliver now.

    With agents, their health says so; what is compared is that the store has what they render.
    """
    edge = edge_secrets(plan, ports.certificates)
    if not {spec.name for spec in plan.secrets} <= set(known) or not _is_complete(plan, edge):
        return False
    if changed_secrets(plan, ports) or pending_names(plan, ports.secrets):
        return False
    if plan.agents:
        return all(ports.secrets.get(name) == value for name, value in edge.items())
    wanted = secret_files(plan, {**read_secrets(plan, ports.secrets), **edge})
    facts = {path: file.facts for path, file in wanted.items()}
    return deployed.secrets_on_tmpfs and dict(deployed.secrets) == facts


def read_digests(plan: Plan, layout: Layout, ports: Ports, paths: Sequence[str]) -> dict[str, str]:
    """`<service>/<file>` → SHA-256 of what is rendered; read where it is written."""
    if not plan.agents:
        script = "sha256sum -- " + " ".join(map(quote, paths)) + " 2>/dev/null || :"
        text = run_root(ports.host, f"cd {quote(layout.secrets)}\n{script}").text
        return {path: digest for digest, path in _pairs(text, "")}
    found: dict[str, str] = {}
    project = active_project(plan, layout)
    for service in dict.fromkeys(path.partition("/")[0] for path in paths):
        files = [path.partition("/")[2] for path in paths if path.startswith(f"{service}/")]
        argv = ["sha256sum", *(f"{MOUNT}/{file}" for file in files)]
        text = ports.engine.exec(project, plan.agents[service], argv).text
        found |= {f"{service}/{file}": digest for digest, file in _pairs(text, f"{MOUNT}/")}
    return found


def _mounted_digests(
    plan: Plan, layout: Layout, ports: Ports, paths: Sequence[str]
) -> dict[str, str]:
    service = paths[0].partition("/")[0]
    argv = ["sha256sum", *(f"{MOUNT}/{path.partition('/')[2]}" for path in paths)]
    text = ports.engine.exec(active_project(plan, layout), service, argv).text
    return {f"{service}/{file}": digest for digest, file in _pairs(text, f"{MOUNT}/")}


def _digest(value: Secret) -> str:
    return hashlib.sha256(value.reveal().encode()).hexdigest()


def _pairs(text: str, before: str) -> list[tuple[str, str]]:
    lines = (line.split(f"  {before}", 1) for line in text.splitlines() if f"  {before}" in line)
    return [(digest, path) for digest, path in lines]


def _needs_certificate(plan: Plan) -> bool:
    return plan.answers.tls.mode != "acme"


def _is_complete(plan: Plan, edge: Mapping[str, Secret]) -> bool:
    return bool(edge) or not _needs_certificate(plan)
