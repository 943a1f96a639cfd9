"""The stand-in's objects, in PostgreSQL: one table, and views with the names and columns that the
real authentik's tables have, as far as a check may read them there.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import uuid
from collections.abc import Iterator
from typing import Any

from standin import query

Body = dict[str, Any]
BINDABLE = (
    "authentik_flows.flow",
    "authentik_flows.flowstagebinding",
    "authentik_core.application",
)
"""Models that policies can be bound to; they have a second key for that, as in Django."""
_LOCK = threading.Lock()


def _column(name: str, cast: str = "text") -> str:
    if cast == "boolean":
        return f"CAST(body->>'{name}' AS text) IN ('true', '1')"
    return f"CAST(body->>'{name}' AS {cast})"


_VIEWS = {
    "authentik_flows_flow": (
        "= 'authentik_flows.flow'",
        {"flow_uuid": "pk", "slug": _column("slug"), "policybindingmodel_ptr_id": _column("pbm")},
    ),
    "authentik_policies_policybindingmodel": (
        "IN ('authentik_flows.flow', 'authentik_flows.flowstagebinding',"
        " 'authentik_core.application')",
        {
            "pbm_uuid": _column("pbm"),
            "policy_engine_mode": f"coalesce({_column('policy_engine_mode')}, 'any')",
        },
    ),
    "authentik_flows_flowstagebinding": (
        "= 'authentik_flows.flowstagebinding'",
        {
            "fsb_uuid": "pk",
            "policybindingmodel_ptr_id": _column("pbm"),
            "target_id": _column("target"),
            "stage_id": _column("stage"),
            '"order"': _column("order", "integer"),
        },
    ),
    "authentik_stages_user_login_userloginstage": (
        "= 'authentik_stages_user_login.userloginstage'",
        {"stage_ptr_id": "pk", "session_duration": _column("session_duration")},
    ),
    "authentik_stages_password_passwordstage": (
        "= 'authentik_stages_password.passwordstage'",
        {"stage_ptr_id": "pk"},
    ),
    "authentik_stages_authenticator_validate_authenticatorvalida499c": (
        "= 'authentik_stages_authenticator_validate.authenticatorvalidatestage'",
        {
            "stage_ptr_id": "pk",
            "not_configured_action": f"coalesce({_column('not_configured_action')}, 'skip')",
            "device_classes": f"coalesce({_column('device_classes')}, '')",
            "last_auth_threshold": f"coalesce({_column('last_auth_threshold')}, 'seconds=0')",
        },
    ),
    "authentik_stages_identification_identificationstage": (
        "= 'authentik_stages_identification.identificationstage'",
        {
            "stage_ptr_id": "pk",
            "enrollment_flow_id": _column("enrollment_flow"),
            "recovery_flow_id": _column("recovery_flow"),
            "passwordless_flow_id": _column("passwordless_flow"),
        },
    ),
    "authentik_brands_brand": (
        "= 'authentik_brands.brand'",
        {
            "domain": _column("domain"),
            '"default"': _column("default", "boolean"),
            "flow_authentication_id": _column("flow_authentication"),
            "flow_recovery_id": _column("flow_recovery"),
        },
    ),
    "authentik_policies_policybinding": (
        "= 'authentik_policies.policybinding'",
        {
            "target_id": _column("target"),
            "policy_id": _column("policy"),
            "enabled": "coalesce(CAST(body->>'enabled' AS text), 'true') IN ('true', '1')",
            "negate": "coalesce(CAST(body->>'negate' AS text), 'false') IN ('true', '1')",
        },
    ),
    "authentik_policies_policy": (
        "> 'authentik_policies_' AND model < 'authentik_policies`'",
        {"policy_uuid": "pk", "name": _column("name")},
    ),
    "authentik_core_source": (
        "> 'authentik_sources_' AND model < 'authentik_sources`'",
        {
            "slug": _column("slug"),
            "managed": _column("managed"),
            "enabled": _column("enabled", "boolean"),
            "authentication_flow_id": _column("authentication_flow"),
        },
    ),
    "authentik_core_user": (
        "= 'authentik_core.user'",
        {
            "username": _column("username"),
            "name": _column("name"),
            "is_active": _column("is_active", "boolean"),
        },
    ),
    "authentik_blueprints_blueprintinstance": (
        "= 'authentik_blueprints.blueprintinstance'",
        {"name": _column("name"), "path": _column("path"), "status": _column("status")},
    ),
}


class Store:
    """All objects by key; every change is one statement, and `commit` is all or nothing."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def _run(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        with _LOCK:
            return query(self.connection, text, *values)

    def migrate(self) -> None:
        """Table and views, once."""
        self._run("SELECT pg_advisory_lock(20260805)")
        self._run(
            "CREATE TABLE IF NOT EXISTS standin_object"
            " (pk text PRIMARY KEY, model text NOT NULL, body jsonb NOT NULL)"
        )
        for name, (models, columns) in _VIEWS.items():
            picked = ", ".join(f"{source} AS {column}" for column, source in columns.items())
            self._run(f"DROP VIEW IF EXISTS {name}")
            self._run(
                f"CREATE VIEW {name} AS SELECT {picked} FROM standin_object WHERE model {models}"
            )
        self._run("SELECT pg_advisory_unlock(20260805)")

    def read(self) -> dict[str, Body]:
        """Every object: key → body, with `pk` and `model` in it."""
        found = {}
        for pk, model, body in self._run("SELECT pk, model, body FROM standin_object"):
            found[pk] = {
                **(json.loads(body) if isinstance(body, str) else body), "pk": pk, "model": model,
            }  # fmt: skip
        return found

    def write(self, body: Body) -> None:
        """Insert or replace one object."""
        rest = {key: value for key, value in body.items() if key not in ("pk", "model")}
        self._run(
            "INSERT INTO standin_object VALUES (%s, %s, %s)"
            " ON CONFLICT (pk) DO UPDATE SET body=EXCLUDED.body",
            body["pk"], body["model"], json.dumps(rest),
        )  # fmt: skip

    def delete(self, pk: str) -> None:
        """Remove one object."""
        self._run("DELETE FROM standin_object WHERE pk=%s", pk)

    def find(self, model: str, **fields: Any) -> Iterator[Body]:
        """Objects of a model with these values."""
        yield from find_in(self.read(), model, fields)

    def first(self, model: str, **fields: Any) -> Body | None:
        """The first of them."""
        return next(self.find(model, **fields), None)


def find_in(objects: dict[str, Body], model: str, fields: Body) -> Iterator[Body]:
    """Objects of a model with these values."""
    for body in objects.values():
        if body["model"] == model and all(body.get(k) == v for k, v in fields.items()):
            yield body


def new_object(model: str, **fields: Any) -> Body:
    """A body with keys of its own."""
    pk = str(uuid.uuid4())
    body = {"pk": pk, "model": model, **fields}
    if model in BINDABLE:
        body["pbm"] = str(uuid.uuid4())
    return body


def hash_password(password: str) -> str:
    """A salted PBKDF2 hash in Django's form."""
    salt = secrets.token_hex(8)
    made = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), 10_000)
    return f"pbkdf2_sha256$10000${salt}${made.hex()}"


def is_password(password: str, stored: str) -> bool:
    """Whether a password is the stored one; nothing is when none is stored."""
    if stored.count("$") != 3:
        return False
    _, rounds, salt, wanted = stored.split("$")
    made = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), int(rounds))
    return secrets.compare_digest(made.hex(), wanted)
