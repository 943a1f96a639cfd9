"""The section `vault`: its four alternatives, and what its fields say of each other."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from installer.core import draft
from installer.core.errors import AnswersError
from installer.core.fields_secrets import check_secret_value
from installer.core.secrets import Secret
from tests.answers import cases
from tests.answers.custodians import AGE, ED25519, FIVE, UNPROVEN
from tests.answers.loading import CATALOG, load, problems_of, read, valid

TRANSIT = {
    "seal": "transit",
    "seal_address": "https://vault.company.com:8200",
    "seal_key": "unseal",
    "seal_token": "env:SEAL_TOKEN",
}
KMS = {"flavor": "vault", "seal": "awskms", "seal_key": "alias/x", "seal_region": "eu-west-1"}
TWO_LOGINS = {"token": "env:T", "role_id": "r-1", "secret_id": "env:S"}


def bundled(**fields: Any) -> draft.Draft:
    """Answers with a bundled server, five custodians, and the waivers of an unattended run."""
    vault = {"custodians": FIVE, **fields}
    return valid(vault=vault, waivers={**UNPROVEN, "vault.auto_unseal": "a test"})


def external(**fields: Any) -> draft.Draft:
    return valid(vault={"mode": "external", "addr": "https://v.company.com", **fields})


def aws(**fields: Any) -> draft.Draft:
    return valid(vault={"mode": "aws-secrets-manager", "region": "eu-west-1", **fields})


def codes_of(given: draft.Draft) -> set[tuple[str, str | None]]:
    """Code and place of everything that is wrong; empty when nothing is."""
    try:
        draft.validate(given, CATALOG, files=cases.probe_file)
    except AnswersError as error:
        return {(p.code, p.where) for p in error.problems}
    return set()


# what is acceptable


@pytest.mark.parametrize(
    "given",
    [
        bundled(),
        bundled(flavor="vault", mount="team/kv", prefix="platform/prod", token="env:BREAK_GLASS"),
        bundled(unseal_shares=["env:A", "file:/b", "prompt"]),
        bundled(**TRANSIT),
        bundled(**TRANSIT, seal_mount="team/transit"),
        bundled(**KMS),
        bundled(key_shares=5, key_threshold=5),
        external(token="env:T"),
        external(token="prompt", namespace="org/team-a", ca_file="ca.pem"),
        external(role_id="r-1", secret_id="file:/s"),
        external(role_id="r-1", secret_id="file:/s", auth_mount="team/approle"),
        external(jwt="file:/run/ci.jwt", jwt_role="installer"),
        aws(),
        aws(prefix="a/b", kms_key_id="alias/devplat", profile="dev ops"),
        aws(kms_key_id="mrk-" + "0a" * 16),
        aws(kms_key_id="arn:aws:kms:eu-west-1:123456789012:key/" + "0a1b2c3d-" + "0a1b-" * 3
            + "0a1b2c3d4e5f"),
        aws(region="us-gov-west-1", endpoint_url="http://127.0.0.1:5000"),
        aws(region="eusc-de-east-1", endpoint_url="https://vpce-1.sm.eu-west-1.vpce.amazonaws.com"),
        valid(vault={"mode": "embedded", "passphrase": "file:/p"}),
    ],
)  # fmt: skip
def test_a_store_is_accepted_and_written_and_read_back(given) -> None:
    answers = load(given)
    assert load(read(draft.dump(answers))) == answers


def test_the_bundled_server_is_the_default() -> None:
    bare = {k: v for k, v in cases.VALID.items() if k != "vault"}
    problems = problems_of(read(cases.write(bare)))
    assert set(problems) == {"vault.plain_shares", "vault.possession_unproven"}
    vault = load(draft.merge(read(cases.write(bare)), _waive(*problems))).vault
    assert (vault.mode, vault.flavor, vault.seal) == ("bundled", "openbao", "shamir")
    assert (vault.key_shares, vault.key_threshold, vault.custodians) == (5, 3, {})
    assert (vault.mount, vault.prefix, vault.token, vault.unseal_shares) == (
        "secret",
        None,
        None,
        (),
    )


def _waive(*codes: str) -> draft.Draft:
    return draft.from_flags([f"waivers.{code}=a test" for code in codes])


# what does not fit together


@pytest.mark.parametrize(
    ("given", "code", "where"),
    [
        (bundled(key_shares=4), "vault.custodians", "vault.custodians"),
        (bundled(key_shares=6), "vault.custodians", "vault.custodians"),
        (bundled(custodians={**FIVE, "emil": AGE[0]}), "vault.custodians", "vault.custodians"),
        (
            bundled(key_shares=2, custodians={"a": f"{ED25519} one", "b": f"{ED25519} two"}),
            "vault.custodians",
            "vault.custodians",
        ),
        (bundled(key_threshold=6), "vault.threshold", "vault.key_threshold"),
        (bundled(key_threshold=1), "vault.threshold", "vault.key_threshold"),
        (bundled(key_threshold=0), "vault.threshold.range", "vault.key_threshold"),
        (bundled(key_shares=256), "vault.shares.range", "vault.key_shares"),
        (bundled(key_shares=0), "vault.shares.range", "vault.key_shares"),
        (bundled(unseal_shares=["env:A"] * 6), "vault.unseal_shares", "vault.unseal_shares"),
        (bundled(unseal_shares=["env:A", "env:B"]), "vault.unseal_shares", "vault.unseal_shares"),
        (
            bundled(unseal_shares=["env:A", "env:B", "env:A"]),
            "vault.unseal_shares",
            "vault.unseal_shares",
        ),
        (
            bundled(**TRANSIT, unseal_shares=["env:A", "env:B", "env:C"]),
            "vault.unseal_shares",
            "vault.unseal_shares",
        ),
        (
            bundled(unseal_shares=["generate", "env:B", "env:C"]),
            "secret.not_generated",
            "vault.unseal_shares[1]",
        ),
        (bundled(seal_key="unseal"), "vault.seal", "vault.seal_key"),
        (bundled(seal_mount="other"), "vault.seal", "vault.seal_mount"),
        (bundled(seal_region="eu-west-1"), "vault.seal", "vault.seal_region"),
        (bundled(**{**TRANSIT, "seal_key": None}), "vault.seal", "vault.seal_key"),
        (bundled(**{**TRANSIT, "seal_token": None}), "vault.seal", "vault.seal_token"),
        (bundled(**TRANSIT, seal_region="eu-west-1"), "vault.seal", "vault.seal_region"),
        (
            bundled(**{**TRANSIT, "seal_address": "http://127.0.0.1:8200"}),
            "vault.addr.plain",
            "vault.seal_address",
        ),
        (bundled(**{**KMS, "flavor": "openbao"}), "vault.seal", "vault.seal"),
        (bundled(**{**KMS, "seal_key": "unseal"}), "vault.seal", "vault.seal_key"),
        (bundled(**{**KMS, "seal_region": None}), "vault.seal", "vault.seal_region"),
        (bundled(flavor="hashicorp"), "choice.unknown", "vault.flavor"),
        (bundled(seal="pkcs11"), "choice.unknown", "vault.seal"),
        (bundled(addr="https://v.company.com"), "file.unknown_key", "vault.addr"),
        (external(), "vault.login", "vault.token"),
        (external(**TWO_LOGINS), "vault.login", "vault.role_id"),
        (external(role_id="r-1"), "vault.login", "vault.secret_id"),
        (external(secret_id="env:S"), "vault.login", "vault.role_id"),
        (external(jwt="env:J"), "vault.login", "vault.jwt_role"),
        (external(token="env:T", jwt_role="x"), "vault.login", "vault.jwt_role"),
        (external(token="env:T", auth_mount="approle"), "vault.login", "vault.auth_mount"),
        (external(token="vault:team/x#token"), "vault.login", "vault.token"),
        (
            external(token="env:T", custodians=FIVE),
            "file.unknown_key",
            "vault.custodians",
        ),
        (valid(vault={"mode": "external", "token": "env:T"}), "answers.missing", "vault.addr"),
        (valid(vault={"mode": "aws-secrets-manager"}), "answers.missing", "vault.region"),
        (aws(token="env:T"), "file.unknown_key", "vault.token"),
        (valid(vault={"mode": "vault"}), "choice.unknown", "vault.mode"),
    ],
)
def test_what_does_not_fit_is_one_problem_at_its_place(given, code, where) -> None:
    assert codes_of(given) == {(code, where)}


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (valid(vault={}, waivers=UNPROVEN), "vault.plain_shares"),
        (valid(vault={"custodians": FIVE}), "vault.possession_unproven"),
        (
            valid(
                vault={"custodians": FIVE, **TRANSIT}, waivers=UNPROVEN
            ),
            "vault.auto_unseal",
        ),
        (
            valid(vault={"key_shares": 1, "custodians": {"a": AGE[0]}}, waivers=UNPROVEN),
            "vault.single_share",
        ),
    ],
)  # fmt: skip
def test_a_risk_needs_a_waiver_and_is_recorded_with_it(given, code) -> None:
    assert {found for found, _ in codes_of(given)} == {code}
    validated = draft.validate(draft.merge(given, _waive(code)), CATALOG)
    assert code in {warning.code for warning in validated.warnings}


def test_possession_is_no_concern_where_somebody_can_type_a_share_back() -> None:
    given = valid(vault={"custodians": FIVE})
    validated = draft.validate(given, CATALOG, attended=True)
    assert validated.warnings == ()
    assert [note.where for note in validated.notes] == ["vault.mode"]
    assert draft.check_field(given, CATALOG, "vault.mode", "bundled").verdict == "accept"
    recorded = draft.validate(draft.merge(given, _waive(*UNPROVEN)), CATALOG, attended=True)
    assert [warning.code for warning in recorded.warnings] == list(UNPROVEN)


def test_plain_shares_need_their_waiver_also_at_a_terminal() -> None:
    with pytest.raises(AnswersError) as caught:
        draft.validate(valid(vault={}), CATALOG, attended=True)
    assert [problem.code for problem in caught.value.problems] == ["vault.plain_shares"]


def test_a_field_of_two_alternatives_names_both() -> None:
    problem = problems_of(aws(mount="secret"))["file.unknown_key"]
    assert "vault.mode: bundled or external" in problem.remedy.summary


# references to shares


def test_shares_are_references_and_never_written() -> None:
    share = base64.b64encode(bytes(range(33))).decode()
    given = bundled(unseal_shares=["env:SHARE_1", f"literal:{share}", "file:/run/share 3"])
    validated = draft.validate(given, CATALOG)
    assert "secret.inline" in {warning.code for warning in validated.warnings}
    text = draft.dump(validated.answers)
    assert share not in text + repr(validated) + validated.answers.model_dump_json()
    assert '["env:SHARE_1", prompt, "file:/run/share 3"]' in text


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_b_140_a_share_in_a_file_that_others_can_read_is_refused(mode) -> None:
    share = base64.b64encode(bytes(range(33))).decode()
    for written in ([share, "env:B", "env:C"], ["too short", "env:B", "env:C"]):
        vault = {"custodians": FIVE, "unseal_shares": written}
        text = cases.write({**cases.VALID, "vault": vault, "waivers": UNPROVEN})
        outcome = cases.judge_file(text.encode(), CATALOG, mode=mode)
        assert "file.secret_inline" in outcome.codes
        assert written[0] not in outcome.message


def test_a_share_on_the_command_line_is_refused() -> None:
    share = base64.b64encode(bytes(range(33))).decode()
    given = draft.merge(bundled(), draft.from_flags([f"vault.unseal_shares={share}"]))
    assert ("secret.on_command_line", "vault.unseal_shares") in codes_of(given)


VALUES = [
    ("vault.unseal_shares[2]", base64.b64encode(bytes(33)).decode(), None),
    ("vault.unseal_shares[2]", bytes(33).hex(), None),
    ("vault.unseal_shares[1]", base64.b64encode(bytes(32)).decode(), None),
    ("vault.unseal_shares[1]", "not a share", "vault.share_form"),
    ("vault.unseal_shares[1]", "abc", "vault.share_form"),
    ("vault.unseal_shares[1]", bytes(40).hex(), "vault.share_form"),
    ("vault.jwt", "eyJhbGci.eyJzdWIi.c2lnbmF0dXJl", None),
    ("vault.jwt", "eyJhbGci.eyJzdWIi", "vault.jwt_form"),
    ("vault.jwt", "eyJhbGci.eyJzdWIi.c2lnbmF0dXJl\n", "vault.jwt_form"),
    ("vault.jwt", ".".join(["a" * 9000] * 3), "vault.jwt_form"),
    ("vault.seal_token", "s.short", "vault.token_form"),
    ("vault.secret_id", "841771dc-11c9-bbc7-bcac-6a3945a69cd9", None),
    ("vault.secret_id", "", "secret.empty"),
]


@pytest.mark.parametrize(("path", "value", "code"), VALUES)
def test_a_value_behind_a_reference_is_judged_by_the_field_it_is_for(path, value, code) -> None:
    problems = check_secret_value(path, Secret(value))
    assert [problem.code for problem in problems] == ([code] if code else [])
    for problem in problems:
        assert problem.where == path
        assert len(value) < 5 or value not in cases.message_of(problem)


# places in a store

FORMS = [
    ("vault.prefix", "devplat/prod", None),
    ("vault.prefix", "devplat/prod/", None),
    ("vault.prefix", "data/devplat", "vault.prefix_form"),
    ("vault.prefix", "devplat/*", "vault.prefix_form"),
    ("vault.prefix", "devplat/+/x", "vault.prefix_form"),
    ("vault.prefix", "../x", "vault.prefix_form"),
    ("vault.prefix", "/x", "vault.prefix_form"),
    ("vault.prefix", "a//b", "vault.prefix_form"),
    ("vault.prefix", 'a"b', "vault.prefix_form"),
    ("vault.prefix", "${x}", "vault.prefix_form"),
    ("vault.prefix", "ü", "vault.prefix_form"),
    ("vault.prefix", "a" * 201, "vault.prefix_form"),
    ("vault.auth_mount", "team/approle", None),
    ("vault.auth_mount", "auth/approle", "vault.mount_form"),
    ("vault.auth_mount", "../approle", "vault.mount_form"),
    ("vault.namespace", "org/team-a", None),
    ("vault.namespace", "root", "vault.namespace_form"),
    ("vault.namespace", "org/sys", "vault.namespace_form"),
    ("vault.namespace", "a b", "vault.namespace_form"),
    ("vault.region", "ap-southeast-2", None),
    ("vault.region", "us-iso-east-1", None),
    ("vault.region", "Frankfurt", "vault.region_form"),
    ("vault.region", "eu-central-1a", "vault.region_form"),
    ("vault.region", "", "vault.region_form"),
    ("vault.kms_key_id", "key/x", "vault.kms_key_form"),
    ("vault.kms_key_id", "devplat", "vault.kms_key_form"),
    ("vault.kms_key_id", "arn:aws:s3:::bucket", "vault.kms_key_form"),
    ("vault.profile", "[default]", "vault.profile_form"),
    ("vault.endpoint_url", "http://10.0.0.5:5000", "vault.endpoint.plain"),
    ("vault.endpoint_url", "http://localhost.evil.com", "vault.endpoint.plain"),
    ("vault.endpoint_url", "https://user:pass@a.com", "vault.endpoint.form"),
    ("vault.endpoint_url", "https://a.com/path", "vault.endpoint.form"),
    ("vault.endpoint_url", "ftp://a.com", "vault.endpoint.form"),
    ("vault.endpoint_url", "http://[::1]:5000", None),
]


@pytest.mark.parametrize(("path", "value", "code"), FORMS)
def test_a_place_in_a_store_is_judged_by_its_form(path, value, code) -> None:
    outcome = cases.judge_screen(path, value, CATALOG)
    assert outcome.codes == ({code} if code else set()), outcome.message


@pytest.mark.parametrize("value", ["a b", "", "r/1", "x" * 129, "a\nb"])
def test_a_role_id_is_copied_whole(value) -> None:
    base = external(secret_id="env:S")
    verdict = draft.check_field(base, CATALOG, "vault.role_id", value)
    codes = {problem.code for problem in verdict.problems}
    assert codes == {"vault.login" if value == "" else "vault.login_form"}
