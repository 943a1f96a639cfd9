"""Finds every field of the answers that refers to a secret, and plants one through each of them.

Fields are read off the model, in every alternative of every section, so that a new one is covered
by being there. What a field needs beside it comes from the model's own examples, or is in `BESIDE`.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic.fields import FieldInfo

from installer.core import draft
from installer.core.answers_fields import Section
from installer.core.answers_shape import _section_models as section_models
from installer.core.catalog import Catalog
from installer.core.errors import InstallError
from installer.core.fields import FileFacts
from installer.core.fields_secrets import check_secret_value
from installer.core.secretrefs import SecretRef
from installer.core.secrets import Secret

Modes = tuple[tuple[str, str], ...]
"""Dotted section → the alternative of it that a field belongs to."""

BASE: Mapping[str, Any] = {
    "domain.base": "company.com",
    "ssh.host": "127.0.0.1",
    "ssh.port": 1,
    "ssh.agent": False,
    "admin.email": "ops@company.com",
}
Beside = Mapping[str, Mapping[str, Any]]
BUCKETS = {"storage.buckets": {"gitea": "company-git", "drone": "company-builds"}}
BESIDE: Beside = {
    "storage.access_keys": {
        **BUCKETS,
        "storage.secret_keys": {"gitea": "env:CANARY", "drone": "env:CANARY"},
    },
    "storage.secret_keys": {
        **BUCKETS,
        "storage.access_keys": {"gitea": "env:CANARY", "drone": "env:CANARY"},
    },
    "registry.password": {"registry.username": "robot$ci"},
    "tls.acme.credentials": {"tls.acme.dns_provider": "route53"},
    "tls.acme.eab_hmac": {"tls.acme.dns_provider": "route53", "tls.acme.eab_kid": "kid-1"},
    "identity.client_secrets": {
        "identity.client_ids": {"coder": "c", "gitea": "g", "grafana": "d"},
        **{
            f"monitoring.oidc_{which}_url": "https://login.company.com/oidc"
            for which in ("authorization", "token", "userinfo")
        },
    },
    "monitoring.mail_password": {
        "monitoring.mail_host": "mail.company.com",
        "monitoring.mail_to": "ops@company.com",
        "monitoring.mail_user": "robot",
    },
    "ai_gateway.bedrock_access_key": {"ai_gateway.bedrock_secret_key": "env:CANARY"},
    "ai_gateway.bedrock_secret_key": {"ai_gateway.bedrock_access_key": "env:CANARY"},
    "vault.unseal_shares": {"vault.key_shares": 1, "vault.key_threshold": 1},
    "vault.secret_id": {"vault.role_id": "db02de05-fa39-4855-059b-67221c5c2f63"},
    "vault.jwt": {"vault.jwt_role": "devplat-installer"},
    "vault.seal_token": {
        "vault.seal": "transit",
        "vault.seal_address": "https://127.0.0.1:1",
        "vault.seal_key": "devplat-unseal",
    },
}
"""What the rules of the answers ask for beside a field; the only part that knows fields by name."""
EVERYWHERE = ""
"""Stands for every field among what is beside fields."""
BASE64URL = ("tls.acme.eab_hmac",)
"""Fields whose value is judged again where it is used, as base64url."""
LISTED = "CANARY_NAME"
"""Key of a field that is a mapping of references."""
KEYS: Mapping[str, tuple[str, ...]] = {
    "identity.client_secrets": ("coder", "gitea", "grafana"),
    "storage.access_keys": ("gitea", "drone"),
    "storage.secret_keys": ("gitea", "drone"),
}
"""The keys of such a field where not every name will do."""


@dataclass(frozen=True)
class SecretField:
    """A field that refers to a secret, in one alternative of its section."""

    path: str
    modes: Modes
    kind: str = "one"

    @property
    def where(self) -> str:
        """The path that its value is judged under."""
        first = KEYS.get(self.path, (LISTED,))[0]
        return {"one": self.path, "list": f"{self.path}[0]"}.get(self.kind, f"{self.path}.{first}")

    def wrap(self, reference: str) -> Any:
        """The reference as this field takes it."""
        listed = dict.fromkeys(KEYS.get(self.path, (LISTED,)), reference)
        return {"one": reference, "list": [reference]}.get(self.kind, listed)


def secret_fields(
    model: type[Section], path: tuple[str, ...] = (), modes: Modes = ()
) -> Iterator[SecretField]:
    """Every field below the model that holds a `SecretRef`, a list or a mapping of them."""
    for name, info in model.model_fields.items():
        here = (*path, info.alias or name)
        sections = section_models(info.annotation)
        if not sections:
            if kind := _kind(info.annotation):
                yield SecretField(".".join(here), modes, kind)
            continue
        for section in sections:
            chosen = _mode(section) if len(sections) > 1 or info.discriminator else None
            inner = (*modes, (".".join(here), chosen)) if chosen else modes
            yield from secret_fields(section, here, inner)


def _kind(annotation: object) -> str:
    members = get_args(annotation)
    if annotation is SecretRef or (SecretRef in members and not _is_collection(annotation)):
        return "one"
    if any(_kind(member) for member in members):
        origin = getattr(annotation, "__origin__", None)
        if _is_collection(annotation):
            return "list" if origin in (tuple, list) else "mapping"
        return next(kind for member in members if (kind := _kind(member)))
    return ""


def _is_collection(annotation: object) -> bool:
    origin = getattr(annotation, "__origin__", None)
    return isinstance(origin, type) and origin is not type


def _mode(section: type[Section]) -> str:
    return str(get_args(section.model_fields["mode"].annotation)[0])


@dataclass(frozen=True)
class Canary:
    """A value that its field accepts, and what is looked for: the value and its secret part."""

    value: str
    secrets: tuple[str, ...]


def make_canary(field: SecretField) -> Canary:
    """A value of its own for the field, in the first form that the field's check accepts.

    Raises:
        AssertionError: no form is: add one here.
    """
    digest = hashlib.sha256(f"canary {field.path} {field.modes}".encode())
    word = f"hvs.Canary{b64encode(digest.digest(), b'XY').decode().rstrip('=')}"
    word = word.replace(".", "") if field.path in BASE64URL else word
    forms = {
        word: (word,),
        f"eyJhbGciOiJub25lIn0.{word[4:]}.c2lnbmF0dXJl": (word[4:],),
        b64encode(digest.digest() + b"!").decode(): (),
        **{_as_pem(what, digest.digest()): () for what in ("CERTIFICATE", "PRIVATE KEY")},
    }
    for form, parts in forms.items():
        if not check_secret_value(field.where, Secret(form)):
            return Canary(form, tuple(dict.fromkeys((form, *parts))))
    raise AssertionError(f"no form of a canary is acceptable for {field.path}")


def _as_pem(what: str, data: bytes) -> str:
    """Looks like one to whoever does not read it."""
    return f"-----BEGIN {what}-----\n{b64encode(data).decode()}\n-----END {what}-----"


@dataclass(frozen=True)
class Planting:
    """Some fields that can be answered together, each with its canary."""

    fields: tuple[SecretField, ...]
    waivers: tuple[str, ...]
    beside: Beside
    model: type[Section]

    @property
    def canaries(self) -> Mapping[str, Canary]:
        """Dotted path → its canary."""
        return {field.path: make_canary(field) for field in self.fields}

    def document(self, refer: Callable[[str, str], str]) -> str:
        """The answers file; `refer` gives the reference to a canary from its path and value."""
        flat = {**BASE, **self.beside.get(EVERYWHERE, {})}
        for field in self.fields:
            for section, mode in field.modes:
                flat[f"{section}.mode"] = mode
                flat |= dict(_required(self.model, tuple(section.split(".")), mode))
        for field in self.fields:
            flat |= self.beside.get(field.path, {})
        for field in self.fields:  # two of them may stand beside each other
            flat[field.path] = field.wrap(refer(field.path, make_canary(field).value))
        document: dict[str, Any] = {"version": 1}
        for path, value in flat.items():
            *sections, key = path.split(".")
            at = document
            for name in sections:
                at = at.setdefault(name, {})
            at[key] = value
        document["waivers"] = dict.fromkeys(self.waivers, "a test")
        return yaml.safe_dump(document, sort_keys=False)


def _required(
    model: type[Section], section: tuple[str, ...], mode: str
) -> Iterator[tuple[str, Any]]:
    """What an alternative cannot do without, by the examples of its fields."""
    for name in section:
        info = next(i for n, i in model.model_fields.items() if (i.alias or n) == name)
        sections = section_models(info.annotation)
        model = next(
            (s for s in sections if "mode" in s.model_fields and _mode(s) == mode), sections[0]
        )
    yield from _examples(model, section)


def _examples(model: type[Section], path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, info in model.model_fields.items():
        here = (*path, info.alias or name)
        if name == "mode" or not info.is_required():
            continue
        if sections := section_models(info.annotation):
            yield from _examples(sections[0], here)
        else:
            yield ".".join(here), _example(info)


def _example(info: FieldInfo) -> Any:
    assert info.examples, f"the required field {info.title} has no example to fill it with"
    return info.examples[0]


def planted_fields(model: type[Section]) -> list[SecretField]:
    """Every field, in every alternative of its section."""
    return list(secret_fields(model))


def plan_plantings(model: type[Section], catalog: Catalog, beside: Beside) -> tuple[Planting, ...]:
    """All fields in as few answers files as the rules of the answers allow.

    Raises:
        AssertionError: a field is not acceptable by itself: say in `BESIDE` what it needs.
    """
    beside = {**BESIDE, **beside}
    plantings: list[Planting] = []
    for field in planted_fields(model):
        alone = _accepted(Planting((field,), (), beside, model), catalog)
        assert isinstance(alone, Planting), f"{field.path} in {field.modes}: {alone}"
        for at, planting in enumerate(plantings):
            if _clashes(planting, field):
                continue
            waivers = (*planting.waivers, *alone.waivers)
            both = Planting((*planting.fields, field), tuple(dict.fromkeys(waivers)), beside, model)
            if isinstance(joined := _accepted(both, catalog), Planting):
                plantings[at] = joined
                break
        else:
            plantings.append(alone)
    return tuple(plantings)


def _clashes(planting: Planting, field: SecretField) -> bool:
    chosen = {section: mode for other in planting.fields for section, mode in other.modes}
    return any(chosen.get(section, mode) != mode for section, mode in field.modes)


def _accepted(planting: Planting, catalog: Catalog) -> Planting | str:
    """The planting with the waivers that it takes, or why it is refused."""
    for _ in range(2):
        text = planting.document(lambda path, value: "env:CANARY").encode()
        try:
            given = draft.from_file(text, "answers.yaml", 0o600)
            draft.validate(given, catalog, files=_every_file)
        except InstallError as error:
            codes = dict.fromkeys((*planting.waivers, *(p.code for p in error.problems)))
            refused = str(error)
            planting = Planting(planting.fields, tuple(codes), planting.beside, planting.model)
        else:
            return planting
    return refused


def _every_file(path: str) -> FileFacts:
    head = Path(path).read_text()[:4096] if Path(path).is_file() else ""
    return FileFacts(True, 0o600, head)
