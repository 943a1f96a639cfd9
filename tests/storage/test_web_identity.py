"""Keys for a token of the identity provider, by a real MinIO and by the stand-in: the policy is
that of the claim, and who has none gets nothing. MF-05: people have no other entrance to the store.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.storage.provider import Provider
from tests.storage.world import KEYS, ROOT, World

pytestmark = pytest.mark.slow
SECRET = "client-secret-that-nobody-else-has-0123456789"
URL = "MINIO_IDENTITY_OPENID_CONFIG_URL"


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.stop()


@pytest.fixture
def open_to_people(signing_on: World, provider: Provider) -> World:
    """A started store that knows the provider."""
    provider.start()
    with_secret(signing_on, SECRET)
    signing_on.start(**{URL: provider.discovery})
    return signing_on


def with_secret(world: World, secret: str) -> None:
    world.secret("config.env", f"MINIO_IDENTITY_OPENID_CLIENT_SECRET={secret}\n")


def keys_of(answer: tuple[int, bytes]) -> tuple[tuple[str, str], str]:
    status, body = answer
    assert status == 200, body
    text = body.decode()
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    access, secret, token = (re.findall(f"<{name}>([^<]+)</{name}>", text)[0] for name in names)
    return (access, secret), token


def test_the_claim_decides_what_somebody_may(open_to_people: World, provider: Provider) -> None:
    world = open_to_people
    assert world.ask(KEYS["gitea"], "PUT", "/gitea/a", b"object")[0] == 200
    keys, token = keys_of(world.assume(provider.token(policy=["consoleAdmin"])))
    assert world.ask(keys, "GET", "/gitea/a", token=token) == (200, b"object")
    assert world.ask(keys, "GET", "/gitea/a")[0] == 403, "the keys are of no use without the token"
    assert world.ask(keys, "PUT", "/another", token=token)[0] == 200
    # less than everything: the policy of one consumer
    keys, token = keys_of(world.assume(provider.token(policy="consumer-drone")))
    assert world.ask(keys, "GET", "/drone", token=token)[0] == 200
    assert world.ask(keys, "GET", "/gitea/a", token=token)[0] == 403
    # keys end as asked
    keys, token = keys_of(world.assume(provider.token(policy="readonly", sub="other")))
    assert world.ask(keys, "PUT", "/gitea/b", b"x", token=token)[0] == 403

    refused: list[dict[str, Any]] = [
        {},
        {"policy": []},
        {"policy": ["a-group-that-nobody-knows"]},
        {"groups": ["platform-admins"]},
        {"policy": ["consoleAdmin"], "aud": "grafana"},
        {"policy": ["consoleAdmin"], "aud": None},
        {"policy": ["consoleAdmin"], "exp": int(time.time()) - 60},
    ]
    for claims in refused:
        status, body = world.assume(provider.token(**claims))
        assert status == 400, (claims, body)
        assert b"SecretAccessKey" not in body


def test_tokens_that_others_sign_open_nothing(open_to_people: World, provider: Provider) -> None:
    world, admin = open_to_people, {"policy": ["consoleAdmin"]}
    stranger = Provider()
    for token in (
        stranger.token(**admin),
        provider.forged("", **admin),
        provider.forged("minio", **admin),
        provider.token(**admin)[:-6] + "AAAAAA",
        "",
    ):
        assert world.assume(token)[0] == 400, token


def test_without_a_secret_of_its_own_everybody_could_sign(
    signing_on: World, provider: Provider
) -> None:
    """Why there is a secret although the client is a public one: MinIO also takes HMAC with it."""
    provider.start()
    with_secret(signing_on, "")
    signing_on.start(**{URL: provider.discovery})
    keys, token = keys_of(signing_on.assume(provider.forged("", policy=["consoleAdmin"])))
    assert signing_on.ask(keys, "GET", "/gitea", token=token)[0] == 200


def test_until_the_provider_answers_no_consumer_is_served(
    signing_on: World, provider: Provider
) -> None:
    """Why single sign-on is off unless somebody wants it."""
    with_secret(signing_on, SECRET)
    signing_on.start(healthy=False, **{URL: provider.discovery})
    signing_on.wait_until_it_answers()
    assert signing_on.ask(KEYS["gitea"], "GET", "/gitea")[0] == 503
    assert signing_on.ask(ROOT, "GET", "/")[0] == 200, "but for root"
    assert not signing_on.is_healthy
    provider.start()
    signing_on.wait_until_healthy()
    assert signing_on.ask(KEYS["gitea"], "GET", "/gitea")[0] == 200


def test_a_setting_that_is_none_keeps_the_store_unhealthy(
    signing_on: World, provider: Provider
) -> None:
    provider.start()
    with_secret(signing_on, SECRET)
    unknown = {"MINIO_IDENTITY_OPENID_CLAIM_NAMES": "policy"}
    signing_on.start(healthy=False, **{URL: provider.discovery}, **unknown)
    signing_on.wait_for_log("environment variables are unknown: MINIO_IDENTITY_OPENID_CLAIM_NAMES")
    assert not signing_on.is_healthy
