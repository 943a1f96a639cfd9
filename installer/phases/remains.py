"""Reads what of a deployment lies on a host, in one read-only command."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from installer.core.compose import LABEL_DEPLOYMENT
from installer.core.deployed import SECTION
from installer.core.errors import ContainerRuntimeError, Problem, Remedy
from installer.core.layout import Layout
from installer.core.removal import Found, Thing
from installer.phases.host_changes import record_path
from installer.phases.remote import quote, run_root
from installer.ports import Host

_PROJECT = "com.docker.compose.project"
_FILES = "com.docker.compose.project.config_files"

_SCRIPT = """
say() {{ printf '\\n%s%s\\n' '{section}' "$1"; }}
say entries; ls -A1 {install} 2>/dev/null || :
say state; ls -A1 {state} 2>/dev/null || :
say drills; ls -A1 {install}/drills 2>/dev/null || :
say data; ls -A1 {data} 2>/dev/null || :
say mounted; if mountpoint -q {secrets}; then echo yes; fi
say changes; cat {record} 2>/dev/null || :
for manifest in {releases}/*/manifest.json; do
  [ -f "$manifest" ] || continue
  say "release $(basename "$(dirname "$manifest")")"; cat "$manifest"
done
command -v docker >/dev/null 2>&1 || exit 0
if ! docker version >/dev/null 2>&1; then say engine; echo silent; exit 0; fi
say engine; echo answers
say containers; docker ps -a --no-trunc --format '{{{{.ID}}}}\t{{{{.Names}}}}\t{labels}\t{files}'
say networks; docker network ls --no-trunc --format '{{{{.ID}}}}\t{{{{.Name}}}}\t{labels}'
say users; docker network ls -q --no-trunc | xargs -r docker network inspect \
  -f '{{{{.Id}}}}{{{{range $id, $c := .Containers}}}} {{{{$id}}}}{{{{end}}}}' 2>/dev/null || :
say volumes; docker volume ls --format '{{{{.Name}}}}\t{{{{.Name}}}}\t{labels}'
"""


def read_found(host: Host, layout: Layout) -> Found:
    """What lies on the host, ours or not.

    Raises:
        ContainerRuntimeError: there is an engine, and it does not answer.
        RemoteIoError: the host cannot be read.
    """
    labels = "\t".join(f'{{{{.Label "{name}"}}}}' for name in (LABEL_DEPLOYMENT, _PROJECT))
    script = _SCRIPT.format(
        section=SECTION,
        install=quote(layout.install_dir),
        state=quote(layout.state),
        data=quote(layout.data_dir),
        secrets=quote(layout.secrets),
        record=quote(record_path(layout)),
        releases=quote(layout.releases),
        labels=labels,
        files=f'{{{{.Label "{_FILES}"}}}}',
    )
    found, wanted = parse_found(run_root(host, script).text, host.name)
    if not (found.engine and wanted):
        return found
    tests = (
        f"if docker image inspect {quote(ref)} >/dev/null 2>&1; then echo {quote(ref)}; fi"
        for ref in sorted(wanted)
    )
    return replace(found, images=tuple(run_root(host, "\n".join(tests)).text.split()))


def parse_found(text: str, host: str) -> tuple[Found, frozenset[str]]:
    """Read the output of the script; with it the images that the releases there name.

    Raises:
        ContainerRuntimeError: the engine does not answer.
    """
    sections: dict[str, str] = {}
    for part in text.split(SECTION)[1:]:
        name, _, body = part.partition("\n")
        sections[name.strip()] = body
    engine = sections.get("engine", "").strip()
    if engine == "silent":
        raise ContainerRuntimeError(_silent(host))
    users = {first: tuple(rest) for first, *rest in _words(sections.get("users", ""))}
    images = [
        _mapping(body).get("images", {})
        for name, body in sections.items()
        if name.startswith("release ")
    ]
    wanted = frozenset(str(reference) for each in images for reference in each.values())
    record = _mapping(sections.get("changes", ""))
    found = Found(
        engine=engine == "answers",
        containers=_things(sections.get("containers", "")),
        networks=tuple(
            Thing(t.id, t.name, t.owner, t.project, users=users.get(t.id, ()))
            for t in _things(sections.get("networks", ""))
        ),
        volumes=_things(sections.get("volumes", "")),
        entries=_lines(sections, "entries"),
        data=_lines(sections, "data"),
        state=_lines(sections, "state"),
        drills=_lines(sections, "drills"),
        mounted=bool(sections.get("mounted", "").strip()),
        changes={kind: facts for kind, facts in record.items() if isinstance(facts, dict)},
        services=frozenset(name for each in images for name in each),
    )
    return found, wanted


def _things(text: str) -> tuple[Thing, ...]:
    rows = ([*line.split("\t"), ""] for line in text.splitlines() if line.count("\t") > 2)
    return tuple(
        Thing(row[0].strip(), row[1].strip(), row[2].strip(), row[3].strip(), row[4].strip())
        for row in rows
    )


def _lines(sections: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(line for line in sections.get(name, "").splitlines() if line)


def _words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.split()]


def _mapping(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text) if text.strip() else {}
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _silent(host: str) -> Problem:
    return Problem(
        "uninstall.engine_silent",
        "the container engine does not answer, so it cannot be seen what runs and whose it is",
        Remedy(
            "start it, then run again; nothing was changed",
            ("sudo systemctl start docker", "docker version"),
        ),
        where=posixpath.join(host, "docker"),
    )
