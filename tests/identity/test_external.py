"""A company's own identity provider: no authentik, all clients known, second factor unknown."""

from __future__ import annotations

import pytest
import yaml

from installer.core.draft import from_file, validate
from installer.core.errors import AnswersError
from tests.identity.conftest import bundle_with
from tests.stacks.builders import BASE, load, make_plan_for, services_of

CLIENTS = ("coder", "gitea")
EXTERNAL = {
    "mode": "external",
    "issuer": "https://login.company.com/realms/platform",
    "client_ids": {name: f"platform-{name}" for name in CLIENTS},
    "client_secrets": {name: f"env:{name.upper()}_OIDC" for name in CLIENTS},
}
WAIVED = {**BASE["waivers"], "mfa.unknown": "seen by the owner of the provider"}


def plan_of(**identity):
    return make_plan_for(
        load(),
        "everything",
        {
            "identity": {**EXTERNAL, **identity},
            "waivers": WAIVED,
            "monitoring": {"enabled": False},
        },
    )


def test_authentik_is_not_there_and_services_point_to_the_issuer():
    plan, bundle = bundle_with(identity=EXTERNAL, waivers=WAIVED, monitoring={"enabled": False})
    assert not [name for name in plan.services if name.startswith("authentik")]
    environment = services_of(bundle)["coder"]["environment"]
    assert environment["CODER_OIDC_ISSUER_URL"] == EXTERNAL["issuer"]
    assert environment["CODER_OIDC_CLIENT_ID"] == "platform-coder"
    source = bundle.files["gitea/login-source.sh"].data.decode()
    assert EXTERNAL["issuer"] + "/.well-known/openid-configuration" in source
    assert "--key 'platform-gitea'" in source
    assert not [path for path in bundle.files if "blueprints" in path]


@pytest.mark.parametrize("field", ["client_ids", "client_secrets"])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_that_the_provider_does_not_know_is_refused(field, client):
    known = {name: value for name, value in EXTERNAL[field].items() if name != client}
    with pytest.raises(AnswersError) as refused:
        plan_of(**{field: known})
    assert [p.where for p in refused.value.problems] == [f"identity.{field}.{client}"]
    assert refused.value.problems[0].code == "identity.client_missing"


@pytest.mark.parametrize(
    ("more", "code"),
    [({"mfa": {"required": False}}, "mfa.not_required"), ({"identity": EXTERNAL}, "mfa.unknown")],
)
def test_mf_02_a_second_factor_that_nobody_vouches_for_is_no_pass(more, code):
    data = yaml.safe_dump({**BASE, **more}).encode()
    with pytest.raises(AnswersError) as refused:
        validate(from_file(data, "answers.yaml", 0o600), load())
    assert code in [problem.code for problem in refused.value.problems]
