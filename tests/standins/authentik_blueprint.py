"""Blueprints as authentik reads them: tags resolved, every model and field checked against
`authentik_models.json`, required fields and references there, one transaction per file.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from authentik_store import Body, Store, find_in, hash_password, new_object
from standin import Refused, read_secret

MODELS: Mapping[str, Mapping[str, str]] = json.loads(
    Path(__file__).with_name("authentik_models.json").read_text()
)
DEFAULTS = Path(__file__).with_name("authentik_defaults.yaml")
META = "authentik_blueprints.metaapplyblueprint"
INSTANCE = "authentik_blueprints.blueprintinstance"
STATES = ("present", "created", "must_created", "absent")
_ENTRY_KEYS = {"model", "id", "state", "conditions", "identifiers", "attrs", "permissions"}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "uuid": (str,), "boolean": (bool,), "integer": (int,), "number": (int, float),
    "array": (list,), "object": (dict,), "FlexibleAttributes": (dict,),
}  # fmt: skip
_COMPARATORS: Mapping[str, Callable[[list[Any]], bool]] = {
    "AND": all,
    "NAND": lambda values: not all(values),
    "OR": any,
    "NOR": lambda values: not any(values),
    "XOR": lambda values: sum(map(bool, values)) % 2 == 1,
    "XNOR": lambda values: sum(map(bool, values)) % 2 == 0,
}


class Tag:
    """A tag and its argument, resolved when its entry is applied."""

    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self.value = value


class _Loader(yaml.SafeLoader):
    """YAML with authentik's tags."""


def _construct(loader: _Loader, suffix: str, node: yaml.Node) -> Tag:
    if isinstance(node, yaml.SequenceNode):
        return Tag(suffix, loader.construct_sequence(node, deep=True))
    return Tag(suffix, loader.construct_scalar(node))  # type: ignore[arg-type]


_Loader.add_multi_constructor("!", _construct)


class Importer:
    """Applies one blueprint to a copy of all objects; the caller writes what has changed."""

    def __init__(
        self, objects: dict[str, Body], context: Body, apply: Callable[[Body], None]
    ) -> None:
        self.objects = objects
        self.context = context
        self.apply_other = apply
        self.by_id: dict[str, Body] = {}
        self.model = ""

    def run(self, entries: Any) -> None:
        """Every entry in turn.

        Raises:
            Refused: for the first that authentik would not take.
        """
        for number, entry in enumerate(entries, 1):
            try:
                self._apply(entry)
            except Refused as refusal:
                raise Refused(f"entry {number} ({entry.get('model')}): {refusal}") from refusal

    def _apply(self, entry: Body) -> None:
        if unknown := set(entry) - _ENTRY_KEYS:
            raise Refused(f"unknown key {sorted(unknown)[0]}")
        self.model = str(entry.get("model"))
        if self.model not in MODELS:
            raise Refused(f"{self.model!r} is no model")
        state = self.resolve(entry.get("state", "present"))
        if state not in STATES:
            raise Refused(f"{state!r} is no state")
        if not all(self.resolve(condition) for condition in entry.get("conditions") or []):
            return
        attrs = self.resolve(entry.get("attrs") or {})
        check_fields(self.model, attrs)
        if self.model == META:
            self.apply_other(attrs)
            return
        identifiers = self.resolve(entry.get("identifiers") or {})
        if not identifiers:
            raise Refused("no or invalid identifiers")
        check_fields(self.model, identifiers)
        existing = next(find_in(self.objects, self.model, identifiers), None)
        if state == "absent":
            if existing:
                del self.objects[existing["pk"]]
            return
        if existing and state == "must_created":
            raise Refused("object exists already")
        body = existing or new_object(self.model)
        if not existing or state == "present":
            body = self._save(body, {**identifiers, **attrs}, is_new=existing is None)
        if entry.get("id"):
            self.by_id[entry["id"]] = body

    def _save(self, body: Body, values: Body, *, is_new: bool) -> Body:
        for name, kind in MODELS[self.model].items():
            if is_new and kind.endswith("!") and values.get(name) in (None, "", []):
                raise Refused(f"{name}: this field is required")
            if kind.endswith("!") and name in values and values[name] is None:
                raise Refused(f"{name}: this field may not be null")
        self._check_references(values)
        if password := values.pop("password", None):
            values["password"] = hash_password(str(password))
        if is_new and self.model == "authentik_core.user":
            values.setdefault("is_active", True)
        merged = {**body, **values}
        self.objects[merged["pk"]] = merged
        return merged

    def _check_references(self, values: Body) -> None:
        keys = {b["pk"] for b in self.objects.values()}
        bindable = {b["pbm"] for b in self.objects.values() if "pbm" in b}
        fields = MODELS[self.model]
        for name, value in values.items():
            if self.model == "authentik_policies.policybinding" and name == "target":
                if value not in bindable:
                    raise Refused(f"{name}: {value!r} is nothing that a policy can be bound to")
            elif fields[name].rstrip("!") == "uuid":
                if value is not None and value not in keys:
                    raise Refused(f"{name}: there is no object {value!r}")
            elif (self.model, name) in _LISTS:
                for item in value or []:
                    if item not in keys:
                        raise Refused(f"{name}: there is no object {item!r}")

    def resolve(self, value: Any) -> Any:
        """A value with its tags resolved.

        Raises:
            Refused: for a tag that does not exist or finds nothing where it must.
        """
        if isinstance(value, Tag):
            handler = getattr(self, f"_tag_{value.name.lower()}", None)
            if handler is None:
                raise Refused(f"!{value.name} is no tag")
            return handler(value.value)
        if isinstance(value, dict):
            return {key: self.resolve(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.resolve(inner) for inner in value]
        return value

    def _tag_keyof(self, name: str) -> str:
        if name not in self.by_id:
            raise Refused(f"KeyOf: failed to find entry with id {name}")
        body = self.by_id[name]
        if self.model == "authentik_policies.policybinding" and "pbm" in body:
            return str(body["pbm"])
        return str(body["pk"])

    def _tag_find(self, value: list[Any]) -> str | None:
        found = self._tag_findobject(value)
        return found and str(found["pk"])

    def _tag_findobject(self, value: list[Any]) -> Body | None:
        model = self.resolve(value[0])
        if model not in MODELS:
            raise Refused(f"Find: {model!r} is no model")
        fields = {self.resolve(key): self.resolve(wanted) for key, wanted in value[1:]}
        for name in fields.keys() - MODELS[model].keys():
            raise Refused(f"Find: {model} has no field {name}")
        return next(find_in(self.objects, model, fields), None)

    def _tag_env(self, value: Any) -> Any:
        name, default = value if isinstance(value, list) else (value, None)
        return os.environ.get(name) or default

    def _tag_file(self, value: Any) -> Any:
        # authentik goes on with nothing where there is no file; a login would not work then
        return read_secret(str(value[0] if isinstance(value, list) else value), "!File").strip()

    def _tag_context(self, value: Any) -> Any:
        name, default = value if isinstance(value, list) else (value, None)
        return self.resolve(self.context.get(name, default))

    def _tag_format(self, value: list[Any]) -> str:
        return str(value[0]) % tuple(self.resolve(item) for item in value[1:])

    def _tag_condition(self, value: list[Any]) -> bool:
        return _COMPARATORS[value[0]]([self.resolve(item) for item in value[1:]])

    def _tag_if(self, value: list[Any]) -> Any:
        first, *others = value
        if not others:
            return bool(self.resolve(first))
        return self.resolve(others[0] if self.resolve(first) else others[1])


_LISTS = {
    ("authentik_stages_authenticator_validate.authenticatorvalidatestage", "configuration_stages"),
    ("authentik_providers_oauth2.oauth2provider", "property_mappings"),
    ("authentik_core.user", "groups"),
    ("authentik_stages_prompt.promptstage", "fields"),
    ("authentik_stages_prompt.promptstage", "validation_policies"),
}


def check_fields(model: str, values: Body) -> None:
    """Refuse a field that the model does not have, a wrong type, a value of no enumeration."""
    for name, value in values.items():
        kind = MODELS[model].get(name)
        if kind is None:
            raise Refused(f"{model} has no field {name}")
        _check_value(name, kind.rstrip("!"), value)
    if model.endswith("oauth2provider") and not values.get("grant_types", ["?"]):
        raise Refused("grant_types is empty: every login would be refused")


def _check_value(name: str, kind: str, value: Any) -> None:
    if value is None or isinstance(value, Tag):
        return
    if kind.startswith("array of "):
        if not isinstance(value, list):
            raise Refused(f"{name}: expected a list of items")
        for item in value:
            _check_value(name, kind.removeprefix("array of "), item)
    elif kind in _TYPES:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if not isinstance(value, _TYPES[kind]) or (kind == "integer" and not is_number):
            raise Refused(f"{name}: {value!r} is no {kind}")
    elif value not in kind.split("|"):
        raise Refused(f"{name}: {value!r} is not a valid choice: {kind}")


class Blueprints:
    """authentik's own blueprints and those below a folder, by name and by path."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self._running: list[str] = []

    def documents(self) -> dict[str, tuple[str, str]]:
        """Name → path and text; of a file that is no YAML, its path is the name."""
        found = {}
        for path in sorted(self.folder.rglob("*.yaml")):  # `.yml` is not looked for
            text, place = path.read_text(), str(path.relative_to(self.folder))
            try:
                name = yaml.load(text, Loader=_Loader)["metadata"]["name"]  # noqa: S506 - a SafeLoader
            except (yaml.YAMLError, KeyError, TypeError):
                name = place
            found[str(name)] = (place, text)
        return found

    def apply_all(self) -> None:
        """authentik's own, then every file; each with its status, and its error in the log."""
        for name in defaults():
            self.apply(name)
        for name in self.documents():
            self.apply(name)

    def apply(self, name: str) -> str:
        """One blueprint by name; gives what is wrong with it, or nothing."""
        path, error = f"default/{name}", ""
        objects = self.store.read()
        before = {key: dict(body) for key, body in objects.items()}

        def apply_other(attrs: Body) -> None:
            self._meta(attrs)
            for pk, body in self.store.read().items():
                if pk not in objects:
                    objects[pk], before[pk] = body, dict(body)

        self._running.append(name)
        try:
            if name in defaults():
                Importer(objects, {}, apply_other).run(defaults()[name])
            else:
                path, text = self.documents()[name]
                document = read_document(text)
                context = document.get("context") or {}
                Importer(objects, context, apply_other).run(document["entries"])
            for body in objects.values():
                if before.get(body["pk"]) != body:
                    self.store.write(body)
            for pk in before.keys() - objects.keys():
                self.store.delete(pk)
        except (Refused, yaml.YAMLError) as refusal:
            error = str(refusal)
        finally:
            self._running.pop()
        instance = self.store.first(INSTANCE, name=name) or new_object(INSTANCE, name=name)
        status = "error" if error else "successful"
        self.store.write({**instance, "path": path, "status": status, "enabled": True})
        return error

    def _meta(self, attrs: Body) -> None:
        name = (attrs.get("identifiers") or {}).get("name")
        if name not in defaults() and name not in self.documents():
            if attrs.get("required", True):
                raise Refused(f"required blueprint {name!r} does not exist")
            return
        if name in self._running:
            return
        instance = self.store.first(INSTANCE, name=name)
        if (instance is None or instance["status"] != "successful") and (error := self.apply(name)):
            raise Refused(f"blueprint {name!r}: {error}")


def read_document(text: str) -> Body:
    """A blueprint, parsed.

    Raises:
        Refused: when it is none.
    """
    document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    if not isinstance(document, dict) or document.get("version") != 1:
        raise Refused("version is not 1")
    if not isinstance(document.get("entries"), list):
        raise Refused("there are no entries")
    return document


@functools.cache
def defaults() -> Mapping[str, list[Body]]:
    """authentik's own blueprints: name → entries, in order."""
    found: Mapping[str, list[Body]] = yaml.load(DEFAULTS.read_text(), Loader=_Loader)  # noqa: S506
    return found
