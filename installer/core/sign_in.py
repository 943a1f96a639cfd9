"""How people log in to the platform's own secret server, read from the server's configuration.

A file that the stack's folder renders says all of it, as data; there is none while nobody is to log
in that way. Text and data only; no value of a secret is ever seen here.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from installer.core.bundle import Bundle
from installer.core.errors import Problem, Remedy, StackError
from installer.core.manifest_parts import StoreRight
from installer.core.plan import Plan
from installer.core.store_rules import consumer_role, make_policy


@dataclass(frozen=True, slots=True)
class SignIn:
    """The wanted state of one login method.

    Attributes:
        method: Path below `auth/`.
        type: What the server calls such a method.
        config: The method's configuration, without the client's secret and the authority.
        roles: Name of a role → what the server is told of it.
        policies: Name of a policy → HCL text.
        secret: Name of the secret that has the client's secret.
        trusts_edge: The provider is behind the platform's own edge and verified by its roots.
        probe: Path below the method, and what is sent there, that gives an address to log in at.
        mark: Begins the description of the method, and says that it is ours.
    """

    method: str
    type: str
    config: Mapping[str, Any]
    roles: Mapping[str, Mapping[str, Any]]
    policies: Mapping[str, str]
    secret: str
    trusts_edge: bool
    probe: tuple[str, Mapping[str, str]]
    mark: str


class _Probe(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    body: Mapping[str, str]


class _Document(BaseModel):
    """The file. A policy is named by its last part; the deployment's name is put before it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    config: Mapping[str, Any]
    trusts_edge: bool
    policies: Mapping[str, tuple[StoreRight, ...]]
    roles: Mapping[str, Mapping[str, Any]]
    probe: _Probe


def mark_of(plan: Plan) -> str:
    """Begins the description of the login method that belongs to a deployment."""
    return f"people of {plan.deployment}, kept by its installer"


def read_sign_in(plan: Plan, bundle: Bundle) -> SignIn | None:
    """What the bundle says of it; None when nobody logs in that way.

    Raises:
        StackError: the file has another form.
    """
    server = plan.server
    part = server.server.sign_in if server and server.server else None
    if server is None or part is None:
        return None
    file = bundle.files.get(posixpath.join(server.name, part.file))
    if file is None:
        return None
    try:
        document = _Document.model_validate(json.loads(file.data))
    except (ValidationError, ValueError) as error:
        raise StackError(
            Problem(
                "stack.template",
                f"{part.file} has another form: {str(error).splitlines()[0]}",
                Remedy(f"correct the templates in stacks/compose/{server.name}"),
                where=server.name,
            )
        ) from error
    return SignIn(
        method=part.method,
        type=document.type,
        config=document.config,
        roles=document.roles,
        policies={
            consumer_role(plan.deployment, name): make_policy(
                (right.path, right.capabilities) for right in rights
            )
            for name, rights in document.policies.items()
        },
        secret=part.secret,
        trusts_edge=document.trusts_edge,
        probe=(document.probe.path, document.probe.body),
        mark=mark_of(plan),
    )
