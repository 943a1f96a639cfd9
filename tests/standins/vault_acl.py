"""Policies: their HCL, and which rule of several decides about a path.

Priority (Vault's "Policies", section "Policy syntax"): an exact path wins; otherwise the pattern
whose first wildcard comes latest, then one without a `*` at its end, then fewer `+`, then length.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from vault_hcl import Body, HclError, parse
from vault_wire import Fault, parse_seconds

ORDER = ("create", "delete", "list", "patch", "read", "scan", "sudo", "update")
KNOWN = {*ORDER, "deny"}
KEYS = (
    "comment", "policy", "capabilities", "allowed_parameters", "denied_parameters",
    "required_parameters", "min_wrapping_ttl", "max_wrapping_ttl", "mfa_methods",
    "pagination_limit", "expiration", "list_scan_response_keys_filter_path",
)  # fmt: skip
PLAIN_KEYS = {"comment", "capabilities", "min_wrapping_ttl", "max_wrapping_ttl"}
SELF = {
    "auth/token/lookup-self": "read",
    "auth/token/renew-self": "update",
    "auth/token/revoke-self": "update",
    "sys/capabilities-self": "update",
    "sys/internal/ui/resultant-acl": "read",
    "sys/wrapping/wrap": "update",
    "sys/wrapping/lookup": "update",
    "sys/wrapping/unwrap": "update",
    "sys/renew": "update",
    "sys/leases/renew": "update",
    "sys/leases/lookup": "update",
}
DEFAULT = "\n".join(f'path "{p}" {{\n  capabilities = ["{c}"]\n}}' for p, c in SELF.items()) + (
    '\npath "cubbyhole/*" {\n  capabilities = ["create", "read", "update", "delete", "list"]\n}\n'
)
"""What every token may do with itself."""


@dataclass(frozen=True)
class Rule:
    """What is granted for a path or a pattern. Wrapping limits in seconds, 0 for none."""

    path: str
    capabilities: frozenset[str]
    min_wrap_s: int = 0
    max_wrap_s: int = 0

    @property
    def exact(self) -> bool:
        """Whether it is no pattern."""
        return not self.path.endswith("*") and "+" not in self.path.split("/")

    @property
    def priority(self) -> tuple[int, bool, int, int, str]:
        """Greater decides."""
        glob = self.path.endswith("*")
        bare = self.path[:-1] if glob else self.path
        parts = bare.split("/")
        plus = [position for position, part in enumerate(parts) if part == "+"]
        first = len("/".join([*parts[: plus[0]], ""])) if plus else len(bare)
        return (first, not glob, -len(plus), len(bare), bare)

    def matches(self, path: str) -> bool:
        """Whether the pattern covers a path."""
        glob = self.path.endswith("*")
        wanted = (self.path[:-1] if glob else self.path).split("/")
        given = path.split("/")
        if len(given) < len(wanted) or (not glob and len(given) != len(wanted)):
            return False
        *body, last = wanted
        if any(w not in ("+", g) for w, g in zip(body, given, strict=False)):
            return False
        there = given[len(body)]
        return last in ("+", there) or (glob and there.startswith(last))


def read_policy_text(text: str) -> str:
    """The policy as given, decoded if it was base64."""
    try:
        decoded = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return text
    return decoded if text.strip() else text


def parse_policy(text: str) -> list[Rule]:
    """The rules of a policy.

    Raises:
        Fault: 400 for what is not valid, and for what this stand-in does not do.
    """
    try:
        document = parse(text)
    except HclError as error:
        raise Fault(400, f"failed to parse policy: {error}") from error
    for item in document.unknown(("path", "name", "expiration")):
        raise _bad(f'1 error occurred:\n\t* invalid key "{item.keys[0]}" on line {item.line}\n\n')
    return [_rule(item.keys, item.value) for item in document.all("path")]


def _rule(keys: tuple[str, ...], body: Any) -> Rule:
    path = keys[1] if len(keys) > 1 else "path"
    if not isinstance(body, Body):
        raise _bad(f'path "{path}": expected an object')
    for item in body.unknown(KEYS):
        text = f'path "{path}": invalid key "{item.keys[0]}" on line {item.line}'
        raise _bad(f"1 error occurred:\n\t* {text}\n\n")
    for item in body.unknown(PLAIN_KEYS):
        raise _bad(f'path "{path}": the stand-in does not know what "{item.keys[0]}" does')
    given = body.get("capabilities", [])
    if not isinstance(given, list):
        raise _bad(f'path "{path}": unknown slice type: {type(given).__name__}')
    for capability in given:
        if capability not in KNOWN:
            raise _bad(f'path "{path}": invalid capability "{capability}"')
    if "+*" in path:
        raise _bad(f"path \"{path}\": invalid use of wildcards ('+*' is forbidden)")
    if "{{" in path:
        raise _bad(f'path "{path}": the stand-in does not fill in templates')
    granted = frozenset(["deny"]) if "deny" in given else frozenset(given)
    shortest, longest = (_seconds(body, f"{kind}_wrapping_ttl") for kind in ("min", "max"))
    if longest and longest < shortest:
        raise _bad("max_wrapping_ttl cannot be less than min_wrapping_ttl")
    return Rule(path.removeprefix("/"), granted, shortest, longest)


def _seconds(body: Body, name: str) -> int:
    try:
        return parse_seconds(body.get(name, 0))
    except ValueError as error:
        raise _bad(f"error parsing {name}: {error}") from error


def _bad(message: str) -> Fault:
    return Fault(400, f"failed to parse policy: {message}")


class Acl:
    """The rules of all policies of a token together."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        merged: dict[str, Rule] = {}
        for rule in rules:
            merged[rule.path] = _merge(merged[rule.path], rule) if rule.path in merged else rule
        self.exact = {path: rule for path, rule in merged.items() if rule.exact}
        patterns = (rule for rule in merged.values() if not rule.exact)
        self.patterns = sorted(patterns, key=lambda rule: rule.priority, reverse=True)

    def find(self, path: str, *, listing: bool = False) -> Rule | None:
        """The rule that decides about a path; a listing is also asked for without its slash."""
        paths = [path, path.removesuffix("/")] if listing else [path]
        for name in paths:
            if name in self.exact:
                return self.exact[name]
        for name in paths:
            for rule in self.patterns:
                if rule.matches(name):
                    return rule
        return None

    def allows(self, operation: str, path: str, wrap_s: int = 0) -> bool:
        """Whether an operation is granted, wrapped for so many seconds."""
        rule = self.find(path, listing=operation == "list")
        if rule is None or operation not in rule.capabilities:
            return False
        if rule.max_wrap_s and not 0 < wrap_s <= rule.max_wrap_s:
            return False
        return not rule.min_wrap_s or wrap_s >= rule.min_wrap_s

    def sudo(self, path: str) -> bool:
        """Whether a path that needs it is granted with `sudo`."""
        rule = self.find(path)
        return rule is not None and "sudo" in rule.capabilities

    def capabilities(self, path: str) -> list[str]:
        """What is granted for a path, in the server's order; `deny` for nothing."""
        rule = self.find(path)
        granted = [name for name in ORDER if rule and name in rule.capabilities]
        return granted or ["deny"]


def _merge(one: Rule, other: Rule) -> Rule:
    capabilities = one.capabilities | other.capabilities
    if "deny" in capabilities:
        capabilities = frozenset(["deny"])
    return replace(
        one,
        capabilities=capabilities,
        min_wrap_s=_smaller(one.min_wrap_s, other.min_wrap_s),
        max_wrap_s=max(one.max_wrap_s, other.max_wrap_s),
    )


def _smaller(one: int, other: int) -> int:
    return min(one, other) if one and other else max(one, other)
