"""Lines as the services print them: such that an alert is about, and their harmless neighbours."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sample:
    """Lines of one service."""

    role: str
    lines: tuple[str, ...]
    level: str = "info"

    @property
    def labels(self) -> dict[str, str]:
        """As the log collector gives them."""
        return {
            "deployment": "devplat",
            "service": self.role,
            "role": self.role,
            "level": self.level,
        }


def event(action: str, context: dict[str, Any], user: str = "ada", ip: str = "203.0.113.9") -> str:
    """A line of authentik about one of its events."""
    return json.dumps(
        {
            "action": action,
            "client_ip": ip,
            "context": context,
            "event": "Created Event",
            "level": "info",
            "logger": "authentik.events.models",
            "timestamp": "2026-11-24T10:00:00.000000",
            "user": {"username": user, "pk": 7, "email": f"{user}@company.com"},
        }
    )


def audit(
    path: str, operation: str = "read", error: str = "", policies: tuple[str, ...] = ()
) -> str:
    """A response in the audit log of the secret server."""
    entry: dict[str, Any] = {
        "time": "2026-11-24T10:00:00Z",
        "type": "response",
        "auth": {"policies": list(policies), "token_type": "service"},
        "request": {
            "operation": operation,
            "path": path,
            "mount_point": "kv/",
            "remote_address": "172.30.0.7",
        },
    }
    return json.dumps(entry | ({"error": error} if error else {}))


def access(status: int, path: str = "/api/v2/users/me", client: str = "198.51.100.7") -> str:
    """A line of the edge's access log."""
    return json.dumps(
        {
            "ClientHost": client,
            "DownstreamStatus": status,
            "RequestMethod": "POST",
            "RequestPath": path,
            "level": "info",
            "msg": "",
        }
    )


VALIDATE = {
    "app": "authentik_stages_authenticator_validate",
    "model_name": "authenticatorvalidatestage",
}
WRONG_CODE = {"username": "ada", "stage": VALIDATE, "auth_method_args": {"device_class": "totp"}}
TOTP = {
    "model": {"app": "authentik_stages_authenticator_totp", "model_name": "totpdevice", "pk": 3}
}
BINDING = {"model": {"app": "authentik_flows", "model_name": "flowstagebinding", "pk": "4"}}
DENIED = "1 error occurred:\n\t* permission denied\n\n"
IDP, EDGE = "authentik-server", "traefik"

QUIET: tuple[Sample, ...] = (
    Sample(
        IDP,
        (
            *[event("login_failed", {"username": "bob"}, ip="203.0.113.1")] * 4,
            *[event("login", {"auth_method": "password"})] * 60,
            *[event("login_failed", {**WRONG_CODE, "username": "eve"}, ip="203.0.113.2")] * 3,
            event("model_deleted", {"model": {"app": "authentik_core", "model_name": "token"}}),
            event("model_updated", BINDING, user=""),
            # no JSON: such a line must not break a rule
            "Traceback: Created Event authenticatorvalidatestage totpdevice flowstagebinding",
        ),
    ),
    Sample(
        "vault",
        (
            *[audit("kv/data/devplat/x")] * 40,
            *[audit("kv/data/devplat/x", error=DENIED)] * 3,
            audit("sys/audit", "read"),
            audit("sys/seal-status", "read"),
            "2026-11-24T10:00:00Z [ERROR] permission denied sys/seal sys/audit sys/generate-root",
        ),
    ),
    Sample(
        EDGE,
        (
            *[access(200)] * 400,
            *[access(404)] * 20,
            *[access(401, "/login")] * 10,
            "DownstreamStatus",
        ),
    ),
    Sample("gitea", ("... [W] Failed authentication attempt for ada from 203.0.113.9:0: x",) * 3),
    Sample("postgres", ('LOG:  connection authorized: user="coder"',) * 20),
    Sample("coder", ("error: x",) * 50, level="error"),
)
"""Fewer than it takes, or of another kind: no alert."""

LOUD: dict[str, Sample] = {
    "LoginGuessingFromOneAddress": Sample(IDP, (event("login_failed", {"username": "ada"}),) * 11),
    "LoginGuessing": Sample(
        IDP,
        tuple(event("login_failed", {"username": "ada"}, ip=f"203.0.113.{n}") for n in range(51)),
    ),
    "SecondFactorGuessing": Sample(IDP, (event("login_failed", WRONG_CODE, user=""),) * 6),
    "SecondFactorRemoved": Sample(IDP, (event("model_deleted", TOTP),)),
    "IdentityPolicyChanged": Sample(IDP, (event("model_updated", BINDING),)),
    "SuspiciousRequest": Sample(IDP, (event("suspicious_request", {"message": "x"}),)),
    "SecretServerRefusesRequests": Sample("vault", (audit("kv/data/x", error=DENIED),) * 21),
    "SecretServerRootToken": Sample("vault", (audit("sys/mounts", policies=("root",)),)),
    "SecretServerAuditChanged": Sample("vault", (audit("sys/audit/file", "delete"),)),
    "SecretServerSealed": Sample("vault", (audit("sys/seal", "update"),)),
    "UnusualApiActivity": Sample(EDGE, (access(403),) * 301),
    "LoginPathsHammered": Sample(EDGE, (access(401, "/api/v2/users/login"),) * 31),
    "GiteaFailedLogins": Sample(
        "gitea", ("... [W] Failed authentication attempt for ada from 203.0.113.9:0: x",) * 11
    ),
    "DatabaseLoginRefused": Sample(
        "postgres", ('FATAL:  password authentication failed for user "coder"',), level="critical"
    ),
    "DatabaseLoginGuessing": Sample(
        "postgres", ('FATAL:  password authentication failed for user "x"',) * 101, level="critical"
    ),
    "ErrorsInLogs": Sample("coder", ("error: x",) * 101, level="error"),
}
"""Alert → lines that raise it."""
