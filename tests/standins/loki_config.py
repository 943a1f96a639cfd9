"""What Loki takes in its configuration file: names of sections and fields with the form of their
values, those that the platform uses and their neighbours. Everything else is refused, as Loki does.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from standin import Refused, check_duration

SIZE = r"\d+(B|KB|MB|GB|KiB|MiB|GiB)?"
KV: dict[str, Any] = {"kvstore": {"store": "text", "prefix": "text"}, "heartbeat_period": "time"}
FILESYSTEM: dict[str, Any] = {"chunks_directory": "text", "rules_directory": "text"}
LIMITS: dict[str, Any] = {
    "ingestion_rate_mb": "number", "ingestion_burst_size_mb": "number",
    "ingestion_rate_strategy": "text", "max_line_size": "size", "max_line_size_truncate": "bool",
    "max_label_name_length": "number", "max_label_value_length": "number",
    "max_label_names_per_series": "number", "reject_old_samples": "bool",
    "reject_old_samples_max_age": "time", "creation_grace_period": "time",
    "max_streams_per_user": "number", "max_global_streams_per_user": "number",
    "unordered_writes": "bool", "per_stream_rate_limit": "size",
    "per_stream_rate_limit_burst": "size", "max_chunks_per_query": "number",
    "max_query_series": "number", "max_query_lookback": "time", "max_query_length": "time",
    "max_query_parallelism": "number", "max_entries_limit_per_query": "number",
    "query_timeout": "time", "split_queries_by_interval": "time", "retention_period": "time",
    "retention_stream": [{"selector": "text", "priority": "number", "period": "time"}],
    "allow_structured_metadata": "bool", "volume_enabled": "bool", "discover_log_levels": "bool",
    "deletion_mode": "text", "ruler_max_rules_per_rule_group": "number",
    "ruler_max_rule_groups_per_tenant": "number",
}  # fmt: skip
FIELDS: dict[str, Any] = {
    "target": "text",
    "auth_enabled": "bool",
    "server": {
        "http_listen_address": "text", "http_listen_port": "number",
        "grpc_listen_address": "text", "grpc_listen_port": "number", "log_level": "text",
        "log_format": "text", "graceful_shutdown_timeout": "time",
        "grpc_server_max_recv_msg_size": "number",
    },
    "common": {
        "path_prefix": "text", "replication_factor": "number", "instance_addr": "text",
        "storage": {"filesystem": FILESYSTEM, "s3": {"endpoint": "text", "bucketnames": "text"}},
        "ring": KV, "compactor_address": "text",
    },
    "schema_config": {"configs": [{
        "from": "text", "store": "text", "object_store": "text", "schema": "text",
        "index": {"prefix": "text", "period": "time"},
        "chunks": {"prefix": "text", "period": "time"},
    }]},
    "storage_config": {"filesystem": {"directory": "text"}, "tsdb_shipper": {
        "active_index_directory": "text", "cache_location": "text"}},
    "ingester": {
        "wal": {"enabled": "bool", "dir": "text", "replay_memory_ceiling": "size",
                "flush_on_shutdown": "bool", "checkpoint_duration": "time"},
        "chunk_idle_period": "time", "max_chunk_age": "time", "chunk_encoding": "text",
    },
    "compactor": {
        "working_directory": "text", "compaction_interval": "time", "retention_enabled": "bool",
        "retention_delete_delay": "time", "delete_request_store": "text",
        "retention_delete_worker_count": "number",
    },
    "limits_config": LIMITS,
    "ruler": {
        "storage": {"type": "text", "local": {"directory": "text"}}, "rule_path": "text",
        "alertmanager_url": "text", "external_url": "text", "evaluation_interval": "time",
        "poll_interval": "time", "enable_api": "bool", "enable_alertmanager_v2": "bool",
        "ring": KV, "external_labels": {"*": "text"},
    },
    "querier": {"max_concurrent": "number", "query_ingesters_within": "time"},
    "query_range": {"align_queries_with_step": "bool", "cache_results": "bool"},
    "frontend": {"encoding": "text", "max_outstanding_per_tenant": "number"},
    "pattern_ingester": {"enabled": "bool"},
    "memberlist": {"join_members": ["text"]},
    "analytics": {"reporting_enabled": "bool"},
    "tracing": {"enabled": "bool"},
}  # fmt: skip


def read_config(path: Path) -> dict[str, Any]:
    """The configuration.

    Raises:
        Refused: Loki would not start with it.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise Refused(f"failed parsing config: {path}: {error}") from error
    if not isinstance(document, dict):
        raise Refused(f"failed parsing config: {path}: no mapping")
    _check(document, FIELDS, "")
    _check_together(document)
    return document


def _check(value: Any, form: Any, where: str) -> None:
    if isinstance(form, dict):
        if not isinstance(value, dict):
            raise Refused(f"failed parsing config: {where}: cannot unmarshal {value!r} into struct")
        for name, inner in value.items():
            wanted = form.get(name, form.get("*"))
            if wanted is None:
                raise Refused(f"failed parsing config: field {name} not found in {where or 'root'}")
            _check(inner, wanted, f"{where}.{name}".lstrip("."))
    elif isinstance(form, list):
        if not isinstance(value, list):
            raise Refused(f"failed parsing config: {where}: cannot unmarshal {value!r} into list")
        for inner in value:
            _check(inner, form[0], f"{where}[]")
    elif not _has_form(value, form, where):
        raise Refused(f"failed parsing config: {where}: cannot unmarshal {value!r} into {form}")


def _has_form(value: Any, form: str, where: str) -> bool:
    if form == "time":
        text = re.sub(r"(\d+)([dwy])", "1h", str(value))  # Prometheus' units, of any length
        check_duration(where, text)
        return True
    if form == "size":
        return bool(re.fullmatch(SIZE, str(value)))
    wanted: dict[str, tuple[type, ...]] = {
        "bool": (bool,), "number": (int, float), "text": (str, int, float),
    }  # fmt: skip
    return isinstance(value, wanted[form]) and (form == "bool" or not isinstance(value, bool))


def _check_together(document: dict[str, Any]) -> None:
    periods = (document.get("schema_config") or {}).get("configs") or []
    if not periods:
        raise Refused("no schema config provided")
    limits, compactor = document.get("limits_config") or {}, document.get("compactor") or {}
    for period in periods:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", str(period.get("from"))):
            raise Refused(f"schema_config: from: {period.get('from')!r} is no day")
        if limits.get("allow_structured_metadata", True) and (
            period.get("schema") != "v13" or period.get("store") != "tsdb"
        ):
            raise Refused("CONFIG ERROR: schema v13 is required to store Structured Metadata")
    if compactor.get("retention_enabled") and not compactor.get("delete_request_store"):
        raise Refused(
            "CONFIG ERROR: invalid compactor config: compactor.delete-request-store should be"
            " configured when retention is enabled"
        )
