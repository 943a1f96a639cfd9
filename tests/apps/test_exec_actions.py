"""Programs that a service wants run once: where they run, and what they get on standard input."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from installer.core.errors import DeployError
from installer.core.manifest import ExecAction
from installer.core.secrets import Secret
from installer.phases.bootstrap import exec_steps
from installer.ports import Completed

ACTION = {
    "kind": "exec", "title": "make the owner", "argv": ["make"], "stdin": "${pw}\n",
    "unless": ["look"], "unless_stdin": "look with ${pw}\n",
}  # fmt: skip


@dataclass
class Engine:
    """Remembers what is run; `look` succeeds once `make` has."""

    made: bool = False
    breaks: bool = False
    seen: list[tuple[str, tuple[str, ...], bytes]] = field(default_factory=list)

    def exec(self, _: Any, service: str, argv: tuple[str, ...], stdin: bytes = b"") -> Completed:
        self.seen.append((service, argv, stdin))
        if argv == ("make",):
            self.made = not self.breaks
            return Completed(int(self.breaks), b"", b"refused\n")
        return Completed(0 if self.made else 1, b"", b"")


def steps(engine: Engine, services: tuple[str, ...], **more: Any) -> list[Any]:
    action = ExecAction.model_validate({**ACTION, **more})
    plan: Any = SimpleNamespace(
        services=services,
        manifest=lambda name: SimpleNamespace(bootstrap=(action,) if name == "one" else ()),
    )
    return exec_steps(engine, SimpleNamespace(), plan, {"pw": Secret("s3cret")})  # type: ignore[arg-type]


def test_a_program_and_its_question_get_their_own_standard_input():
    engine = Engine()
    [step] = steps(engine, ("one",))
    assert not step.check()
    list(step.do())
    assert step.check()
    assert engine.seen == [
        ("one", ("look",), b"look with s3cret\n"),
        ("one", ("make",), b"s3cret\n"),
        ("one", ("look",), b"look with s3cret\n"),
    ]


def test_a_program_may_run_in_another_service_and_only_where_that_is_there():
    engine = Engine()
    [step] = steps(engine, ("one", "two"), **{"in": "two"})
    list(step.do())
    assert {service for service, _, _ in engine.seen} == {"two"}
    assert steps(engine, ("one",), **{"in": "two"}) == []


def test_a_refusal_names_the_service_it_came_from():
    [step] = steps(Engine(breaks=True), ("one", "two"), **{"in": "two"})
    with pytest.raises(DeployError) as refusal:
        list(step.do())
    assert refusal.value.problems[0].where == "two"
    assert "s3cret" not in refusal.value.problems[0].summary
