"""Flows as authentik's executor runs them: the stages that are bound, in their order, with their
policies evaluated and their settings obeyed. A setting that lets somebody in does so here too.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
import types
from collections.abc import Callable, Mapping
from typing import Any

from authentik_store import Body, Store, find_in, is_password
from authentik_totp import totp_step
from standin import Answer, Request, say

STAGES = "authentik_stages_"
_DEVICE_OF = {
    "authentik_stages_authenticator_totp.authenticatortotpstage": "totp",
    "authentik_stages_authenticator_webauthn.authenticatorwebauthnstage": "webauthn",
    "authentik_stages_authenticator_static.authenticatorstaticstage": "static",
}
SESSION_COOKIE = "authentik_session"


class Session(dict[str, Any]):
    """One browser: `user` once somebody is logged in, and the running plan."""


class Flows:
    """The executor. `clock` gives the time in seconds."""

    def __init__(
        self,
        store: Store,
        expiry_s: int = 86400,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.expiry_s = expiry_s
        self.clock = clock
        self.sessions: dict[str, Session] = {}
        self.failures: dict[str, list[float]] = {}
        self.events: list[Body] = []

    def session_of(self, request: Request) -> tuple[str, Session]:
        """Session of a request's cookie; a new one when there is none."""
        for part in request.headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == SESSION_COOKIE and value in self.sessions:
                return value, self.sessions[value]
        key = secrets.token_urlsafe(24)
        self.sessions[key] = Session()
        return key, self.sessions[key]

    def user_of(self, request: Request) -> Body | None:
        """Who is logged in, as long as the session lasts and the account is active."""
        _, session = self.session_of(request)
        if session.get("until", 0) < self.clock() or "user" not in session:
            return None
        user = self.store.first("authentik_core.user", pk=session["user"])
        return user if user and user.get("is_active") else None

    def execute(self, request: Request) -> Answer:
        """One step: GET gives the challenge, POST answers it."""
        key, session = self.session_of(request)
        slug = request.path.rstrip("/").rpartition("/")[2]
        flow = self.store.first("authentik_flows.flow", slug=slug)
        headers = {"Set-Cookie": f"{SESSION_COOKIE}={key}; Path=/; HttpOnly"}
        if flow is None:
            return Answer(404, {"detail": "Not found."}, headers)
        if session.get("flow") != slug:
            session.update(flow=slug, at=0, pending=None, backend=False, failed=0, seen=set())
            session.pop("insert", None)
        if not self._allowed(flow, session) or (
            flow.get("authentication") == "require_authenticated" and "user" not in session
        ):
            return Answer(200, denied("Flow does not apply to current user."), headers)
        body = request.json() if request.method == "POST" else None
        challenge = self._step(session, flow, body)
        return Answer(200, challenge, headers)

    def _step(self, session: Session, flow: Body, body: Body | None) -> Body:
        while True:
            stage = session.get("insert") or self._current(session, flow)
            if stage is None:
                session.pop("flow")
                return {"component": "xak-flow-redirect", "to": "/"}
            kind = stage["model"].partition(".")[0].removeprefix(STAGES)
            handler = getattr(self, f"_stage_{kind}", None)
            if handler is None:
                return denied(f"the stand-in has no stage {kind}")
            challenge: Body | None = handler(session, stage, body)
            if challenge is not None:
                return challenge
            body = None
            if session.pop("insert", None) is None or session.pop("leave", False):
                session["at"] += 1

    def _current(self, session: Session, flow: Body) -> Body | None:
        objects = self.store.read()
        bound = sorted(
            find_in(objects, "authentik_flows.flowstagebinding", {"target": flow["pk"]}),
            key=lambda binding: binding["order"],
        )
        while session["at"] < len(bound):
            binding = bound[session["at"]]
            if self._allowed(binding, session):
                return objects[binding["stage"]]
            session["at"] += 1
        return None

    def _allowed(self, target: Body, session: Session) -> bool:
        """Whether the policies bound to something let it pass; without any, it passes."""
        bound = [
            b
            for b in self.store.find("authentik_policies.policybinding", target=target["pbm"])
            if b.get("enabled", True)
        ]
        if not bound:
            return True
        results = [self._passes(binding, session) for binding in bound]
        return (all if target.get("policy_engine_mode") == "all" else any)(results)

    def _passes(self, binding: Body, session: Session) -> bool:
        objects = self.store.read()
        user = objects.get(session.get("pending") or session.get("user") or "")
        if group := binding.get("group"):
            return user is not None and group in (user.get("groups") or [])
        policy = objects[binding["policy"]]
        if policy["model"].endswith("reputationpolicy"):
            name = user["username"] if user else ""
            result = -self.count_failures(name) <= policy.get("threshold", -5)
        elif policy["model"].endswith("expressionpolicy"):
            try:
                result = bool(self._evaluate(policy["expression"], user))
            except Exception as error:  # noqa: BLE001 - whatever the expression raises
                self.event("policy_exception", policy=policy["name"], error=repr(error))
                result = bool(binding.get("failure_result", False))
        else:
            result = False
        return result is not bool(binding.get("negate", False))

    def _evaluate(self, expression: str, user: Body | None) -> Any:
        """An expression as authentik runs it, with the names that version has."""
        view = types.SimpleNamespace(**{k: v for k, v in (user or {}).items() if k != "password"})
        names = {
            "request": types.SimpleNamespace(user=view, context={}),
            "ak_user_has_authenticator": lambda _, kind=None: bool(self.devices(user or {}, kind)),
        }
        body = "\n".join(f"  {line}" for line in expression.splitlines())
        exec(f"def handler():\n{body}", names)  # noqa: S102 - what the product under test does
        return names["handler"]()  # type: ignore[operator]

    def devices(self, user: Body, kind: str | None = None) -> list[Body]:
        """A user's second factors."""
        found = self.store.find("authentik_device", user=user.get("pk"))
        return [device for device in found if kind in (None, device["kind"])]

    def count_failures(self, name: str) -> int:
        """Failed logins of an account that are not forgotten yet."""
        since = self.clock() - self.expiry_s
        return len([when for when in self.failures.get(name, []) if when > since])

    def event(self, action: str, **fields: Any) -> None:
        """One line of the log, as authentik's events are."""
        self.events.append({"action": action, **fields})
        say(json.dumps({"event": action, "level": "info", "logger": "authentik.events", **fields}))

    def fail(self, username: str, stage: str) -> None:
        """A failed login counts against the account."""
        self.failures.setdefault(username, []).append(self.clock())
        self.event("login_failed", username=username, stage=stage)

    def _user(self, session: Session) -> Body:
        return self.store.read()[session["pending"]]

    def _stage_identification(
        self, session: Session, stage: Body, body: Body | None
    ) -> Body | None:
        if body and "uid_field" in body:
            for field in stage.get("user_fields") or []:
                if user := self.store.first("authentik_core.user", **{field: body["uid_field"]}):
                    session["pending"] = user["pk"]
                    return None
            session["pending"] = ""  # pretends that there is such a user
            return None
        return {
            "component": "ak-stage-identification",
            "enroll_url": stage.get("enrollment_flow"),
            "recovery_url": stage.get("recovery_flow"),
        }

    def _stage_password(self, session: Session, stage: Body, body: Body | None) -> Body | None:
        challenge = {"component": "ak-stage-password"}
        if not body or "password" not in body:
            return challenge
        user = self.store.read().get(session["pending"] or "")
        stored = str((user or {}).get("password") or "")
        if user and user.get("is_active") and is_password(str(body["password"]), stored):
            session["backend"] = True
            return None
        self.fail(user["username"] if user else "?", "password")
        session["failed"] += 1
        if session["failed"] >= stage.get("failed_attempts_before_cancel", 5):
            session.pop("flow")
            return denied("Invalid password")
        return {**challenge, "response_errors": {"password": ["Invalid password"]}}

    def _stage_authenticator_validate(
        self, session: Session, stage: Body, body: Body | None
    ) -> Body | None:
        user, objects = self._user(session), self.store.read()
        kinds = stage.get("device_classes") or ["static", "totp", "webauthn", "duo", "sms"]
        devices = [device for device in self.devices(user) if device["kind"] in kinds]
        if devices:
            if body and "code" in body:
                if self._code_holds(devices, str(body["code"])):
                    return None
                self.fail(user["username"], "authenticator_validate")
                return {**challenge_of(devices), "response_errors": {"code": ["Invalid Token"]}}
            return challenge_of(devices)
        action = stage.get("not_configured_action", "skip")
        choices = [objects[pk] for pk in stage.get("configuration_stages") or []]
        if action == "skip":
            return None
        if action == "deny" or not choices:
            return denied("No authenticator is configured")
        wanted = (body or {}).get("selected_stage")
        chosen = next((c for c in choices if c["pk"] == wanted), None)
        if chosen is None and len(choices) > 1:
            listed = [
                {"pk": c["pk"], "name": c["name"], "kind": _DEVICE_OF[c["model"]]} for c in choices
            ]
            return {"component": "ak-stage-authenticator-validate", "configuration_stages": listed}
        # once enrolled, the factor has been shown: the stage is left with it
        session.update(insert=chosen or choices[0], leave=True)
        inserted = session["insert"]
        kind = inserted["model"].partition(".")[0].removeprefix(STAGES)
        result: Body | None = getattr(self, f"_stage_{kind}")(session, inserted, None)
        return result

    def _code_holds(self, devices: list[Body], code: str) -> bool:
        now = self.clock()
        for device in devices:
            if now < device.get("closed_until", 0):
                continue
            if device["kind"] == "static" and code in device["codes"]:
                self.store.write({**device, "codes": [c for c in device["codes"] if c != code]})
                return True
            if device["kind"] != "totp":
                continue
            step = totp_step(device["key"], code, now)
            if step is not None and step > device.get("last", -1):
                self.store.write({**device, "last": step, "wrong": 0})
                return True
            wrong = device.get("wrong", 0) + 1
            until = now + 2 ** (wrong - 1)
            self.store.write({**device, "wrong": wrong, "closed_until": until})
        return False

    def _stage_authenticator_totp(
        self, session: Session, stage: Body, body: Body | None
    ) -> Body | None:
        key = session.setdefault("totp", base64.b32encode(secrets.token_bytes(20)).decode())
        challenge = {
            "component": "ak-stage-authenticator-totp",
            "config_url": f"otpauth://totp/x?secret={key}",
        }
        if not body or "code" not in body:
            return challenge
        step = totp_step(key, str(body["code"]), self.clock())
        if step is None:
            return {**challenge, "response_errors": {"code": ["Code does not match"]}}
        self._add_device(session, kind="totp", key=session.pop("totp"), last=step)
        return None

    def _stage_authenticator_static(
        self, session: Session, stage: Body, body: Body | None
    ) -> Body | None:
        if body is not None and "codes" in session:
            self._add_device(session, kind="static", codes=session.pop("codes"))
            return None
        length, count = stage.get("token_length", 12), stage.get("token_count", 6)
        session["codes"] = [secrets.token_hex(length)[:length] for _ in range(count)]
        return {"component": "ak-stage-authenticator-static", "codes": session["codes"]}

    def _stage_authenticator_webauthn(
        self, session: Session, stage: Body, body: Body | None
    ) -> Body:
        return {
            "component": "ak-stage-authenticator-webauthn",
            "registration": {"userVerification": stage.get("user_verification", "preferred")},
        }

    def _stage_deny(self, session: Session, stage: Body, body: Body | None) -> Body:
        session.pop("flow")
        return denied(stage.get("deny_message") or "Access denied")

    def _stage_user_login(self, session: Session, stage: Body, body: Body | None) -> Body | None:
        if not session.get("pending") or not session["backend"]:
            return denied("nobody is identified")
        hours = str(stage.get("session_duration") or "hours=336").removeprefix("hours=")
        session.update(user=session["pending"], until=self.clock() + int(hours) * 3600)
        user = self._user(session)
        self.failures.get(user["username"], [None]).pop()
        self.event("login", username=user["username"])
        return None

    def _add_device(self, session: Session, **fields: Any) -> None:
        body = {
            "pk": secrets.token_hex(16),
            "model": "authentik_device",
            "user": session["pending"],
        }
        self.store.write({**body, **fields})
        self.event("model_created", device=fields["kind"], username=self._user(session)["username"])


def denied(message: str) -> Body:
    """The challenge that ends a flow."""
    return {"component": "ak-stage-access-denied", "error_message": message}


def challenge_of(devices: list[Body]) -> Body:
    """What asks for one of these devices; no key or code is in it."""
    listed = [{"device_class": device["kind"], "device_uid": device["pk"]} for device in devices]
    return {"component": "ak-stage-authenticator-validate", "device_challenges": listed}


def names_of_groups(store: Mapping[str, Body], user: Body) -> list[str]:
    """Names of a user's groups."""
    return [store[pk]["name"] for pk in user.get("groups") or [] if pk in store]
