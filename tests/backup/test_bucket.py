"""A bucket as the place: everything that a directory does, over S3. BK-03, BK-06, BK-07."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.backup.world import World

pytestmark = pytest.mark.slow


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


@pytest.fixture
def bucket(tmp_path: Path, programs: Path, data: Path, address: str) -> Iterator[World]:
    """A world whose repository is in a bucket; the keys are in a file, as the product has them."""
    keys = tmp_path / "bucket_key"
    keys.write_text("[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = secret\n")
    client = boto3.client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id="AKIATEST",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket="company-backups")
    place = {
        "RESTIC_REPOSITORY": f"s3:{address}/company-backups/devplat",
        "AWS_SHARED_CREDENTIALS_FILE": str(keys),
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    made = World(tmp_path / "world", programs, environment=place)
    try:
        made.serve_files(data)
        yield made
    finally:
        made.close()
        client.close()


def test_a_backup_goes_to_a_bucket_and_comes_back(bucket: World, address: str) -> None:
    status, told = bucket.backup()
    assert status == 0, told
    assert not list(bucket.repository.iterdir())
    assert bucket.fetch("drill") == {"state": "ready", "why": ""}
    fetched = (bucket.root / "scratch/drill/files.tar").read_bytes()
    assert len(fetched) == bucket.manifest()["parts"][0]["size"]
    elsewhere = f"s3:{address}/company-backups/another"
    status, told = bucket.backup(RESTIC_REPOSITORY=elsewhere)
    assert status != 0
    assert "the repository is gone" in told
