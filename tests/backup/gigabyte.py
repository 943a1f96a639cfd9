"""By hand, not in the gate: a round trip with 1 GB of rows, timed.

    python -m tests.backup.gigabyte

Needs root, PostgreSQL's programs and about 7 GB below /tmp. Prints what each step took; ends with a
status other than 0 when what was restored differs.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from installer.core.secrets import Secret
from tests.backup.programs import find_programs as find_backup_programs
from tests.backup.test_database import drill
from tests.backup.world import World
from tests.phases.postgres import Cluster, find_programs, run_cluster

ROWS = 1_000_000
ROW_BYTES = 1024
FILL = (
    "CREATE TABLE big (id bigint, body text);"
    "INSERT INTO big SELECT n, (SELECT string_agg(md5(n::text || k::text || random()::text), '')"
    f" FROM generate_series(1, {ROW_BYTES // 32}) AS k) FROM generate_series(1, {{rows}}) AS n"
)


def main(rows: int = ROWS) -> int:
    with run_cluster() as cluster, tempfile.TemporaryDirectory(prefix="devplat-gb-") as folder:
        return round_trip(cluster, Path(folder), rows)


def round_trip(cluster: Cluster, folder: Path, rows: int) -> int:
    clock = Clock()
    cluster.superuser("CREATE DATABASE coder")
    cluster.superuser(FILL.format(rows=rows), "coder")
    size = int(cluster.superuser("SELECT pg_database_size('coder')"))
    clock.lap(f"fill {size} bytes")
    password = Secret("correct-horse-9")
    login = f"CREATE ROLE backup_x LOGIN PASSWORD '{password.reveal()}'"
    cluster.superuser(f"{login} IN ROLE pg_read_all_data")
    rules = cluster.folder / "data/pg_hba.conf"
    rule = "host all +pg_read_all_data 127.0.0.1/32 scram-sha-256"
    rules.write_text(f"{rules.read_text()}\n{rule}\n")
    cluster.superuser("SELECT pg_reload_conf()")
    world = World(folder / "world", find_backup_programs(), parts=("database",))
    try:
        passfile = world.root / "pgpass"
        passfile.write_text(f"*:*:*:backup_x:{password.reveal()}\n")
        passfile.chmod(0o600)
        world.serve(
            "database", "backup-database", PGHOST="127.0.0.1", PGPORT=str(cluster.port),
            PGPASSFILE=str(passfile), PATH=f"{find_programs()}:{os.environ['PATH']}",
        )  # fmt: skip
        status, told = world.backup()
        clock.lap(f"backup, status {status}")
        if status:
            sys.stderr.write(told)
            return status
        print(json.dumps({k: v for k, v in world.manifest()["parts"][0].items() if k != "facts"}))
        print(world.fetch("drill"))
        clock.lap("fetch and compare the checksum")
        done = drill(world)
        clock.lap(f"restore and compare rows, status {done.returncode}: {done.stdout}{done.stderr}")
        return done.returncode
    finally:
        world.close()


class Clock:
    def __init__(self) -> None:
        self.at = time.monotonic()

    def lap(self, what: str) -> None:
        print(f"{time.monotonic() - self.at:7.1f} s  {what}", flush=True)
        self.at = time.monotonic()


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
