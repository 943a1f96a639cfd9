"""What a secret server must hold for this deployment: mount, policies, roles, audit devices.

One policy and one role per consumer, each for exactly the secrets that its files name. Text and
data only; `adapters` talk to the server.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from installer.core.secrets import named_secrets

if TYPE_CHECKING:
    from installer.core.answers import Answers
    from installer.core.plan import Plan

TOKEN_PERIOD_S = 3600
SECRET_ID_TTL_S = 600
"""An agent is given its login as soon as it runs; ten minutes outlast a slow host."""
BOOT_WRAP_S = 300
"""Seconds in which a login that the host had made after a reboot must be used."""
_AUDIT_DATA, _AUDIT_FILE = "logs", "audit.log"
_EVERYTHING = ("create", "read", "update", "delete", "list")
_WRITE = ("create", "update")


@dataclass(frozen=True, slots=True)
class RoleRules:
    """How a machine logs in (AppRole) and what its token may do.

    Attributes:
        policy: The only policy of its tokens.
        token_period_s: Seconds that a token lives unless renewed.
        secret_id_uses: Logins that one secret id is good for; 0 is any number.
        secret_id_ttl_s: Seconds that an unused secret id lives; 0 is without end.
    """

    policy: str
    token_period_s: int
    secret_id_uses: int
    secret_id_ttl_s: int


@dataclass(frozen=True, slots=True)
class StoreRules:
    """The wanted state of the server.

    Attributes:
        mount: Path of the KV version 2 engine.
        prefix: Path below it, without slashes at its ends.
        policies: Policy name → HCL text.
        roles: AppRole name → its rules.
        audit: Audit device → file it writes to, for servers that take them by API; others have
            them in their configuration.
    """

    mount: str
    prefix: str
    policies: Mapping[str, str]
    roles: Mapping[str, RoleRules]
    audit: Mapping[str, str]


def store_prefix(answers: Answers) -> str:
    """Path that all secrets of a deployment lie below, without slashes at its ends."""
    return str(answers.at("vault.prefix") or f"devplat/{answers.deployment.name}")


def consumer_role(deployment: str, consumer: str) -> str:
    """Name of a consumer's role, and of its policy."""
    return f"{deployment}-{consumer}"


def installer_role(deployment: str) -> str:
    """Name of the installer's own role, and of its policy."""
    return consumer_role(deployment, "installer")


def boot_role(deployment: str) -> str:
    """Name of the role that gives agents their logins after a reboot, and of its policy."""
    return consumer_role(deployment, "boot")


def boots_alone(plan: Plan) -> bool:
    """Whether agents get their logins from the host after a reboot, without anybody.

    Only where nobody is needed to open the server, and a unit on the host was agreed to.
    """
    seal, agreed = plan.answers.at("vault.seal"), plan.answers.host.apply
    return bool(plan.server and seal != "shamir" and "systemd" in agreed)


def secrets_of(plan: Plan) -> Mapping[str, tuple[str, ...]]:
    """Who has a login of its own → the names that its files are made of, sorted; in start order."""
    manifests = {name: plan.manifest(name) for name in plan.services}
    return {
        name: tuple(sorted(frozenset().union(*map(named_secrets, m.secret_files.values()))))
        for name, m in manifests.items()
        if m.secret_files or m.login
    }


def make_store_rules(plan: Plan) -> StoreRules:
    """The rules for the secret server that is part of a plan."""
    deployment = plan.deployment
    mount, prefix = str(plan.answers.at("vault.mount")), store_prefix(plan.answers)
    own = installer_role(deployment)
    sign_in = plan.server.server.sign_in if plan.server and plan.server.server else None
    method = sign_in.method if sign_in else None
    policies = {own: _installer_policy(deployment, mount, prefix, method)}
    roles = {own: RoleRules(own, TOKEN_PERIOD_S, secret_id_uses=0, secret_id_ttl_s=0)}
    for consumer, names in secrets_of(plan).items():
        role = consumer_role(deployment, consumer)
        login = plan.manifest(consumer).login
        rights = [(r.path, r.capabilities) for r in login.rights] if login else []
        policies[role] = _consumer_policy(mount, prefix, names, rights)
        roles[role] = RoleRules(
            role, TOKEN_PERIOD_S, secret_id_uses=1, secret_id_ttl_s=SECRET_ID_TTL_S
        )
    if boots_alone(plan):
        boot = boot_role(deployment)
        policies[boot] = _boot_policy(deployment, plan.agents)
        roles[boot] = RoleRules(boot, TOKEN_PERIOD_S, secret_id_uses=0, secret_id_ttl_s=0)
    return StoreRules(mount, prefix, policies, roles, _audit_devices(plan))


def _audit_devices(plan: Plan) -> Mapping[str, str]:
    """None for the flavor whose configuration file declares them; it takes none by its API."""
    flavor = plan.answers.at("vault.flavor")
    if plan.server is None or flavor == "openbao":
        return {}
    devices = {"stdout": "stdout"}
    for data in plan.server.data:
        if data.name == _AUDIT_DATA:
            devices["file"] = f"{data.path}/{_AUDIT_FILE}"
    return devices


def external_policy(mount: str, prefix: str) -> str:
    """HCL of what the owner of an existing server must grant: our prefix, and our own token."""
    return _text((*_kv_rules(mount, prefix), *_OWN_TOKEN))


def make_policy(rights: Iterable[tuple[str, tuple[str, ...]]]) -> str:
    """HCL that allows these capabilities on these paths."""
    return _text(rights)


def reading_policy(paths: Iterable[str]) -> str:
    """HCL that lets these paths be read."""
    return _text((path, ("read",)) for path in paths)


def _consumer_policy(
    mount: str, prefix: str, names: tuple[str, ...], rights: Iterable[_Rule] = ()
) -> str:
    rules: list[_Rule] = [(f"{mount}/data/{prefix}/{name}", ("read",)) for name in names]
    rules += rights
    # a server refuses an empty policy
    return _text(rules) if rules else "# its files hold no secret\n"


def _boot_policy(deployment: str, consumers: Iterable[str]) -> str:
    """It may have logins made for consumers, wrapped only, and can read no secret."""
    texts = []
    for consumer in consumers:
        role = f"auth/approle/role/{consumer_role(deployment, consumer)}"
        texts.append(_text([(f"{role}/role-id", ("read",))]))
        texts.append(
            f"path {json.dumps(f'{role}/secret-id')} {{\n"
            f"  capabilities = {json.dumps(list(_WRITE))}\n"
            '  min_wrapping_ttl = "1s"\n'
            f'  max_wrapping_ttl = "{BOOT_WRAP_S}s"\n}}\n'
        )
    return "\n".join([*texts, _text([("auth/token/revoke-self", ("update",))])])


def _installer_policy(deployment: str, mount: str, prefix: str, sign_in: str | None) -> str:
    roles, policies = f"auth/approle/role/{deployment}-*", f"sys/policies/acl/{deployment}-*"
    return _text(
        (
            *_kv_rules(mount, prefix),
            # the ids of a role lie below it
            (roles, ("create", "read", "update", "delete")),
            (policies, ("create", "read", "update", "delete")),
            ("sys/storage/raft/snapshot", ("read",)),
            ("sys/audit", ("read", "sudo")),
            ("sys/mounts", ("read",)),
            *(_sign_in_rules(sign_in) if sign_in else ()),
            *_OWN_TOKEN,
        )
    )


_Rule = tuple[str, tuple[str, ...]]
_OWN_TOKEN: tuple[_Rule, ...] = (
    ("auth/token/lookup-self", ("read",)),
    ("auth/token/renew-self", ("update",)),
    ("auth/token/revoke-self", ("update",)),
)


def _sign_in_rules(method: str) -> Iterator[_Rule]:
    """The one login method of people is made, and taken away again; no other one is."""
    yield "sys/auth", ("read",)
    yield f"sys/auth/{method}", ("create", "read", "update", "delete", "sudo")
    yield f"sys/auth/{method}/tune", ("read", "update", "sudo")
    yield f"auth/{method}/config", ("create", "read", "update")
    yield f"auth/{method}/role/*", ("create", "read", "update", "delete", "list")


def _kv_rules(mount: str, prefix: str) -> Iterator[_Rule]:
    """Everything that KV version 2 offers, below the prefix and nowhere else."""
    for part, capabilities in (
        ("data", _EVERYTHING),
        ("metadata", _EVERYTHING),
        ("delete", _WRITE),
        ("undelete", _WRITE),
        ("destroy", _WRITE),
    ):
        yield f"{mount}/{part}/{prefix}/*", capabilities


def _text(rules: Iterable[_Rule]) -> str:
    """Rules as HCL; its quoted strings are those of JSON as long as no `${` is in them."""
    return "\n".join(
        f"path {json.dumps(path)} {{\n  capabilities = {json.dumps(list(capabilities))}\n}}\n"
        for path, capabilities in rules
    )
