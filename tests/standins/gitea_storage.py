"""Where Gitea's stand-in keeps objects: the settings of `[storage]`, and the bucket behind them."""

from __future__ import annotations

import configparser

import s3
from standin import Refused, parse_bool

KEYS = frozenset(
    """
    STORAGE_TYPE SERVE_DIRECT PATH MINIO_ENDPOINT MINIO_ACCESS_KEY_ID MINIO_SECRET_ACCESS_KEY
    MINIO_IAM_ENDPOINT MINIO_BUCKET MINIO_LOCATION MINIO_BASE_PATH MINIO_USE_SSL
    MINIO_INSECURE_SKIP_VERIFY MINIO_CHECKSUM_ALGORITHM MINIO_BUCKET_LOOKUP_TYPE
    AZURE_BLOB_ENDPOINT AZURE_BLOB_ACCOUNT_NAME AZURE_BLOB_ACCOUNT_KEY AZURE_BLOB_CONTAINER
    AZURE_BLOB_BASE_PATH
    """.split()
)


def check_storage(ini: configparser.ConfigParser) -> None:
    """Refuse to run without the bucket, as Gitea does: its key may not make one.

    Raises:
        Refused: for a setting that is none, or with what the store says.
    """
    if not ini.has_section("storage"):
        return
    told = dict(ini["storage"])
    if unknown := sorted(told.keys() - KEYS):
        raise Refused(f"[storage] {unknown[0]} is no setting")
    kind = told.get("STORAGE_TYPE", "local")
    if kind == "local":
        return
    if kind != "minio":
        raise Refused(f"[storage] STORAGE_TYPE: unsupported storage type {kind!r}")
    if told.get("MINIO_BUCKET_LOOKUP_TYPE", "auto") not in ("auto", "dns", "path"):
        raise Refused("invalid minio bucket lookup type: " + told["MINIO_BUCKET_LOOKUP_TYPE"])
    scheme = "https" if parse_bool("MINIO_USE_SSL", told.get("MINIO_USE_SSL", "false")) else "http"
    keys = (told.get("MINIO_ACCESS_KEY_ID", ""), told.get("MINIO_SECRET_ACCESS_KEY", ""))
    url = f"{scheme}://{told.get('MINIO_ENDPOINT', '')}/{told.get('MINIO_BUCKET', '')}"
    s3.require_bucket(url, keys, told.get("MINIO_LOCATION", "us-east-1"))
