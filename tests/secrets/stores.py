"""What the tests of the encrypted store share: one store, its passphrase and its secret."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from installer.core.errors import InstallError
from installer.core.secrets import Secret, SecretKind, SecretSpec

PASSPHRASE = Secret("correct horse battery staple")
VALUE = Secret("Xq7canaryvalueXq7canaryvalue")
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


def spec(name: str = "db-password") -> SecretSpec:
    return SecretSpec(name, SecretKind.PASSWORD, "logs in to the database")


def code_of(error: pytest.ExceptionInfo[InstallError]) -> str:
    assert error.value.problems[0].remedy.summary
    assert VALUE.reveal() not in str(error.value)
    assert PASSPHRASE.reveal() not in str(error.value)
    return error.value.problems[0].code
