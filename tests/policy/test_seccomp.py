"""A service's own seccomp profile: part of the bundle, and within the engine's default (HD-06)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from installer.core.events import Outcome
from installer.core.policy.seccomp import allows_more
from tests.policy.builders import ROOT
from tests.policy.judging import judge, judge_container

DEFAULT_PROFILE = json.loads((ROOT / "assets/seccomp-default.json").read_bytes())


def profile(**changes: Any) -> dict[str, Any]:
    return {**DEFAULT_PROFILE, **changes}


NARROWER = profile(syscalls=DEFAULT_PROFILE["syscalls"][:3])
WIDER = profile(
    syscalls=[*DEFAULT_PROFILE["syscalls"], {"names": ["kexec_load"], "action": "SCMP_ACT_ALLOW"}]
)
LOGGING = profile(
    syscalls=[*DEFAULT_PROFILE["syscalls"], {"names": ["kexec_load"], "action": "SCMP_ACT_LOG"}]
)
OPEN = profile(defaultAction="SCMP_ACT_ALLOW")


@pytest.mark.parametrize(
    ("custom", "outcome"),
    [
        (DEFAULT_PROFILE, Outcome.PASS),
        (NARROWER, Outcome.PASS),
        (WIDER, Outcome.FAIL),
        (LOGGING, Outcome.FAIL),
        (OPEN, Outcome.FAIL),
    ],
)
def test_a_custom_seccomp_profile_is_of_the_bundle_and_within_the_default(
    custom: dict[str, Any], outcome: Outcome
) -> None:
    files = {"gitea/seccomp.json": json.dumps(custom).encode()}
    options = ["no-new-privileges:true", "seccomp=./gitea/seccomp.json"]
    assert judge("HD-06", {"security_opt": options}, files=files) is outcome
    assert judge("HD-06", {"security_opt": options}) is Outcome.FAIL
    inline = {"HostConfig.SecurityOpt": [f"seccomp={json.dumps(custom)}"]}
    assert judge_container("HD-06", inline, files=files).outcome is outcome
    assert judge_container("HD-06", inline).outcome is Outcome.FAIL


def test_conditions_of_a_seccomp_rule_count() -> None:
    bare = {"names": ["personality"], "action": "SCMP_ACT_ALLOW"}
    assert allows_more(profile(syscalls=[bare]), DEFAULT_PROFILE) == ("personality",)
    narrow = {**bare, "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]}
    assert allows_more(profile(syscalls=[narrow]), DEFAULT_PROFILE) == ()
    refused = {"name": "kexec_load", "action": "SCMP_ACT_ERRNO"}
    assert allows_more(profile(syscalls=[refused]), DEFAULT_PROFILE) == ()


@pytest.mark.parametrize("data", [b"[]", b"{}", b'{"defaultAction": 1}', b"\x00"])
def test_what_is_no_seccomp_profile_is_not_accepted_as_one(data: bytes) -> None:
    files = {"gitea/seccomp.json": data}
    options = ["no-new-privileges:true", "seccomp=./gitea/seccomp.json"]
    assert judge("HD-06", {"security_opt": options}, files=files) is Outcome.FAIL
