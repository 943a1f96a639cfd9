"""Cases of the acceptance catalogue as inputs, and what the product says of them.

The one table from the catalogue's field names to our answer paths is `PATHS`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from installer.core import draft
from installer.core.catalog import Catalog
from installer.core.errors import ExitCode, InstallError, Problem
from installer.core.fields import FileFacts, to_text
from installer.core.secretrefs import SecretRef

CATALOGUE = Path(__file__).parents[1] / "acceptance" / "bad-inputs.yaml"
OWNER_ONLY, FOR_ALL = 0o600, 0o644

PATHS = {"acme.email": "tls.acme.email", "acme.directory_url": "tls.acme.directory_url"}

VALID: dict[str, Any] = {
    "version": 1,
    "domain": {"base": "company.com"},
    "ssh": {"host": "10.0.0.5"},
    "admin": {"email": "ops@company.com"},
    "vault": {"mode": "embedded"},
}
"""A small valid answers file, with the store that asks for no decision."""

_ACME = {"mode": "acme", "acme": {"email": "ops@company.com", "dns_provider": "route53"}}
_FILES = {"mode": "files", "certificate_file": "c.pem", "key_file": "k.pem"}
EXTERNAL = {
    "mode": "external",
    "addr": "https://vault.company.com:8200",
    "token": "env:VAULT_TOKEN",
}
BUNDLED_WAIVERS = dict.fromkeys(("vault.plain_shares", "vault.possession_unproven"), "a test")
STORES: dict[str, dict[str, Any]] = {
    "embedded": {},
    "bundled": {"vault": {"mode": "bundled"}, "waivers": BUNDLED_WAIVERS},
    "external": {"vault": EXTERNAL},
}
"""What the valid answers say besides, by the store they choose."""
_DATABASE = {
    "mode": "external",
    "url": "postgres://coder@db/coder?sslmode=verify-full",
    "password": "env:DATABASE_PASSWORD",
    "ca_file": "certs/database.pem",
}
OF_EVERY_SERVER = ("vault.token", "vault.mount", "vault.prefix")
"""Fields that a bundled server has as well as an external one."""
AROUND: dict[str, dict[str, Any]] = {
    "tls.acme.email": {"tls": _ACME},
    "tls.acme.directory_url": {"tls": _ACME},
    "tls.certificate_file": {"tls": _FILES},
    "vault.addr": {"vault": EXTERNAL},
    **{path: {"vault": EXTERNAL} for path in OF_EVERY_SERVER},
    "vault.ca_file": {"vault": EXTERNAL},
    "vault.namespace": {"vault": EXTERNAL},
    "vault.auth_mount": {
        "vault": {
            "mode": "external",
            "addr": "https://v.company.com",
            "role_id": "r-1",
            "secret_id": "env:SECRET_ID",
        },
    },
    "vault.region": {"vault": {"mode": "aws-secrets-manager"}},
    **{
        f"vault.{name}": {"vault": {"mode": "aws-secrets-manager", "region": "eu-central-1"}}
        for name in ("profile", "kms_key_id", "endpoint_url")
    },
    "database.url": {"database": _DATABASE},
    "database.password": {"database": _DATABASE},
    "database.ca_file": {"database": _DATABASE},
    "sizing.concurrent_workspaces": {"sizing": {"users": 50}},
    "vault.key_shares": STORES["bundled"],
    "vault.key_threshold": {
        "vault": {"mode": "bundled", "key_shares": 5},
        "waivers": BUNDLED_WAIVERS,
    },
}
"""What a field needs around it to exist, or what its case says of the others."""


@dataclass(frozen=True)
class Outcome:
    """What the product says: the verdict, the problems with their codes, what is stored."""

    verdict: str
    problems: tuple[Problem, ...]
    stored: Any = None

    @property
    def codes(self) -> set[str]:
        return {problem.code for problem in self.problems}

    @property
    def message(self) -> str:
        return "\n".join(message_of(problem) for problem in self.problems)


def message_of(problem: Problem) -> str:
    """Everything that is shown of a problem."""
    parts = (problem.mark, problem.where, problem.summary, problem.detail, problem.remedy.summary)
    return " ".join([*(str(part) for part in parts if part), *problem.remedy.commands])


def load_cases() -> list[dict[str, Any]]:
    return yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))["cases"]


def probe_file(path: str) -> FileFacts | None:
    """Every file is there and is a private key, but for the one the catalogue calls missing."""
    if "does-not-exist" in path:
        return None
    return FileFacts(is_file=True, mode=OWNER_ONLY, head="-----BEGIN OPENSSH PRIVATE KEY-----\n")


def value_of(case: Mapping[str, Any]) -> Any:
    if "generate" not in case:
        return case["value"]
    how = case["generate"]
    return f"{how.get('prefix', '')}{how['repeat'] * how['times']}{how.get('suffix', '')}"


def document_of(case: Mapping[str, Any]) -> bytes:
    if "value_base64" in case:
        return base64.b64decode(case["value_base64"])
    how = case.get("generate", {})
    if how.get("template") == "yaml_alias_bomb":
        return _alias_bomb(how["levels"], how["fanout"])
    if how.get("template") == "valid_answers":
        text = write(VALID)
        if how.get("line_end") == "crlf":
            text = text.replace("\n", "\r\n")
        return base64.b64decode(how.get("prefix_base64", "")) + text.encode()
    return str(value_of(case)).encode()


def _alias_bomb(levels: int, fanout: int) -> bytes:
    lines = ["version: 1", 'l0: &l0 ["lol"]']
    for level in range(1, levels):
        lines.append(f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * fanout)}]")
    return "\n".join(lines).encode()


def with_value(path: str, value: Any, store: str = "embedded") -> dict[str, Any]:
    """The valid answers with one more value, what it needs around it, and a store."""
    document: dict[str, Any] = json.loads(json.dumps({**VALID, **STORES[store]}))
    asked_already = path in OF_EVERY_SERVER and store != "embedded"
    for section, fields in ({} if asked_already else AROUND.get(path, {})).items():
        document[section] = json.loads(json.dumps(fields))
    place = document
    segments = ["labels", path[7:]] if path.startswith("labels.") else path.split(".")
    for segment in segments[:-1]:
        place = place.setdefault(segment, {})
    place[segments[-1]] = value
    return document


class Plain(str):
    """A text that is written without quotes."""

    __slots__ = ()


_WRITABLE_PLAIN = re.compile(r"[A-Za-z0-9+*.-][A-Za-z0-9+*./@_ -]*[A-Za-z0-9.]|[A-Za-z0-9]")


def as_plain(value: Any) -> Plain | None:
    """The value as a plain scalar, where YAML allows it to be written so."""
    if isinstance(value, str) and _WRITABLE_PLAIN.fullmatch(value) and value[0] not in "*-.":
        return Plain(value)
    if isinstance(value, str) and re.fullmatch(r"-[0-9]+", value):
        return Plain(value)
    return None


def write(document: Mapping[str, Any]) -> str:
    """A YAML file, written without the product."""
    return "".join(_lines(document, 0))


def _lines(document: Mapping[str, Any], depth: int) -> list[str]:
    lines: list[str] = []
    for key, value in document.items():
        head = f"{'  ' * depth}{_quote(key)}:"
        if isinstance(value, dict) and value:
            lines += [f"{head}\n", *_lines(value, depth + 1)]
        else:
            lines.append(f"{head} {value if isinstance(value, Plain) else _quote(value)}\n")
    return lines


def _quote(value: Any) -> str:
    """JSON's form, which is YAML's but for surrogate pairs."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_quote, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)
    inside = "".join(json.dumps(c)[1:-1] if ord(c) < 0x10000 else f"\\U{ord(c):08x}" for c in value)
    return f'"{inside}"'


def judge_file(data: bytes, catalog: Catalog, path: str = "", mode: int = OWNER_ONLY) -> Outcome:
    try:
        given = draft.from_file(data, "answers.yaml", mode)
    except InstallError as error:
        return Outcome("reject", error.problems)
    return judge_draft(given, catalog, path)


def judge_environment(path: str, value: str, catalog: Catalog, store: str = "embedded") -> Outcome:
    around = with_value(path, "", store)
    name = draft.PREFIX + path.upper().replace(".", "__")
    return judge_draft(
        draft.merge(_around(path, around), draft.from_environment({name: value})), catalog, path
    )


def judge_screen(path: str, value: Any, catalog: Catalog, store: str = "embedded") -> Outcome:
    given = _around(path, with_value(path, "", store))
    verdict = draft.check_field(given, catalog, path, value, files=probe_file)
    return Outcome(verdict.verdict, verdict.problems, _stored(verdict.value))


def _around(path: str, document: dict[str, Any]) -> draft.Draft:
    return draft.from_file(write(document).encode(), "answers.yaml", OWNER_ONLY).unset(path)


def judge_draft(given: draft.Draft, catalog: Catalog, path: str) -> Outcome:
    """The verdict of an unattended run; a warning passes once its waiver is recorded."""
    try:
        validated = draft.validate(given, catalog, files=probe_file)
    except InstallError as error:
        assert error.exit_code is ExitCode.ANSWERS_INVALID  # BR-05
        return _refused(given, error, catalog, path)
    noted = any(note.where == path for note in validated.notes)
    stored = stored_at(validated.answers, path) if path else None
    return Outcome("normalise" if noted else "accept", (), stored)


def _refused(given: draft.Draft, error: InstallError, catalog: Catalog, path: str) -> Outcome:
    waived = given
    for code in {problem.code for problem in error.problems}:
        waived = waived.set(f"waivers.{code}", "accepted in a test")
    try:
        validated = draft.validate(waived, catalog, files=probe_file)
    except InstallError:
        return Outcome("reject", error.problems)
    for problem in error.problems:
        assert f'waivers: {{{problem.code}: "' in problem.remedy.summary
    assert {w.code for w in validated.warnings} >= {p.code for p in error.problems}
    return Outcome("warn", error.problems, stored_at(validated.answers, path))


def stored_at(answers: Any, path: str) -> Any:
    place = answers
    segments = ["labels", path[7:]] if path.startswith("labels.") else path.split(".")
    for segment in segments:
        place = place[segment] if isinstance(place, Mapping) else getattr(place, segment)
    return _stored(place)


def _stored(value: Any) -> Any:
    if isinstance(value, SecretRef):
        return value.value.reveal() if value.value else str(value)
    return value


def same(stored: Any, given: Any) -> bool:
    """Whether what is stored is what was given, in the field's own type."""
    return stored == given or to_text(stored) == to_text(given)
