"""A program `docker` that keeps containers, networks, volumes and images as files.

It refuses what the engine refuses: a network with something attached to it, an image that a
container is made from, the removal of what is not there.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from installer.core.removal import Thing

DOCKER = """#!{python} -IS
import json, os, pathlib, re, sys
root = pathlib.Path({root!r})
argv = sys.argv[1:]
with (root / "log").open("a") as log:
    log.write(" ".join(argv) + "\\n")
if (root / "silent").exists():
    sys.exit("Cannot connect to the Docker daemon")
dying = root / "dies-at"
def load(kind):
    found = {{}}
    for path in sorted((root / kind).iterdir()):
        document = json.loads(path.read_text())
        found[document["id"]] = document
    return found
def write(document, format):
    text = format.replace("\\\\t", "\\t")
    for key in ("ID", "Id"):
        text = text.replace("{{{{." + key + "}}}}", document["id"])
    for key in ("Names", "Name"):
        text = text.replace("{{{{." + key + "}}}}", document["name"])
    text = re.sub(r'{{{{.Label "([^"]*)"}}}}', lambda m: document["labels"].get(m[1], ""), text)
    users = "".join(" " + user for user in document.get("users", ()))
    text = text.replace("{{{{range $id, $c := .Containers}}}} {{{{$id}}}}{{{{end}}}}", users)
    print(text)
def remove(kind, name):
    things = load(kind)
    if name not in things:
        sys.exit("Error: No such " + kind + ": " + name)
    if kind == "network" and things[name].get("users"):
        sys.exit("error while removing network: has active endpoints")
    if kind == "image" and any(c["image"] == name for c in load("container").values()):
        sys.exit("conflict: unable to remove, container is using it")
    (root / kind / things[name]["file"]).unlink()
    for path in (root / "network").iterdir():
        document = json.loads(path.read_text())
        document["users"] = [u for u in document.get("users", ()) if u != name]
        path.write_text(json.dumps(document))
if dying.exists() and dying.read_text().strip() in " ".join(argv):
    os.kill(os.getppid(), 9)
    sys.exit(137)
words = [a for a in argv if not a.startswith("-")]
if argv[0] == "version":
    print("28")
elif argv[0] == "ps" or argv[1:2] == ["ls"]:
    kind = "container" if argv[0] == "ps" else argv[0]
    format = argv[argv.index("--format") + 1] if "--format" in argv else "{{{{.ID}}}}"
    wanted = [a.partition("=")[2].partition("=")[::2] for a in argv if a.startswith("label=")]
    wanted += [a.removeprefix("--filter=label=").partition("=")[::2] for a in argv
               if a.startswith("--filter=label=")]
    for document in load(kind).values():
        if all(document["labels"].get(k) == v for k, v in wanted):
            write(document, format)
elif argv[0] == "inspect" or argv[1:2] == ["inspect"]:
    kind = "container" if argv[0] == "inspect" else argv[0]
    things = load(kind)
    named = {{t["name"]: t for t in things.values()}} | things
    names = [a for a in argv[argv.index("inspect") + 1:]]
    if "-f" in names:
        at = names.index("-f")
        format = names[at + 1]
        del names[at:at + 2]
    else:
        format = None
    missing = [n for n in names if n not in named]
    if format:
        for name in names:
            if name in named:
                place = named[name].get("place", "")
                write(named[name], format.replace("{{{{.Mountpoint}}}}", place))
    if missing:
        sys.exit("Error: No such object: " + missing[0])
    if not format:
        print(json.dumps([named[n].get("inspect", {{"Id": named[n]["id"]}}) for n in names]))
elif argv[0] == "logs":
    print((root / "logs" / argv[-1]).read_text(), end="")
elif argv[0] == "stop":
    pass
elif argv[0] == "rm" or argv[1:2] == ["rm"]:
    kind = "container" if argv[0] == "rm" else argv[0]
    for name in argv[argv.index("rm") + 1:]:
        if not name.startswith("-"):
            remove(kind, name)
else:
    print(" ".join(argv))
"""


@dataclass
class FakeEngine:
    """Everything lies below `root`."""

    root: Path

    def install(self) -> None:
        for name in ("bin", "container", "network", "volume", "image", "logs"):
            (self.root / name).mkdir(parents=True)
        program = self.root / "bin/docker"
        program.write_text(
            DOCKER.format(root=str(self.root), python=os.path.realpath(sys.executable))
        )
        program.chmod(0o755)

    def add(self, kind: str, thing: Thing, **more: Any) -> None:
        labels = {
            "devplat.deployment": thing.owner,
            "com.docker.compose.project": thing.project,
            "com.docker.compose.project.config_files": thing.files,
        }
        name = f"{thing.name.replace('/', '_')[:80]}.json"
        document = {
            "id": thing.name if kind in ("volume", "image") else thing.id,
            "name": thing.name,
            "labels": {key: value for key, value in labels.items() if value},
            "users": list(thing.users),
            "image": "",
            "file": name,
            **more,
        }
        (self.root / kind / name).write_text(json.dumps(document))

    def names(self, kind: str) -> set[str]:
        return {json.loads(p.read_text())["name"] for p in (self.root / kind).iterdir()}

    def silence(self) -> None:
        """It does not answer any more."""
        (self.root / "silent").touch()

    def die_at(self, words: str | None) -> None:
        """Kill whoever calls it with these words, before it does what they say."""
        path = self.root / "dies-at"
        path.unlink(missing_ok=True)
        if words:
            path.write_text(words)

    def log(self) -> list[str]:
        return (self.root / "log").read_text().splitlines()
