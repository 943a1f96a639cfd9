"""Workspace templates of the stand-in for Coder: reads the HCL of a template and refuses what the
two providers would refuse, or would silently make useless. The parser knows blocks, arguments and
strings; an expression is kept as its text.
"""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from standin import Answer, App, Refused, Request, say

# terraform-provider-docker v4.5.0, terraform-provider-coder v2.17.0: what a block may have in it.
KNOWN: Mapping[str, set[str]] = {
    "docker_container": set(
        "count name image hostname user entrypoint command env cpus cpu_shares memory memory_swap"
        " init read_only security_opts capabilities tmpfs ulimit log_driver log_opts"
        " networks_advanced"
        " volumes upload labels host restart runtime shm_size ipc_mode pid_mode must_run dynamic"
        " lifecycle depends_on working_dir dns".split()
    ),
    "docker_network": set(
        "name driver options labels internal ipam_config check_duplicate".split()
    ),
    "docker_volume": set("name driver driver_opts labels lifecycle".split()),
    "docker_image": set("name keep_locally force_remove pull_triggers triggers platform".split()),
    "coder_agent": set(
        "arch os dir auth env startup_script shutdown_script display_apps metadata order"
        " connection_timeout motd_file".split()
    ),
    "display_apps": set(
        "vscode vscode_insiders web_terminal ssh_helper port_forwarding_helper".split()
    ),
    "capabilities": {"add", "drop"},
    "provider.docker": set(
        "host context ssh_opts ca_material cert_material key_material cert_path registry_auth"
        " disable_docker_daemon_check".split()
    ),
    "data.coder_parameter": set(
        "name display_name description type default mutable ephemeral form_type icon order"
        " styling option validation dynamic".split()
    ),
}
TOP = {"terraform", "provider", "variable", "data", "resource", "locals", "output", "module"}


@dataclass
class Block:
    """One block: its labels, its arguments as text, the blocks in it."""

    kind: str
    labels: tuple[str, ...]
    arguments: dict[str, str] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    def all(self, kind: str) -> list[Block]:
        """The blocks of a kind that lie directly in it."""
        return [block for block in self.blocks if block.kind == kind]


def parse(text: str, name: str = "main.tf") -> Block:
    """The blocks of a file.

    Raises:
        Refused: where it is no HCL.
    """
    text = re.sub(r"(?m)^\s*(#|//).*$", "", text)
    root, rest = _body(text, name, Block("", ()))
    if rest.strip():
        raise Refused(f"{name}: unexpected {rest.strip()[:20]!r}")
    return root


def _body(text: str, name: str, block: Block) -> tuple[Block, str]:
    while True:
        text = text.lstrip()
        if not text or text.startswith("}"):
            return block, text
        if match := re.match(r'([\w-]+)((?:\s+"[^"]*")*)\s*\{', text):
            labels = tuple(re.findall(r'"([^"]*)"', match[2]))
            inner, text = _body(text[match.end() :], name, Block(match[1], labels))
            if not text.startswith("}"):
                raise Refused(f"{name}: {match[1]} is not closed")
            block.blocks.append(inner)
            text = text[1:]
        elif match := re.match(r'("[^"]*"|[\w-]+)\s*=(?!=)\s*', text):
            value, text = _expression(text[match.end() :], name)
            if match[1] in block.arguments:
                raise Refused(f"{name}: {match[1]} is set twice")
            block.arguments[match[1]] = value
        else:
            raise Refused(f"{name}: unexpected {text[:20]!r}")


def _expression(text: str, name: str) -> tuple[str, str]:
    """Up to the end of the line on which all brackets are closed; heredocs as a whole."""
    if heredoc := re.match(r"<<-?(\w+)\n(.*?)\n\s*\1[ \t]*(\n|$)", text, re.S):
        return heredoc[2], text[heredoc.end() :]
    depth, index = 0, 0
    while index < len(text):
        char = text[index]
        if char == '"':
            string = re.match(r'"(\\.|\$\{[^}]*\}|[^"\\])*"', text[index:])
            if string is None:
                raise Refused(f"{name}: a string is not closed")
            index += string.end()
            continue
        if char in "}\n" and not depth:
            break
        depth += (char in "([{") - (char in ")]}")
        index += 1
    if depth:
        raise Refused(f"{name}: a bracket is not closed")
    return text[:index].strip().rstrip(","), text[index:]


def check_template(files: Mapping[str, str]) -> None:
    """Refuse a template that could not be built, or whose limits would not limit.

    Raises:
        Refused: with the first thing that is wrong.
    """
    parsed = {name: parse(text, name) for name, text in files.items() if name.endswith(".tf")}
    tops = [block for root in parsed.values() for block in root.blocks]
    if unknown := sorted({block.kind for block in tops} - TOP):
        raise Refused(f"Unsupported block type {unknown[0]!r}")
    for block in tops:
        _check_names(block, _kind_of(block))
    text = "\n".join(files.values())
    _check_references(tops, text)
    if not any(b.kind == "resource" and b.labels[0] == "coder_agent" for b in tops):
        raise Refused("the template has no coder_agent")
    for block in tops:
        if block.kind == "resource" and block.labels[0] == "docker_container":
            for wrong in find_weak_limits(block):
                raise Refused(f"docker_container.{block.labels[1]}: {wrong}")


def _kind_of(block: Block) -> str:
    """Key of `KNOWN` for a block at the top."""
    if block.kind == "resource":
        return block.labels[0]
    return f"{block.kind}.{block.labels[0]}" if block.kind in ("provider", "data") else block.kind


def _check_names(block: Block, kind: str) -> None:
    known = KNOWN.get(kind)
    names = {*block.arguments, *(inner.kind for inner in block.blocks)}
    if known is not None and (unknown := sorted(names - known)):
        raise Refused(f"{kind}: an argument named {unknown[0]!r} is not expected here")
    for inner in block.blocks:
        _check_names(inner, inner.kind)


def _check_references(tops: list[Block], text: str) -> None:
    variables = {b.labels[0] for b in tops if b.kind == "variable"}
    for name in sorted(set(re.findall(r"\bvar\.(\w+)", text)) - variables):
        raise Refused(f"Reference to undeclared input variable {name!r}")
    places = {f"{b.labels[0]}.{b.labels[1]}" for b in tops if b.kind == "resource"}
    for found in sorted(set(re.findall(r"\b((?:docker|coder)_\w+\.\w+)", text))):
        if found not in places and f"data.{found}" not in text:
            raise Refused(f"Reference to undeclared resource {found!r}")


def find_weak_limits(container: Block) -> Iterator[str]:
    """What the providers would take and the engine would not limit by, or not start with."""
    get = container.arguments.get
    for name in ("memory", "memory_swap"):
        value = get(name, "")
        if not value:
            yield f"{name} is not limited"
        elif value.count("1024") != 1:
            yield f"{name} is in MB: {value}"
    if not get("cpus"):
        yield "cpus is not set; cpu_shares limit nothing"
    if get("read_only") != "true":
        yield "the root is writable"
    if "no-new-privileges:true" not in get("security_opts", ""):
        yield "no-new-privileges is missing"
    if not any('"ALL"' in c.arguments.get("drop", "") for c in container.all("capabilities")):
        yield "capabilities are not dropped"
    scratch = re.search(r'"/tmp"\s*=\s*"([^"]*)"', get("tmpfs", ""))
    if scratch is None or "exec" not in scratch[1].split(","):
        yield "/tmp is noexec: the agent is started from there"
    if not container.all("networks_advanced"):
        yield "it is on the engine's default network, with every other container"


SCHEMA = """CREATE TABLE IF NOT EXISTS template_versions (
  template text NOT NULL, name text NOT NULL, active integer NOT NULL)"""


class Templates:
    """Templates and their versions, in the database."""

    def __init__(self, query: Callable[..., list[tuple[Any, ...]]]) -> None:
        self.query = query
        query(SCHEMA)

    def has(self, template: str, name: str) -> bool:
        """Whether there is such a version."""
        found = self.query(
            "SELECT 1 FROM template_versions WHERE template=%s AND name=%s", template, name
        )
        return bool(found)

    def active(self, template: str) -> str | None:
        """The version that new workspaces get."""
        rows = self.query(
            "SELECT name FROM template_versions WHERE template=%s AND active=1", template
        )
        return str(rows[0][0]) if rows else None

    def activate(self, template: str, name: str) -> None:
        """Make a version the active one."""
        self.query("UPDATE template_versions SET active=0 WHERE template=%s", template)
        self.query(
            "UPDATE template_versions SET active=1 WHERE template=%s AND name=%s", template, name
        )

    def add_routes(self, app: App, is_signed_in: Any) -> None:
        """What the CLI and an installer ask."""

        def guarded(body: Any) -> Any:
            def answer(request: Request) -> Answer:
                if not is_signed_in(request):
                    return Answer(401, {"message": "You are signed out."})
                return body(request)

            return answer

        organisation = "/api/v2/organizations/default/templates"
        app.add("GET", f"{organisation}/[^/]+", guarded(self._template))
        app.add("GET", f"{organisation}/[^/]+/versions/[^/]+", guarded(self._version))
        app.add("GET", "/api/v2/templateversions/[^/]+", guarded(self._version_by_id))
        app.add("POST", "/stand-in/templates/[^/]+", guarded(self._push))

    def _template(self, request: Request) -> Answer:
        name = request.path.split("/")[-1]
        active = self.active(name)
        if active is None:
            return Answer(404, {"message": "Resource not found or you do not have access."})
        return Answer(body={"name": name, "active_version_id": f"{name}.{active}"})

    def _version(self, request: Request) -> Answer:
        *_, name, _, version = request.path.split("/")
        if not self.has(name, version):
            return Answer(404, {"message": "Resource not found or you do not have access."})
        return Answer(body={"id": f"{name}.{version}", "name": version})

    def _version_by_id(self, request: Request) -> Answer:
        name, _, version = request.path.split("/")[-1].partition(".")
        if not self.has(name, version):
            return Answer(404, {"message": "Resource not found or you do not have access."})
        return Answer(body={"id": f"{name}.{version}", "name": version})

    def _push(self, request: Request) -> Answer:
        asked = request.json()
        name, version = request.path.split("/")[-1], str(asked["name"])
        if asked.get("files") is None:
            if not self.has(name, version):
                return Answer(404, {"message": f"no version {version}"})
        elif self.has(name, version):
            return Answer(409, {"message": f"A template version with name {version!r} exists."})
        else:
            try:
                check_template(asked["files"])
            except Refused as refused:
                return Answer(400, {"message": str(refused)})
            self.query("INSERT INTO template_versions VALUES (%s, %s, 0)", name, version)
        if asked["activate"]:
            self.activate(name, version)
        return Answer(201, {"name": version})


def run_command(commands: list[str], flags: Mapping[str, str]) -> int:
    """`coder templates push` and `coder templates versions promote`.

    Raises:
        Refused: as the server does.
    """
    if commands[1] == "push":
        folder = Path(flags.get("directory", "."))
        files = {p.name: p.read_text() for p in sorted(folder.iterdir()) if p.is_file()}
        name, body = commands[2], {"name": flags["name"], "activate": "activate" in flags}
        if not any(file.endswith(".tf") for file in files):
            raise Refused(f"{folder}: no .tf files")
        body["files"] = files
    else:
        name = flags["template"]
        body = {"name": flags["template-version"], "activate": True, "files": None}
    request = urllib.request.Request(
        f"{os.environ['CODER_URL']}/stand-in/templates/{name}",
        json.dumps(body).encode(),
        {
            "Content-Type": "application/json",
            "Coder-Session-Token": os.environ["CODER_SESSION_TOKEN"],
        },
    )
    try:
        urllib.request.urlopen(request, timeout=30).close()
    except urllib.error.HTTPError as error:
        raise Refused(json.loads(error.read())["message"]) from error
    say(f"The {name} template has the version {body['name']}")
    return 0
