"""What is delivered beside the bundle: secret files per consumer, data directories with owners."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from installer.core.certificates import TlsMaterial
from installer.core.compose import TLS_FILES, secret_files_of
from installer.core.deployed import Deployed
from installer.core.plan import Plan
from installer.core.secrets import Secret, expand, make_secret
from installer.phases.ship import SecretFile
from installer.ports import Ports


def ensure_secrets(plan: Plan, ports: Ports) -> dict[str, Secret]:
    """Every secret of the plan by name; made once, then always the same.

    Raises:
        SecretStoreError: the store cannot be read or written.
    """
    return {
        spec.name: ports.secrets.ensure(spec, partial(make_secret, spec.kind, ports.entropy))
        for spec in plan.secrets
    }


def secret_files(
    plan: Plan,
    secrets: Mapping[str, Secret],
    tls: TlsMaterial | None,
    credentials: Mapping[str, Secret],
) -> dict[str, SecretFile]:
    """`<service>/<file>` → content and owner, for everything below /run/secrets of the stack.

    Args:
        plan: Names consumers and files.
        secrets: Every secret of the plan.
        tls: What the edge serves with; None when it fetches its own certificates.
        credentials: What it needs for that.
    """
    edge = {name: value.reveal().encode() for name, value in credentials.items()}
    if tls is not None:
        edge |= dict(zip(TLS_FILES, (tls.fullchain_pem, tls.key.reveal().encode()), strict=True))
    files: dict[str, SecretFile] = {}
    for name in plan.services:
        manifest = plan.manifest(name)
        for file in secret_files_of(plan, manifest):
            template = manifest.secret_files.get(file)
            data = expand(template, secrets).reveal().encode() if template else edge[file]
            files[f"{name}/{file}"] = SecretFile(data, manifest.user)
    return files


def data_directories(plan: Plan) -> dict[str, str]:
    """`<service>/<name>` → `mode uid:gid`, as `stat` prints them."""
    return {
        f"{name}/{data.name}": f"{data.mode.lstrip('0')} {plan.manifest(name).user}"
        for name in plan.services
        for data in plan.manifest(name).data
    }


def is_delivered(plan: Plan, deployed: Deployed, ports: Ports) -> bool:
    """Whether the target has exactly the secret files that the stores would deliver now."""
    secrets = {
        spec.name: value
        for spec in plan.secrets
        if (value := ports.secrets.get(spec.name)) is not None
    }
    tls = ports.certificates.current(plan.public_names)
    if len(secrets) < len(plan.secrets) or (tls is None and plan.answers.tls.mode != "acme"):
        return False
    files = secret_files(plan, secrets, tls, ports.certificates.credentials)
    wanted = {path: file.facts for path, file in files.items()}
    return deployed.secrets_on_tmpfs and dict(deployed.secrets) == wanted
