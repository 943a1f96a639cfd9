"""The way of a call through the server: decoded, limited, authenticated, allowed, written down,
answered by an engine, wrapped, written down again.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from standin import Answer, Request
from vault_approle import AppRole, within
from vault_jwt import JwtLogin
from vault_kv import PlainKv, VersionedKv
from vault_node import Node
from vault_oidc import OidcLogin
from vault_quota import Quotas
from vault_sys import System
from vault_wire import (
    DENIED,
    NOTHING,
    Call,
    Fault,
    Reply,
    failed,
    parse_seconds,
    unsupported_path,
)
from vault_wrapping import Wrapping

if TYPE_CHECKING:
    from vault_core import Core

OPERATIONS = {
    "GET": "read", "HEAD": "read", "LIST": "list", "PUT": "update", "POST": "update",
    "DELETE": "delete", "PATCH": "patch",
}  # fmt: skip
NO_LOGIN = re.compile(r"sys/(wrapping/(lookup|unwrap)|internal/ui/mounts(/.*)?)")
SUDO = re.compile(
    r"sys/(auth/.+|audit(/.*)?|rotate(/.*)?|seal|step-down|remount|leases.*)|auth/token/accessors.*"
)
LOGINS = ("login", "oidc/auth_url", "oidc/callback")
STANDBY = "local node not active but active cluster node not found"
MERGE = "application/merge-patch+json"


class Backend(Protocol):
    """What answers below a mount."""

    def handle(self, call: Call) -> Reply: ...


class Router:
    """One per server."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.node = Node(core)
        self.system = System(core)
        self.wrapping = Wrapping(core)
        self.quotas = Quotas(core)

    def answer(self, request: Request) -> Answer:
        """The answer to an HTTP request."""
        if not request.path.startswith("/v1/"):
            if request.path == "/":
                return Answer(404, b"404 page not found\n", {"Content-Type": "text/plain"})
            return Answer(404, {"errors": []})
        with self.core.lock:
            try:
                answer = self._answer(request)
            except Fault as fault:
                answer = _refuse(fault)
            try:
                self.core.flush()
            except Fault as fault:
                answer = _refuse(fault)
            return answer

    def _answer(self, request: Request) -> Answer:
        path = re.sub(r"/+", "/", request.path.removeprefix("/v1/"))
        if request.method not in OPERATIONS:
            raise Fault(405)
        if request.headers.get("x-vault-namespace", "").strip("/") not in ("", "root"):
            raise Fault(404, "namespace not found")
        self.quotas.check(path)
        data = _decode(request)
        method = "GET" if request.method == "HEAD" else request.method
        answer = self.node.answer(method, path, request.query, data)
        if answer is None:
            call = self._call(request, path, data)
            answer = self._seal(call) if path in ("sys/seal", "sys/step-down") else None
        if answer is not None:
            return answer
        try:
            return self._serve(call)
        finally:
            if call.token and call.token["num_uses"] < 0:
                self.core.tokens.revoke(call.token)

    def _call(self, request: Request, path: str, data: dict[str, Any]) -> Call:
        if self.core.sealed and path != "sys/seal":
            raise Fault(503, "Vault is sealed")
        if self.core.standby and not self.core.sealed:
            raise Fault(500, STANDBY)
        operation = OPERATIONS[request.method]
        if operation == "read" and request.query.get("list") == "true":
            operation = "list"
        if operation == "list":
            path = path.rstrip("/") + "/"
        if operation == "update" and path.endswith("/"):
            raise Fault(400, "cannot write to a path ending in '/'")
        kind = request.headers.get("content-type", "")
        if operation == "patch" and kind != MERGE:
            text = f"PATCH requires Content-Type of {MERGE}, provided {kind}"
            raise Fault(415, text)
        token = request.headers.get("x-vault-token", "")
        bearer = re.fullmatch(r"Bearer (.+)", request.headers.get("authorization", ""))
        return Call(
            operation, path, data, request.query, token or (bearer[1] if bearer else ""),
            request.client, _wrap_seconds(request.headers.get("x-vault-wrap-ttl", "")),
        )  # fmt: skip

    def _seal(self, call: Call) -> Answer:
        core = self.core
        if call.operation != "update":
            raise Fault(405)
        if core.sealed:
            return Answer(204)
        try:
            self._allow(call)
            if not core.audit.request(call):
                raise Fault(500, "failed to audit request, cannot continue")
        except Fault as fault:
            if fault.status == 403:
                core.audit.request(call, fault.messages[0])
            raise
        if call.path == "sys/seal":
            core.seal()
        else:
            core.step_down()
        return Answer(204)

    def _serve(self, call: Call) -> Answer:
        """Authenticate, write down, let the engine answer, write down."""
        core = self.core
        backend: Backend | None = None
        try:
            backend = self._route(call)
            self._allow(call)
        except Fault as fault:
            if not core.audit.request(call, fault.messages[0] if fault.messages else ""):
                raise Fault(500, "internal error") from fault
            core.audit.response(call, None, fault.messages[0] if fault.messages else "")
            raise
        if not core.audit.request(call):
            raise Fault(500, "internal error")
        try:
            if backend is None:
                text = f'no handler for route "{call.path}". route entry not found.'
                raise Fault(404, text)
            reply = backend.handle(call)
            if call.wrap_s and not reply.wrap_info and not reply.empty and reply.status < 400:
                reply = self.wrapping.wrap(call, reply)
        except Fault as fault:
            core.audit.response(call, None, fault.messages[0] if fault.messages else "")
            raise
        if not core.audit.response(call, reply):
            raise Fault(500, "internal error")
        return _send(call, reply)

    def _route(self, call: Call) -> Backend | None:
        state, path = self.core.state, call.path
        tables = {f"auth/{name}": entry for name, entry in state["auth"].items()}
        tables |= state["mounts"]
        whole = path if path.endswith("/") else path + "/"
        fitting = [mount for mount in tables if path.startswith(mount) or whole == mount]
        if not fitting:
            return None
        call.mount = max(fitting, key=len)
        call.rest = path[len(call.mount) :]
        return self._backend(call.mount, tables[call.mount])

    def _backend(self, mount: str, entry: dict[str, Any]) -> Backend:
        core, kind = self.core, entry["type"]
        if kind == "system":
            return _Sys(self)
        if kind == "token":
            return core.tokens
        if kind == "cubbyhole":
            return _Cubbyhole(core)
        store = core.state["stores"].get(entry["uuid"], {})
        if kind == "approle":
            return AppRole(store, core)
        if kind == "jwt":
            return JwtLogin(store, core)
        if kind == "oidc":
            return OidcLogin(store, core)
        if kind != "kv":
            return _Nothing()
        if (entry["options"] or {}).get("version") == "2":
            return VersionedKv(store, core)
        lease = entry["config"]["default_lease_ttl"] or core.default_ttl
        return PlainKv(store, core, lease)

    def _allow(self, call: Call) -> None:
        """Find the token and ask its policies.

        Raises:
            Fault: 403.
        """
        core, path = self.core, call.path
        login = call.mount.startswith("auth/") and call.rest in LOGINS
        entry = core.tokens.find(call.token_id) if call.token_id else None
        if path in ("sys/wrapping/unwrap", "sys/wrapping/lookup"):
            if not call.token_id and not call.data.get("token"):
                raise Fault(403, "error validating wrapping token: token is empty")
            call.token = entry
            return
        if login or NO_LOGIN.fullmatch(path):
            call.token = None if login else entry
            return
        if entry is None or (entry["bound"] and not within(call.client, entry["bound"])):
            raise Fault(403, DENIED)
        call.token = entry
        core.tokens.use(entry)
        if "root" in entry["policies"]:
            return
        acl = core.acl(entry)
        call.operation = self._create_or_update(call)
        allowed = acl.allows(call.operation, path, call.wrap_s)
        if allowed and SUDO.fullmatch(path):
            allowed = acl.sudo(path)
        if not allowed:
            raise failed(403, DENIED)

    def _create_or_update(self, call: Call) -> str:
        if call.operation != "update":
            return call.operation
        backend = self._route(call)
        exists = getattr(backend, "exists", None)
        return "update" if exists is None or exists(call) else "create"


class _Sys:
    """`sys/`, shared out."""

    def __init__(self, router: Router) -> None:
        self.router = router

    def handle(self, call: Call) -> Reply:
        part, _, rest = call.rest.partition("/")
        if part == "wrapping":
            return self.router.wrapping.handle(call, rest)
        if part == "quotas":
            return self.router.quotas.handle(call, rest.rstrip("/"))
        if part in ("metrics", "storage", "generate-root-token"):
            return self.router.node.handle(call, call.rest)
        trimmed = replace(call, rest=call.rest.rstrip("/"))
        return self.router.system.handle(trimmed)


class _Cubbyhole:
    """Version 1 for one token."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def _store(self, call: Call) -> PlainKv:
        accessor = call.login["accessor"]
        return PlainKv(self.core.state["cubbyholes"].setdefault(accessor, {}), self.core, 0)

    def exists(self, call: Call) -> bool:
        return self._store(call).exists(call)

    def handle(self, call: Call) -> Reply:
        return self._store(call).handle(call)


class _Nothing:
    """A mount that this stand-in has in its list only."""

    def handle(self, call: Call) -> Reply:
        raise unsupported_path()


def _refuse(fault: Fault) -> Answer:
    return Answer(fault.status, {"errors": list(fault.messages)})


def _decode(request: Request) -> dict[str, Any]:
    if not request.body or request.method in ("GET", "HEAD", "LIST", "DELETE"):
        return {}
    try:
        document = json.loads(request.body)
    except ValueError as error:
        text = "invalid character in what should be JSON"
        raise Fault(400, f"failed to decode JSON input: {text}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        kind = {list: "array", str: "string", bool: "bool"}.get(type(document), "number")
        text = f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        raise Fault(400, f"failed to decode JSON input: {text}")
    return document


def _wrap_seconds(text: str) -> int:
    if not text:
        return 0
    try:
        seconds = parse_seconds(text)
    except ValueError as error:
        raise Fault(400, f"error parsing X-Vault-Wrap-TTL header: {error}") from error
    if seconds < 0:
        text = "requested wrap ttl cannot be negative"
        raise Fault(400, f"error parsing X-Vault-Wrap-TTL header: {text}")
    return seconds


def _send(call: Call, reply: Reply) -> Answer:
    if reply.raw is not None:
        return Answer(reply.status or 200, reply.raw, {"Content-Type": reply.kind})
    if reply.empty or reply is NOTHING:
        return Answer(204)
    return Answer(reply.status or 200, reply.document(call))
