"""Rate limits, for the whole server or below a mount, as `sys/quotas/rate-limit` sets them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from vault_wire import (
    NOTHING,
    Call,
    Fault,
    Reply,
    not_found,
    parse_seconds,
    unsupported_operation,
    unsupported_path,
)

if TYPE_CHECKING:
    from vault_core import Core

EXEMPT = ("sys/health", "sys/seal-status", "sys/unseal", "sys/generate-root/")


class Quotas:
    """What has been used is in memory only."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.used: dict[str, list[float]] = {}

    def check(self, path: str) -> None:
        """Count a call.

        Raises:
            Fault: 429 when the most specific limit for it is used up.
        """
        quotas = self.core.state.get("quotas", {})
        fitting = [q for q in quotas.values() if path.startswith(q["path"])]
        if not fitting or path.startswith(EXEMPT):
            return
        quota = max(fitting, key=lambda quota: len(quota["path"]))
        now = time.monotonic()
        used = [t for t in self.used.get(quota["name"], []) if t > now - quota["interval"]]
        self.used[quota["name"]] = used
        if len(used) >= quota["rate"]:
            raise Fault(429, f'request path "{path}": rate limit quota exceeded')
        used.append(now)

    def handle(self, call: Call, rest: str) -> Reply:
        """`rate-limit` and `rate-limit/<name>`."""
        kind, _, name = rest.partition("/")
        quotas = self.core.state["quotas"]
        if kind != "rate-limit":
            raise unsupported_path()
        if not name:
            if call.operation != "list":
                raise unsupported_operation()
            if not quotas:
                raise not_found()
            return Reply({"keys": sorted(quotas)})
        if call.operation == "read":
            if name not in quotas:
                raise not_found()
            return Reply(quotas[name])
        if call.operation == "delete":
            quotas.pop(name, None)
        elif call.writes:
            quotas[name] = self._read(name, call.data)
        self.used.pop(name, None)
        self.core.changed()
        return NOTHING

    def _read(self, name: str, data: dict[str, Any]) -> dict[str, Any]:
        rate, path = data.get("rate") or 0, str(data.get("path") or "")
        if not isinstance(rate, int | float) or rate <= 0:
            raise Fault(400, "'rate' is invalid")
        mounts = [*self.core.state["mounts"], *(f"auth/{m}" for m in self.core.state["auth"])]
        if path and not any(f"{path}/".startswith(mount) for mount in mounts):
            raise Fault(400, f'invalid mount path "{path}"')
        return {
            "name": name, "path": path, "rate": rate, "type": "rate-limit", "role": "",
            "interval": parse_seconds(data.get("interval", 1)), "block_interval": 0,
            "inheritable": False,
        }  # fmt: skip
