"""Keeps and reads what a target knows of its releases: which were verified, of which answers.

The record is written when a release was verified, in one command, so that there is no release that
is recorded by halves. A note says that a rollback is under way, for the run that continues it.
"""

from __future__ import annotations

import io
import json
import posixpath
import tarfile
from collections.abc import Mapping
from typing import Any

import yaml

from installer.core.bundle import COMPOSE_PATH, MANIFEST_PATH, Bundle, BundleFile, digest_files
from installer.core.deployed import SECTION
from installer.core.errors import ConflictError, IntegrityError, Problem, Remedy
from installer.core.events import Run
from installer.core.history import (
    History,
    ReleaseRecord,
    add_record,
    format_history,
    hash_answers,
    parse_history,
)
from installer.core.layout import Layout
from installer.phases.remote import quote, read_file, replace_file, run_root
from installer.phases.ship import pack
from installer.phases.steps import Step, no_effect
from installer.ports import Host

_LARGEST = 64 * 1024 * 1024
"""Bytes of a release that are read back at most."""

_SCRIPT = """
say() {{ printf '\\n%s%s\\n' '{section}' "$1"; }}
say current; if [ -L {current} ]; then basename "$(readlink {current})"; fi
say history; cat {history} 2>/dev/null || :
say note; cat {note} 2>/dev/null || :
for manifest in {releases}/*/manifest.json; do
  [ -f "$manifest" ] || continue
  say "release $(basename "$(dirname "$manifest")")"; cat "$manifest"
done
"""


def history_path(layout: Layout) -> str:
    """The releases that were verified."""
    return posixpath.join(layout.state, "history.json")


def answers_path(layout: Layout, release: str) -> str:
    """The answers that a release was made of: references, no secret."""
    return posixpath.join(layout.state, "answers", f"{release}.yaml")


def note_path(layout: Layout) -> str:
    """Says that a rollback is under way; there until a release is verified."""
    return posixpath.join(layout.state, "rollback.json")


def read_history(host: Host, layout: Layout) -> History:
    """What the target knows of its releases; changes nothing.

    Raises:
        RemoteIoError: the target cannot be read.
        IntegrityError: the record was changed.
    """
    script = _SCRIPT.format(
        section=SECTION,
        current=quote(layout.current),
        history=quote(history_path(layout)),
        note=quote(note_path(layout)),
        releases=quote(layout.releases),
    )
    sections: dict[str, str] = {}
    for part in run_root(host, script).text.split(SECTION)[1:]:
        name, _, body = part.partition("\n")
        sections[name.strip()] = body
    manifests = {
        name.removeprefix("release "): _mapping(body).get("images", {})
        for name, body in sections.items()
        if name.startswith("release ")
    }
    return History(
        records=parse_history(sections.get("history", "")),
        present={name: images for name, images in manifests.items() if name.isalnum()},
        current=sections.get("current", "").strip() or None,
        pending=_mapping(sections.get("note", "")).get("to"),
    )


def record_release(host: Host, layout: Layout, record: ReleaseRecord, answers: str) -> None:
    """A release was verified: it is in the history, with its answers, and no rollback is pending.

    Args:
        host: The target.
        layout: Says where.
        record: Of the release.
        answers: The text of the answers file that repeats it.
    """
    known = read_file(host, history_path(layout)) or b""
    records = add_record(parse_history(known.decode("utf-8", "replace")), record)
    verified = json.dumps({"release": record.release, "run": record.run}).encode()
    files = {
        f"answers/{record.release}.yaml": BundleFile(answers.encode(), 0o600),
        "history.json": BundleFile(format_history(records), 0o600),
        "verified.json": BundleFile(verified, 0o600),
    }
    # what is read last comes last: a release is verified when all of its record is there
    run_root(
        host,
        f"umask 077\ncd {quote(layout.state)}\nrm -rf .record\nmkdir -p .record answers\n"
        "tar -xpf - -C .record --no-same-owner\nsync -f .record 2>/dev/null || sync\n"
        + "".join(f"mv -f .record/{quote(path)} {quote(path)}\n" for path in files)
        + f"rm -rf .record\nrm -f {quote(note_path(layout))}",
        stdin=(pack(files),),
    )


def note_step(host: Host, layout: Layout, release: str) -> Step:
    """The target knows that it is on its way back to this release."""
    path = note_path(layout)

    def is_noted() -> bool:
        content = read_file(host, path)
        return content is not None and _mapping(content.decode()).get("to") == release

    def note() -> Run[None]:
        run_root(host, f"umask 077\nmkdir -p {quote(layout.state)}")
        replace_file(host, path, json.dumps({"to": release}).encode())
        return no_effect()

    def drop() -> Run[None]:
        run_root(host, f"rm -f {quote(path)}")
        return no_effect()

    return Step("rollback.note", "note what is gone back to", is_noted, note, is_noted, drop)


def read_answers(host: Host, layout: Layout, record: ReleaseRecord) -> str:
    """The answers of a release.

    Raises:
        ConflictError: they are not kept.
        IntegrityError: they were changed.
    """
    content = read_file(host, answers_path(layout, record.release))
    if content is None:
        raise ConflictError(
            Problem(
                "rollback.no_answers",
                f"the answers of release {record.release} are not on the target any more",
                Remedy("apply the answers file of that time", ("devplat-install apply",)),
                where=answers_path(layout, record.release),
            )
        )
    text = content.decode("utf-8", "replace")
    if hash_answers(text) != record.answers:
        raise IntegrityError(
            Problem(
                "rollback.answers_changed",
                f"the answers of release {record.release} have another hash than was recorded",
                Remedy("somebody changed them; apply the answers file of that time instead"),
                where=answers_path(layout, record.release),
            )
        )
    return text


def read_release(host: Host, layout: Layout, release: str) -> Bundle:
    """A release as it lies on the target, after its hash was compared.

    Raises:
        IntegrityError: it is not there, or not as it was shipped.
    """
    directory = quote(layout.release(release))
    script = f"if [ -d {directory} ]; then cd {directory}\ntar -cf - .; fi"
    files = _unpack(run_root(host, script).stdout, release)
    content = {path: file for path, file in files.items() if path != MANIFEST_PATH}
    if not content or digest_files(content)[:12] != release:
        what = "is not as it was shipped" if content else "is not on the target any more"
        raise IntegrityError(_altered(layout, release, what))
    compose = yaml.safe_load(content[COMPOSE_PATH].data)
    return Bundle(dict(sorted(files.items())), _unescape(compose), release)


def _unpack(archive: bytes, release: str) -> dict[str, BundleFile]:
    """The regular files of an archive.

    Raises:
        IntegrityError: there is anything else in it, or a name that leads out of it.
    """
    if not archive or len(archive) > _LARGEST:
        return {}
    files: dict[str, BundleFile] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for entry in tar:
            name = posixpath.normpath(entry.name)
            if entry.isdir():
                continue
            data = tar.extractfile(entry) if entry.isreg() else None
            if data is None or name.startswith(("/", "..")) or name in files:
                raise IntegrityError(
                    Problem(
                        "rollback.archive",
                        f"{entry.name} in release {release} is no file of a release",
                        Remedy("somebody put it there; remove it from the target"),
                        where=release,
                    )
                )
            files[name] = BundleFile(data.read(), entry.mode & 0o777)
    return files


def _altered(layout: Layout, release: str, what: str) -> Problem:
    return Problem(
        "rollback.altered",
        f"release {release} {what}: its hash differs from its name",
        Remedy("apply the answers of that time, which renders it anew", ("devplat-install apply",)),
        where=layout.release(release),
    )


def _unescape(value: Any) -> Any:
    """Text as it was before it was written for Compose."""
    if isinstance(value, str):
        return value.replace("$$", "$")
    if isinstance(value, Mapping):
        return {_unescape(key): _unescape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unescape(item) for item in value]
    return value


def _mapping(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text) if text.strip() else {}
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
