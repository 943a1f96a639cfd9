"""What the tests of the store in AWS share: its client with calls replaced, and what every problem
has to have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from installer.adapters.aws_store import AwsStore
from installer.core.errors import ExitCode, Problem, SecretStoreError
from installer.core.secrets import Secret
from tests.secrets.store_kits import AWS_ENVIRONMENT
from tests.secrets.stores import VALUE

NEW = Secret("Qz9canaryrotatedQz9canaryrotated")


class Wrapped:
    """The library's client with some of its calls replaced."""

    def __init__(self, client: Any, **calls: Callable[..., Any]) -> None:
        self._client = client
        self.__dict__.update(calls)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def wrapped(client: Any, prefix: str, slept: list[float] | None = None, **calls: Any) -> AwsStore:
    slept = [] if slept is None else slept
    proxy: Any = Wrapped(client, **calls)
    return AwsStore(proxy, prefix=prefix, deployment="devplat", sleep=slept.append)


def problem_of(caught: pytest.ExceptionInfo[SecretStoreError]) -> Problem:
    assert caught.value.exit_code is ExitCode.VAULT
    problem = caught.value.problems[0]
    assert problem.remedy.summary
    for text in (VALUE.reveal(), NEW.reveal(), AWS_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"]):
        assert text not in f"{caught.value!r} {problem!r}"
    return problem


def never() -> Secret:
    raise AssertionError("a value was made")
