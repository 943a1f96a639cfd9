"""What the answers about an external identity provider and the dashboards say of each other.

The dashboards cannot find out where the endpoints of a provider are, so they have to be told. A
rule says nothing where one of its values is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from installer.core.answers_findings import AnswersRule, Finding, Values
from installer.core.fields import Concern, visible

_ENDPOINTS = {
    "monitoring.oidc_authorization_url": "authorization_endpoint",
    "monitoring.oidc_token_url": "token_endpoint",
    "monitoring.oidc_userinfo_url": "userinfo_endpoint",
}
"""Answer → its name in the provider's discovery document (OpenID Connect Discovery 1.0, 3)."""


def _endpoints_are_named(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    if values.get("identity.mode") != "external" or not values.get("monitoring.enabled"):
        return
    for path, name in _ENDPOINTS.items():
        if path not in values:
            continue
        url = str(values[path] or "")
        if url.startswith("https://"):
            continue
        seen = f"{visible(url)} is no https address" if url else "it is not named"
        concern = Concern(
            "monitoring.endpoint",
            f"the dashboards need the provider's {name}, and {seen}",
            f"copy {name} from <identity.issuer>/.well-known/openid-configuration to {path}",
        )
        yield Finding(path, concern, ("identity.mode", "monitoring.enabled"))


ENDPOINT_RULES: tuple[AnswersRule, ...] = (_endpoints_are_named,)
