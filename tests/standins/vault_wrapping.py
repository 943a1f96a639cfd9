"""Response wrapping: an answer kept behind a token that is good for taking it out, once."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from vault_wire import Call, Fault, Reply, failed, stamp, unsupported_path

if TYPE_CHECKING:
    from vault_core import Core

INVALID = "wrapping token is not valid or does not exist"
POLICY = "response-wrapping"


class Wrapping:
    """The endpoints below `sys/wrapping`, and the wrapping itself."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def wrap(self, call: Call, reply: Reply, created_at: str = "") -> Reply:
        """Put an answer away; the new answer has only the token for it."""
        inner = json.dumps(reply.document(call))
        path, now = created_at or call.path, time.time()
        entry = self.core.tokens.make(
            policies=[POLICY], path=path, display_name="wrap", ttl=call.wrap_s,
            explicit_max_ttl=call.wrap_s, num_uses=1,
            wrapped={"response": inner, "path": path, "ttl": call.wrap_s, "created": now},
        )  # fmt: skip
        self.core.changed()
        info = {
            "token": entry["id"], "accessor": entry["accessor"], "ttl": call.wrap_s,
            "creation_time": stamp(now), "creation_path": path,
        }  # fmt: skip
        accessor = reply.wrapped_accessor or (reply.auth or {}).get("accessor")
        return Reply(wrap_info={**info, **({"wrapped_accessor": accessor} if accessor else {})})

    def handle(self, call: Call, rest: str) -> Reply:
        """`wrap`, `lookup`, `unwrap` or `rewrap`."""
        acts = {
            "wrap": self._wrap, "lookup": self._look_up, "unwrap": self._unwrap,
            "rewrap": self._rewrap,
        }  # fmt: skip
        if rest not in acts:
            raise unsupported_path()
        return acts[rest](call)

    def find(self, token_id: str) -> dict[str, Any] | None:
        """A wrapping token that is alive."""
        entry = self.core.tokens.find(token_id)
        return entry if entry and entry["wrapped"] else None

    def _wrap(self, call: Call) -> Reply:
        if not call.wrap_s:
            raise Fault(400, "endpoint requires response wrapping to be used")
        return Reply(call.data)

    def _wanted(self, call: Call) -> dict[str, Any]:
        entry = self.find(str(call.data.get("token") or call.token_id))
        if entry is None:
            raise Fault(400, INVALID)
        return entry

    def _look_up(self, call: Call) -> Reply:
        wrapped = self._wanted(call)["wrapped"]
        return Reply({
            "creation_path": wrapped["path"], "creation_time": stamp(wrapped["created"]),
            "creation_ttl": wrapped["ttl"],
        })  # fmt: skip

    def _unwrap(self, call: Call) -> Reply:
        entry = self._wanted(call)
        self.core.tokens.revoke(entry)
        return Reply(unwrapped=json.loads(entry["wrapped"]["response"]))

    def _rewrap(self, call: Call) -> Reply:
        entry = self._wanted(call)
        if call.wrap_s:
            raise failed(400, "cannot wrap a rewrapped response")
        self.core.tokens.revoke(entry)
        inner, call.wrap_s = entry["wrapped"], entry["wrapped"]["ttl"]
        reply = Reply(unwrapped=json.loads(inner["response"]))
        return self.wrap(call, reply, inner["path"])
