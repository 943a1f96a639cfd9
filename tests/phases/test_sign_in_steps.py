"""When the login of people is made, waited for, left alone and taken away. The server is a double;
`tests/contract/vault/test_sign_in.py` has real ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from installer.core.errors import Problem, Remedy, SecretStoreError
from installer.core.events import StepProgress
from installer.core.secrets import Secret
from installer.core.sign_in import SignIn, mark_of
from installer.phases.server import Server
from installer.phases.sign_in import WAIT_S, sign_in_steps
from installer.phases.steps import Step, run_steps
from tests.contract.vault.test_sign_in import rendered
from tests.phases.test_steps import Journal

ROOTS = b"-----BEGIN CERTIFICATE-----\n"
CLIENT = {"vault-oidc-secret": Secret("a secret of the client, long enough")}


@dataclass
class Method:
    """A login method that refuses so many times before it takes the provider."""

    refusals: int = 0
    code: str = "vault.sign_in_refused"
    made: tuple[SignIn, str] | None = None
    ours: bool = False
    asked: int = 0

    def lacks(self, wanted: SignIn, client: Secret, roots: str) -> tuple[str, ...]:
        return () if self.made == (wanted, roots) else ("login method auth/oidc",)

    def configure(self, wanted: SignIn, client: Secret, roots: str) -> None:
        self.asked += 1
        if self.asked <= self.refusals:
            raise SecretStoreError(Problem(self.code, "not now", Remedy("wait")))
        self.made, self.ours = (wanted, roots), True

    def is_there(self, method: str, mark: str) -> bool:
        assert (method, mark) == ("oidc", mark_of(rendered()[0]))
        return self.ours

    def remove(self, method: str, mark: str, prefix: str) -> None:
        assert prefix == "devplat-"
        self.ours = False


@dataclass
class Clock:
    at: float = 0.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds


def steps_of(method: Method, clock: Clock, roots: bytes | None = ROOTS, **vault: Any) -> list[Step]:
    plan, bundle = rendered(**vault)
    manifest = plan.server
    assert manifest is not None
    ports = type("Ports", (), {"admin": type("Admin", (), {"sign_in": method})()})()
    parts = {"plan": plan, "ports": ports, "clock": clock, "part": manifest.server}
    server = cast(Server, type("Double", (), parts)())
    return list(sign_in_steps(server, bundle, CLIENT, roots))


def run(steps: list[Step]) -> Iterator[object]:
    return run_steps(steps, Journal())


def test_it_is_made_with_the_edges_roots_once_and_a_second_run_finds_it() -> None:
    method, clock = Method(), Clock()
    list(run(steps_of(method, clock, single_sign_on=True)))
    assert method.made is not None and method.made[1] == ROOTS.decode()
    list(run(steps_of(method, clock, single_sign_on=True)))
    assert method.asked == 1
    assert steps_of(method, clock, None, single_sign_on=True)[0].check() is False


def test_a_provider_that_was_just_started_is_waited_for() -> None:
    method, clock = Method(refusals=3), Clock()
    told = list(run(steps_of(method, clock, single_sign_on=True)))
    assert method.made is not None
    assert len(clock.slept) == 3
    assert [e.note for e in told if isinstance(e, StepProgress)] == [
        "the identity provider is not ready"
    ] * 3


@pytest.mark.parametrize(
    ("code", "waits"), [("vault.sign_in_refused", True), ("vault.sign_in_taken", False)]
)
def test_it_ends_with_the_servers_own_reason(code: str, waits: bool) -> None:
    method, clock = Method(refusals=10_000, code=code), Clock()
    with pytest.raises(SecretStoreError) as caught:
        list(run(steps_of(method, clock, single_sign_on=True)))
    assert caught.value.problems[0].code == code
    assert (clock.at > WAIT_S - 10) is waits
    assert clock.at <= WAIT_S


def test_what_nobody_wants_any_more_is_taken_away_and_else_nothing_is_done() -> None:
    method, clock = Method(ours=True), Clock()
    (step,) = steps_of(method, clock)
    list(run([step]))
    assert method.ours is False
    assert steps_of(method, clock) == []
