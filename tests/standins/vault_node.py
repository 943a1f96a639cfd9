"""What a node says and does by itself: health, seal status, unsealing, standing by, metrics,
snapshots. Most of it needs no login and works while the node is sealed.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from standin import Answer
from vault_root import RootAttempt
from vault_wire import Call, Fault, Reply, stamp, unsupported_operation, unsupported_path

if TYPE_CHECKING:
    from vault_core import Core

HEALTH_CODES = {"activecode": 200, "standbycode": 429, "uninitcode": 501, "sealedcode": 503}
WRITES = ("PUT", "POST")


class Node:
    """The endpoints that are about the node."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.root = RootAttempt(core)
        self.open = {
            "sys/init": self._init, "sys/seal-status": self._seal_status,
            "sys/health": self._health, "sys/unseal": self._unseal, "sys/leader": self._leader,
            "sys/generate-root/attempt": self._root_attempt,
            "sys/generate-root/update": self._root_update,
            "sys/rekey/init": self._closed, "sys/rekey/update": self._closed,
        }  # fmt: skip

    def answer(
        self, method: str, path: str, query: Mapping[str, str], data: dict[str, Any]
    ) -> Answer | None:
        """The answer where no login is needed; None for other paths."""
        if path == "sys/metrics" and self.core.config.listener.open_metrics:
            return self._open_metrics(method, query)
        act = self.open.get(path)
        return act(method, query, data) if act else None

    def _open_metrics(self, method: str, query: Mapping[str, str]) -> Answer:
        """Metrics for everybody: from before any login, also while sealed, never written down."""
        if method != "GET":
            raise Fault(405)
        made = self.metrics(query)
        return Answer(made.status or 200, made.raw or b"", {"Content-Type": made.kind})

    def _init(self, method: str, query: Mapping[str, str], data: dict[str, Any]) -> Answer:
        del query
        if method == "GET":
            return Answer(body={"initialized": self.core.initialised})
        if method not in WRITES:
            raise Fault(405)
        return Answer(body=self.core.initialise(data))

    def _seal_status(self, method: str, query: Mapping[str, str], data: dict[str, Any]) -> Answer:
        del query, data
        if method != "GET":
            raise Fault(405)
        return Answer(body=self.core.status())

    def _unseal(self, method: str, query: Mapping[str, str], data: dict[str, Any]) -> Answer:
        del query
        if method not in WRITES:
            raise Fault(405)
        self.core.unseal(data)
        return Answer(body=self.core.status())

    def _health(self, method: str, query: Mapping[str, str], data: dict[str, Any]) -> Answer:
        del data
        if method != "GET":
            raise Fault(405)
        core = self.core
        codes = dict(HEALTH_CODES)
        for name in codes:
            if name in query:
                if not query[name].isdigit():
                    raise Fault(400)
                codes[name] = int(query[name])
        if query.get("standbyok", "false") not in ("false", "0"):
            codes["standbycode"] = codes["activecode"]
        state = "active"
        if core.standby:
            state = "standby" if not core.sealed else "sealed" if core.initialised else "uninit"
        leads = state == "active"
        body = {
            "initialized": core.initialised, "sealed": core.sealed, "standby": not leads,
            "replication_performance_mode": "primary" if leads else "unknown",
            "replication_dr_mode": "disabled" if leads else "unknown",
            "server_time_utc": int(time.time()), "version": core.version,
        }  # fmt: skip
        if not core.sealed:
            body |= {"cluster_name": core.state["name"], "cluster_id": core.state["id"]}
        return Answer(codes[f"{state}code"], body)

    def _leader(self, method: str, query: Mapping[str, str], data: dict[str, Any]) -> Answer:
        del method, query, data
        if self.core.sealed:
            raise Fault(503, "Vault is sealed")
        leads = not self.core.standby
        return Answer(body={
            "ha_enabled": True, "is_self": leads, "active_time": stamp(self.core.active_since),
            "leader_address": self.core.config.api_addr if leads else "",
            "leader_cluster_address": self.core.config.cluster_addr if leads else "",
            "raft_committed_index": 1, "raft_applied_index": 1,
        })  # fmt: skip

    def _check_root(self) -> None:
        listener = self.core.config.listener
        if self.core.sealed:
            raise Fault(503, "Vault is sealed")
        if self.core.flavour == "openbao" and not listener.root_by_shares:
            raise Fault(405, "unsupported operation")

    def _root_attempt(self, method: str, query: Mapping[str, str], data: dict[str, Any]) -> Answer:
        del query
        self._check_root()
        if method == "GET":
            return Answer(body=self.root.status())
        if method == "DELETE":
            self.root.cancel()
            return Answer(204)
        return Answer(body=self.root.start(data))

    def _root_update(self, method: str, query: Mapping[str, str], data: dict[str, Any]) -> Answer:
        del method, query
        self._check_root()
        return Answer(body=self.root.update(data))

    def _closed(self, method: str, query: Mapping[str, str], data: dict[str, Any]) -> Answer:
        del method, query, data
        raise Fault(405, "unsupported operation")

    def handle(self, call: Call, rest: str) -> Reply:
        """What needs a login: metrics, raft, root generation as OpenBao has it."""
        if rest == "metrics" and call.operation == "read":
            return self.metrics(call.query)
        if rest == "storage/raft/snapshot" and call.operation == "read":
            return self._snapshot()
        if rest == "storage/raft/configuration" and call.operation == "read":
            address = self.core.config.cluster_addr.removeprefix("https://")
            server = {
                "node_id": self.core.config.node, "address": address, "leader": True,
                "protocol_version": "3", "voter": True,
            }  # fmt: skip
            return Reply({"config": {"servers": [server], "index": 0}})
        if rest.startswith("generate-root-token/") and self.core.flavour == "openbao":
            return self._root_token(call, rest.partition("/")[2])
        if rest.startswith(("storage/", "metrics")):
            raise unsupported_operation()
        raise unsupported_path()

    def _root_token(self, call: Call, part: str) -> Reply:
        if part == "attempt" and call.operation == "read":
            return Reply(self.root.status())
        if part == "attempt" and call.operation == "delete":
            self.root.cancel()
            return Reply()
        if part == "attempt" and call.writes:
            return Reply(self.root.start(call.data))
        if part == "update" and call.writes:
            if not call.data.get("key"):
                raise Fault(400, "key is required")
            try:
                return Reply(self.root.update(call.data))
            except Fault as fault:
                raise Fault(500, f"1 error occurred:\n\t* {fault.messages[0]}\n\n") from fault
        raise unsupported_path()

    def metrics(self, query: Mapping[str, str]) -> Reply:
        """What the node measures, as JSON or for Prometheus."""
        core = self.core
        values = {
            "core.unsealed": int(not core.sealed), "core.active": int(not core.standby),
            "token.count": len(core.state.get("tokens", {})), "raft.peers": 1,
            "audit.log_request_failure": 0, "audit.log_response_failure": 0,
        }  # fmt: skip
        form = query.get("format", "")
        if form == "prometheus":
            if not core.config.prometheus:
                raise Fault(400, "prometheus is not enabled")
            lines = []
            for name, value in values.items():
                full = "vault_" + name.replace(".", "_")
                lines.append(f"# HELP {full} {full}\n# TYPE {full} gauge\n{full} {value}\n")
            kind = "text/plain; version=0.0.4; charset=utf-8"
            return Reply(raw="".join(lines).encode(), kind=kind)
        if form:
            text = f'metric response format "{form}" unknown'
            return Reply(raw=text.encode(), kind="text/plain", status=400)
        gauges = [{"Name": f"vault.{n}", "Value": v, "Labels": {}} for n, v in values.items()]
        made = {"Timestamp": stamp(), "Gauges": gauges, "Points": [], "Counters": []}
        return Reply(raw=json.dumps(made).encode())

    def _snapshot(self) -> Reply:
        self.core.flush()
        state = json.dumps(self.core.header).encode()
        meta = {"Version": 1, "ID": "bolt-snapshot", "Index": 1, "Term": 1, "Size": len(state)}
        files = {"meta.json": json.dumps(meta).encode(), "state.bin": state}
        sums = "".join(f"{hashlib.sha256(d).hexdigest()}  {n}\n" for n, d in files.items())
        sealed = hashlib.sha256(sums.encode()).digest()  # the real one encrypts the list itself
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            lists = {"SHA256SUMS": sums.encode(), "SHA256SUMS.sealed": sealed}
            for name, content in {**files, **lists}.items():
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(content), 0o600
                archive.addfile(info, io.BytesIO(content))
        return Reply(raw=out.getvalue(), kind="application/gzip")
