"""Commands on this machine get none of the secrets that this process was given (SE-04)."""

from __future__ import annotations

import pytest

from installer.adapters.local import LocalHost, plain_environment
from installer.ports import Command


def test_a_secret_in_the_environment_goes_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVPLAT_STORE_PASSPHRASE", "planted")
    seen = LocalHost("none", environment=plain_environment()).run(Command("env")).text
    assert "planted" not in seen
    assert "HOME=" in seen
    assert "PATH=" in seen
