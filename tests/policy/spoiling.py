"""Ways to spoil the body of a compose service or the description of a container in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Defect = Callable[[dict[str, Any]], None]
MIB = 1024**2


def put(path: str, value: Any) -> Defect:
    """Set a key; dots descend."""

    def spoil(body: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            body = body[parent]
        body[last] = value

    return spoil


def drop(*paths: str) -> Defect:
    """Remove keys."""

    def spoil(body: dict[str, Any]) -> None:
        for path in paths:
            *parents, last = path.split(".")
            inner = body
            for parent in parents:
                inner = inner[parent]
            del inner[last]

    return spoil


def both(*defects: Defect) -> Defect:
    def spoil(body: dict[str, Any]) -> None:
        for defect in defects:
            defect(body)

    return spoil


def add(path: str, *items: Any) -> Defect:
    """Extend a list."""

    def spoil(body: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            body = body[parent]
        body[last] = [*(body.get(last) or ()), *items]

    return spoil


def setting(name: str, value: str) -> Defect:
    return lambda body: body["environment"].update({name: value})


def bind(source: str, target: str = "/mnt", **more: Any) -> Defect:
    return add(
        "volumes", {"type": "bind", "source": source, "target": target, "read_only": True, **more}
    )


def mount(source: str, destination: str = "/mnt", **more: Any) -> Defect:
    return add(
        "Mounts",
        {
            "Type": "bind",
            "Source": source,
            "Destination": destination,
            "RW": False,
            "Propagation": "rprivate",
            **more,
        },
    )
