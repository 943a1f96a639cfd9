"""Collects from a host what explains its state, read-only; a part that fails is told and passed by.

Secret files are read for one purpose: to know what must not be found in anything else.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any

from installer.core.compose import LABEL_DEPLOYMENT
from installer.core.deployed import SECTION
from installer.core.errors import InstallError
from installer.core.events import Run, StepProgress
from installer.core.layout import Layout
from installer.core.support import (
    KEPT_STATE,
    Gathered,
    describe_failure,
    hide_environment,
    read_health,
)
from installer.phases.remote import quote, run_root
from installer.ports import Host

STEP = "support.host"
LOG_BYTES = 1024 * 1024
"""The most that is taken of one container's log."""

_FACTS = (
    ("uname", "uname -a"),
    ("os-release", "cat /etc/os-release"),
    ("uptime", "uptime; cat /proc/loadavg"),
    ("memory", "free -m"),
    ("disk", "df -hT; echo; df -i"),
    ("mounts", "cat /proc/mounts"),
    ("time", "date -u; timedatectl"),
    ("addresses", "ip -br address; ip route"),
    ("listening", "ss -Htlnp"),
    ("kernel-log", "dmesg --level=err,warn | tail -n 100"),
    ("engine-version", "docker version; docker compose version"),
    ("engine-info", "docker info"),
    ("engine-disk", "docker system df"),
    ("engine-config", "cat /etc/docker/daemon.json"),
    ("engine-log", "journalctl -u docker -n 200 --no-pager"),
)
"""File name → command; what a host does not have is left out."""

_READ_SECRETS = """
tell() {{
  [ -d "$1" ] || return 0
  cd "$1"
  find . -xdev -type f | while IFS= read -r file; do
    printf '%s %s\\n' "$2/${{file#./}}" "$(base64 -w0 <"$file")"
  done
  cd /
}}
tell {secrets} files
command -v docker >/dev/null 2>&1 || exit 0
docker volume ls -q --filter label={label}={deployment} 2>/dev/null | while IFS= read -r volume; do
  tell "$(docker volume inspect -f '{{{{.Mountpoint}}}}' "$volume")" "$volume"
done
"""


def read_delivered(host: Host, deployment: str, layout: Layout) -> dict[str, str]:
    """Name → content of every secret file that lies in memory on the host.

    Raises:
        RemoteIoError: they cannot be read.
    """
    script = _READ_SECRETS.format(
        secrets=quote(layout.secrets), label=LABEL_DEPLOYMENT, deployment=quote(deployment)
    )
    found: dict[str, str] = {}
    for line in run_root(host, script).text.splitlines():
        name, _, encoded = line.rpartition(" ")
        try:
            found[name] = base64.b64decode(encoded, validate=True).decode("utf-8", "replace")
        except binascii.Error:
            continue
    return found


def collect_host(
    host: Host, deployment: str, layout: Layout, gathered: Gathered, lines: int | None
) -> Run[None]:
    """Everything that a host tells of itself and of the deployment.

    Args:
        host: The target.
        deployment: Its name.
        layout: Where it lies.
        gathered: Takes what is found.
        lines: Of each container's log; None leaves logs out, and the caller says why.
    """
    parts: tuple[tuple[str, Callable[[], None]], ...] = (
        ("host", lambda: _collect_facts(host, gathered)),
        ("target/state", lambda: _collect_state(host, layout, gathered)),
        ("target/release", lambda: _collect_release(host, layout, gathered)),
        ("containers", lambda: _collect_containers(host, deployment, gathered, lines)),
    )
    for number, (name, collect) in enumerate(parts):
        yield StepProgress(STEP, number, len(parts), name)
        try:
            collect()
        except InstallError as error:
            gathered.leave(name, describe_failure(error.problems[0]))
    yield StepProgress(STEP, len(parts), len(parts))


def _collect_facts(host: Host, gathered: Gathered) -> None:
    script = "\n".join(
        f"printf '\\n%s%s\\n' '{SECTION}' {name}\n( {command} ) 2>/dev/null </dev/null || :"
        for name, command in _FACTS
    )
    for name, text in _sections(run_root(host, script, timeout_s=120).text).items():
        gathered.add(f"host/{name}.txt", text)


def _collect_state(host: Host, layout: Layout, gathered: Gathered) -> None:
    state = quote(layout.state)
    script = f"cd {state} 2>/dev/null || exit 0\nprintf '\\n%s%s\\n' '{SECTION}' .names; ls -A1\n"
    script += "\n".join(
        f"if [ -f {name} ]; then printf '\\n%s%s\\n' '{SECTION}' {name}; cat {name}; fi"
        for name in KEPT_STATE
    )
    sections = _sections(run_root(host, script).text)
    for name in sections.pop(".names", "").split():
        if name not in KEPT_STATE:
            gathered.leave(f"target/state/{name}", "may hold keys, or is no help")
    for name, text in sections.items():
        gathered.add(f"target/state/{name}", text)


def _collect_release(host: Host, layout: Layout, gathered: Gathered) -> None:
    script = f"ls -lA {quote(layout.install_dir)} {quote(layout.releases)} 2>/dev/null || :\n"
    for name in ("manifest.json", "compose.yaml"):
        path = quote(f"{layout.current}/{name}")
        script += f"printf '\\n%s%s\\n' '{SECTION}' {name}; cat {path} 2>/dev/null || :\n"
    text = run_root(host, script).text
    gathered.add("target/listing.txt", text.partition(SECTION)[0])
    for name, content in _sections(text).items():
        gathered.add(f"target/release/{name}", content)
    gathered.leave("target/compose.override.yaml", "yours, and may hold anything; add it by hand")
    gathered.leave("target/secrets", "secrets are never collected")


def _collect_containers(host: Host, deployment: str, gathered: Gathered, lines: int | None) -> None:
    mine = f"--filter label={LABEL_DEPLOYMENT}={quote(deployment)}"
    listing = run_root(host, f"docker ps -a --no-trunc {mine}").text
    gathered.add("containers/ps.txt", listing)
    inspect = f"docker ps -aq {mine} | xargs -r docker inspect"
    text = run_root(host, inspect).text
    documents: list[dict[str, Any]] = json.loads(text) if text.strip() else []
    networks = f"docker network ls -q {mine} | xargs -r docker network inspect"
    gathered.add("containers/networks.json", run_root(host, networks).text)
    for document, hidden in zip(documents, hide_environment(documents), strict=True):
        health = read_health(document)
        folder = f"containers/{health['name']}"
        gathered.add(f"{folder}/inspect.json", json.dumps(hidden, indent=1))
        gathered.add(f"{folder}/health.json", json.dumps(health, indent=1))
        if lines is not None:
            _collect_log(host, str(document["Id"]), f"{folder}/log.txt", gathered, lines)


def _collect_log(host: Host, name: str, path: str, gathered: Gathered, lines: int) -> None:
    script = (
        f"docker logs --timestamps --tail {lines} {quote(name)} 2>&1 | tail -c {LOG_BYTES} || :"
    )
    try:
        gathered.add(path, run_root(host, script).text)
    except InstallError as error:
        gathered.leave(path, describe_failure(error.problems[0]))


def _sections(text: str) -> dict[str, str]:
    parts = (part.partition("\n") for part in text.split(SECTION)[1:])
    return {name.strip(): body for name, _, body in parts}
