"""A small language for what is asked of a server and must come back, so that a case is a table.

Texts may hold `{p}` (a path of the case's own), `{token}` of a token that an earlier step kept, and
other names that a step kept from its answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.contract.vault.servers import Answer, VaultServer


@dataclass(frozen=True)
class Step:
    """One request and what its answer must be.

    Attributes:
        status: The status wanted.
        has: Dotted path in the answer → the value wanted there.
        error: A part of the one message wanted; "" for a refusal without one.
        keep: Name → dotted path of what later steps use.
        by: Name of a kept token to ask with; the root token by default, "" for none.
    """

    method: str
    path: str
    body: Any = None
    status: int = 200
    has: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    keep: Mapping[str, str] = field(default_factory=dict)
    by: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    wrap: str = ""


def run_steps(server: VaultServer, steps: list[Step], own: str) -> None:
    """Take the steps in order.

    Raises:
        AssertionError: at the first answer that is not as it must be.
    """
    kept: dict[str, Any] = {"p": own}
    for number, step in enumerate(steps, 1):
        token = None if step.by is None else kept.get(step.by, step.by)
        answer = server.ask(
            step.method, fill(step.path, kept), fill(step.body, kept), token=token,
            headers={"X-Vault-Wrap-TTL": step.wrap} if step.wrap else None, **step.query,
        )  # fmt: skip
        said = f"step {number}, {step.method} {fill(step.path, kept)}: {answer}"
        assert answer.status == step.status, said
        for path, wanted in fill(step.has, kept).items():
            assert find(answer, path) == wanted, f"{path} in {said}"
        if step.error is not None:
            text = "\n".join(answer.errors)
            assert (fill(step.error, kept) in text) if step.error else text == "", said
        for name, path in step.keep.items():
            kept[name] = find(answer, path)
            assert kept[name], f"nothing at {path} in {said}"


def find(answer: Answer, path: str) -> Any:
    """What stands at a dotted path of an answer's JSON."""
    value: Any = answer.body
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def fill(value: Any, kept: Mapping[str, Any]) -> Any:
    """The value with kept names in its texts and keys filled in."""
    if isinstance(value, str):
        for name, text in kept.items():
            value = value.replace("{" + name + "}", str(text))
        return value
    if isinstance(value, Mapping):
        return {fill(key, kept): fill(inner, kept) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, kept) for inner in value]
    return value


def get(path: str, status: int = 200, **more: Any) -> Step:
    """Read."""
    return Step("GET", path, None, status, **more)


def post(path: str, body: Any = None, status: int = 200, **more: Any) -> Step:
    """Write."""
    return Step("POST", path, {} if body is None else body, status, **more)


def put_secret(value: Any, cas: int | None = None, status: int = 200, **more: Any) -> Step:
    """Write the case's secret; with check-and-set when a version is given."""
    options = {} if cas is None else {"options": {"cas": cas}}
    return post("kv/data/{p}", {"data": {"value": value}, **options}, status, **more)


def delete(path: str, status: int = 204, **more: Any) -> Step:
    """Delete."""
    return Step("DELETE", path, None, status, **more)


def names(path: str, status: int = 200, **more: Any) -> Step:
    """List."""
    return Step("LIST", path, None, status, **more)


def policy(name: str, text: str, status: int = 204, **more: Any) -> Step:
    """Write a policy."""
    return Step("PUT", f"sys/policies/acl/{name}", {"policy": text}, status, **more)


def token(*policies: str, name: str = "token", **options: Any) -> Step:
    """Make a token and keep it."""
    body = {"policies": list(policies), **options}
    return post("auth/token/create", body, keep={name: "auth.client_token"})
