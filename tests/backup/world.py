"""A backup on this machine: the rendered scripts and the real restic, no container."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from installer.core.bundle import Bundle
from installer.core.rendering import render
from installer.stacks import load_templates
from tests.stacks.builders import BASE, ROOT, load, make_plan_for

ANSWERS: dict[str, Any] = {
    "monitoring": {"enabled": False},
    "backup": {"enabled": True, "place": "path", "passphrase": "env:PASS"},
    "waivers": {**BASE["waivers"], "backup.same_host": "these tests"},
}
PATIENCE_S = 60


@functools.cache
def bundle() -> Bundle:
    """What the product renders with backups to a directory."""
    plan = make_plan_for(load(), "no-secret-server", ANSWERS)
    return render(plan, load_templates(ROOT, load()))


def wait_for(path: Path) -> Path:
    """A file that another process is about to make."""
    end = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.02)  # another process is waited for
    return path


@dataclass
class World:
    """One backup, its repository and the parts that are served to it."""

    root: Path
    programs: Path
    parts: tuple[str, ...] = ("files",)
    environment: dict[str, str] = field(default_factory=dict)
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("state", "parts", "scratch", "metrics", "repository", "tmp"):
            (self.root / name).mkdir(parents=True)
        for path, file in bundle().files.items():
            if path.startswith(("backup/", "backup-database/", "backup-files-gitea/")):
                target = self.root / path
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(file.data)
        (self.etc / "parts").write_text("".join(f"{part}\n" for part in self.parts))
        (self.etc / "manifest.json").write_bytes(bundle().files["manifest.json"].data)
        self.passphrase.write_text("correct horse battery staple")

    @property
    def etc(self) -> Path:
        return self.root / "backup"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def passphrase(self) -> Path:
        return self.root / "passphrase"

    @property
    def repository(self) -> Path:
        return self.root / "repository"

    def spool(self, part: str) -> Path:
        return self.root / "parts" / part

    def settings(self, **more: str) -> dict[str, str]:
        return {
            "PATH": f"{self.programs}",
            "BACKUP_ROOT": str(self.root),
            "BACKUP_ETC": str(self.etc),
            "BACKUP_LOCK_WAIT": "5s",
            "BACKUP_RESULT_WAIT": "3",
            "BACKUP_HEARTBEAT": str(self.root / "heartbeat"),
            "BACKUP_RELEASES": str(self.etc),
            "RESTIC_REPOSITORY": str(self.repository),
            "RESTIC_PASSWORD_FILE": str(self.passphrase),
            "HOME": str(self.root / "tmp"),
            **self.environment,
            **more,
        }

    def start(self, *argv: str, **environment: str) -> subprocess.Popen[bytes]:
        """A program of the backup in a group of its own."""
        child = subprocess.Popen(
            argv, env=self.settings(**environment), cwd=self.root, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.children.append(child)
        return child

    def call(self, script: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Run a script of the backup to its end."""
        child = self.start("sh", str(self.etc / script), *arguments, **environment)
        out, err = child.communicate(timeout=300)
        return child.returncode, out.decode(), err.decode()

    def backup(self, **environment: str) -> tuple[int, str]:
        status, _, narration = self.call("run.sh", **environment)
        return status, narration

    def restic_bytes(self, *argv: str, stdin: bytes = b"") -> bytes:
        """restic itself, as an operator would use it."""
        program = str(self.programs / "restic")
        done = subprocess.run(
            [program, *argv], env=self.settings(), input=stdin, capture_output=True, check=True
        )
        return done.stdout

    def restic(self, *argv: str) -> str:
        return self.restic_bytes(*argv).decode()

    def manifest_snapshot(self, run: str) -> str:
        (found,) = [
            s["id"] for s in self.snapshots() if {f"run:{run}", "part:complete"} <= set(s["tags"])
        ]
        return str(found)

    def forget_manifest(self, run: str) -> None:
        self.restic("forget", self.manifest_snapshot(run))

    def store_manifest(self, run: str, manifest: dict[str, Any]) -> None:
        self._store(run, "complete", "manifest.json", json.dumps(manifest).encode())

    def store_part(self, run: str, content: bytes) -> str:
        """Another run's part, of this content; returns its snapshot."""
        return self._store(run, "files", "files.tar", content)

    def _store(self, run: str, part: str, name: str, content: bytes) -> str:
        tags = ("--tag", f"run:{run}", "--tag", f"part:{part}")
        told = self.restic_bytes(
            "backup", "--json", "--host", "devplat", *tags, "--stdin", "--stdin-filename", name,
            stdin=content,
        )  # fmt: skip
        return str(json.loads(told.splitlines()[-1])["snapshot_id"])

    def snapshots(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.restic("snapshots", "--json"))
        return found

    def complete(self) -> list[str]:
        """The runs that count, by their manifests."""
        tags = [s["tags"] for s in self.snapshots() if "part:complete" in s["tags"]]
        return sorted(next(tag for tag in t if tag.startswith("run:"))[4:] for t in tags)

    def serve(self, part: str, folder: str, **environment: str) -> None:
        """Serve a part with the program of its service, from a directory of its own."""
        spool = self.spool(part)
        spool.mkdir(exist_ok=True)
        scripts = self.root / folder
        more = {"BACKUP_SPOOL": str(spool), **environment}
        with (self.root / f"{part}.log").open("ab") as log:
            child = subprocess.Popen(
                ["sh", str(scripts / "serve.sh"), str(scripts / "part.sh")],
                env={**self.settings(), **more}, cwd=self.root, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        self.children.append(child)
        wait_for(spool / "stream")

    def serve_files(self, data: Path, part: str = "files") -> None:
        self.serve(part, "backup-files-gitea", BACKUP_DATA=str(data))

    def fetch(self, name: str, run: str = "newest", *part: str) -> dict[str, str]:
        self.call("ctl.sh", "fetch", name, run, *part)
        told = self.root / "scratch" / name / "fetch.json"
        end = time.monotonic() + PATIENCE_S
        while True:
            found: dict[str, str] = json.loads(told.read_text() or "{}")
            if found.get("state", "running") != "running":
                return found
            assert time.monotonic() < end, found
            time.sleep(0.05)  # it runs on its own

    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state / "newest").read_text())
        return found

    def last(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state / "last").read_text())
        return found

    def metrics(self) -> Mapping[str, float]:
        text = (self.root / "metrics/devplat_backup.prom").read_text()
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    def close(self) -> None:
        for child in self.children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            for stream in (child.stdout, child.stderr):
                if stream:
                    stream.close()
