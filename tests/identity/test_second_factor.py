"""Nobody gets in without a second factor, as the rendered blueprints set it.

Covers MF-01..MF-04, MF-06, MF-09..MF-11.
"""

from __future__ import annotations

import pytest


def test_every_blueprint_is_applied_and_a_second_time_changes_nothing(world):
    """MF-18: no second flow, stage, policy or client."""
    ours = {path: s for path, s in world.status().items() if path.startswith("devplat/")}
    assert len(ours) >= 5
    assert set(world.status().values()) == {"successful"}
    before = world.store.read()
    world.blueprints.apply_all()
    assert world.store.read() == before


def test_a_password_alone_leads_to_enrolment_and_opens_no_application(world):
    """MF-01, MF-02, MF-11: the first administrator enrols, and is not locked out."""
    browser = world.browser()
    challenge = browser.password()
    assert {c["kind"] for c in challenge["configuration_stages"]} == {"totp", "webauthn"}
    assert not browser.is_in()
    browser.enrol(challenge)
    assert browser.is_in()


def test_waved_through_when_the_setting_is_skip(world):
    """MF-01: the same login, with the setting that authentik has by default."""
    world.change(
        "authentik_stages_authenticator_validate.authenticatorvalidatestage", {},
        not_configured_action="skip",
    )  # fmt: skip
    browser = world.browser()
    browser.password()
    assert browser.step()["component"] in ("ak-stage-authenticator-static", "xak-flow-redirect")
    browser.step(kept=True)
    assert browser.is_in()


def test_mf_09_a_code_holds_once_and_not_five_minutes_later(world):
    browser = world.browser()
    key = browser.enrol(browser.password())
    world.now += 300
    code = browser_code(key, world.now)
    first, second = world.browser(), world.browser()
    first.password()
    assert first.step(code=code)["component"] == "xak-flow-redirect"
    assert first.is_in()
    second.password()
    assert "response_errors" in second.step(code=code)
    world.now += 300
    assert "response_errors" in second.step(code=code)
    assert not second.is_in()
    world.now += 300
    assert second.step(code=browser_code(key, world.now))["component"] == "xak-flow-redirect"


def browser_code(key: str, when: float) -> str:
    from authentik_totp import totp_code

    return totp_code(key, when)


def test_a_recovery_code_holds_once(world):
    """MF-06: recovery codes beside the daily factor."""
    browser = world.browser()
    browser.enrol(browser.password())
    assert len(browser.codes) == 8
    world.now += 60
    first, second = world.browser(), world.browser()
    first.password()
    assert first.step(code=browser.codes[0])["component"] == "xak-flow-redirect"
    second.password()
    assert "response_errors" in second.step(code=browser.codes[0])


def test_mf_10_guessing_closes_the_account_and_no_other(world):
    """50 wrong passwords: denied, logged, forgotten after 15 minutes; somebody else gets in."""
    other = world.store.first("authentik_core.user", username="platform-admin")
    world.store.write({**other, "pk": "second", "username": "someone", "email": "s@company.com"})
    for number in range(50):
        world.browser().password(password=f"wrong-{number}")
    browser = world.browser()
    browser.step()
    challenge = browser.step(uid_field="platform-admin")
    assert challenge["error_message"] == "Too many failed logins. Try again later."
    assert "configuration_stages" in world.browser().password("someone")
    world.now += 901
    assert "configuration_stages" in world.browser().password()


def test_mf_10_wrong_codes_are_slowed(world):
    browser = world.browser()
    key = browser.enrol(browser.password())
    world.now += 60
    thief = world.browser()
    thief.password()
    for number in range(8):
        assert "response_errors" in thief.step(code=f"{number:06}")
    assert "response_errors" in thief.step(code=browser_code(key, world.now)), "closed for a while"
    assert not thief.is_in()


def test_mf_14_a_session_ends_after_eight_hours_and_with_the_account(world):
    browser = world.browser()
    browser.enrol(browser.password())
    world.now += 8 * 3600 - 1
    assert browser.is_in()
    world.change("authentik_core.user", {"username": "platform-admin"}, is_active=False)
    assert not browser.is_in()
    world.change("authentik_core.user", {"username": "platform-admin"}, is_active=True)
    world.now += 2
    assert not browser.is_in()


def test_who_is_in_no_group_opens_no_application(world):
    """MF-05: an account alone is no permission."""
    world.change("authentik_core.user", {"username": "platform-admin"}, groups=[])
    browser = world.browser()
    browser.enrol(browser.password())
    assert not browser.is_in()


@pytest.mark.parametrize("page", ["initial-setup", "default-password-change"])
def test_mf_04_no_other_flow_is_open_to_a_visitor(world, page):
    assert world.browser().step(page)["component"] == "ak-stage-access-denied"


def test_the_setup_page_would_be_open_without_the_policy(world):
    """MF-11: what the refusal comes from."""
    world.change("authentik_flows.flow", {"slug": "initial-setup"}, policy_engine_mode="any")
    policy = world.pk("authentik_policies_expression.expressionpolicy", name="devplat-never")
    world.change("authentik_policies.policybinding", {"policy": policy}, enabled=False)
    challenge = world.browser().step("initial-setup")
    assert challenge["error_message"] == "nobody is identified"


def test_mf_11_authentiks_own_account_is_off(world):
    assert world.store.first("authentik_core.user", username="akadmin")["is_active"] is False
    assert world.browser().password("akadmin", "random")["component"] == "ak-stage-password"
    assert world.app.answer(_get("/")).headers["Location"].startswith("/flows/-/default")


def _get(path: str):
    from standin import Request

    return Request("GET", path, {}, {}, b"")


def test_mf_13_there_is_no_recovery_to_lower_the_bar(world):
    challenge = world.browser().step()
    assert challenge["recovery_url"] is None
    assert challenge["enroll_url"] is None


def test_mf_08_user_verification_is_required(world):
    challenge = world.browser()
    listed = challenge.password()["configuration_stages"]
    key = next(c for c in listed if c["kind"] == "webauthn")
    shown = challenge.step(selected_stage=key["pk"])
    assert shown["registration"]["userVerification"] == "required"


@pytest.mark.parametrize(
    ("methods", "kinds", "codes"),
    [(["totp"], {"totp"}, False), (["webauthn", "static"], {"webauthn"}, True)],
)
def test_only_the_methods_of_the_answers_are_offered(make_world, methods, kinds, codes):
    """MF-06"""
    world = make_world(mfa={"methods": methods})
    stage = world.store.first("authentik_stages_authenticator_validate.authenticatorvalidatestage")
    assert stage["device_classes"] == methods
    objects = world.store.read()
    found = {
        objects[pk]["model"].rpartition("authenticator")[2] for pk in stage["configuration_stages"]
    }
    assert {name.removesuffix("stage") for name in found} == kinds
    bound = world.store.first(
        "authentik_policies_expression.expressionpolicy", name="devplat-needs-recovery-codes"
    )
    assert (bound is not None) is codes


def test_mf_20_passwords_have_fifteen_characters(world):
    stage = world.store.first(
        "authentik_stages_prompt.promptstage", name="default-password-change-prompt"
    )
    policies = [world.store.read()[pk] for pk in stage["validation_policies"]]
    assert [p["length_min"] for p in policies] == [15]
    assert not policies[0]["check_have_i_been_pwned"]


def test_mf_03_an_expression_that_fails_does_not_pass(world):
    """The guide's function does not exist: what depends on it is not reached."""
    name = "devplat-needs-recovery-codes"
    world.change(
        "authentik_policies_expression.expressionpolicy", {"name": name},
        expression="return ak_is_mfa_configured(request.user)",
    )  # fmt: skip
    browser = world.browser()
    browser.enrol(browser.password())
    assert not hasattr(browser, "codes")
