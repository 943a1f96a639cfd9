"""What the answers on certificates say of each other, beyond what each field says of itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from installer.core.answers_choices import LETS_ENCRYPT
from installer.core.answers_findings import AnswersRule, Finding, Values
from installer.core.fields import Concern, visible


def _staging_has_directory(values: Values, given: Collection[str]) -> Iterator[Finding]:
    """The default staging directory belongs to one authority only."""
    production = values.get("tls.acme.directory_url")
    if not values.get("tls.acme.staging") or production is None:
        return
    staging = values.get("tls.acme.staging_url")
    if staging == production:
        concern = Concern(
            "acme.staging_same",
            f"the staging directory {visible(staging)} is the production one",
            "name the authority's staging directory, or set tls.acme.staging to false",
        )
        yield Finding("tls.acme.staging_url", concern, ("tls.acme.directory_url",))
    elif production != LETS_ENCRYPT and "tls.acme.staging_url" not in given:
        concern = Concern(
            "acme.staging_missing",
            f"the authority of {visible(production)} has another staging directory than the"
            " default one, or none",
            "write it into tls.acme.staging_url, or set tls.acme.staging to false",
        )
        yield Finding("tls.acme.staging_url", concern, ("tls.acme.directory_url",))


def _binding_is_whole(values: Values, given: Collection[str]) -> Iterator[Finding]:
    """External account binding needs the identifier and the key (RFC 8555, 7.3.4)."""
    del given
    parts = ("tls.acme.eab_kid", "tls.acme.eab_hmac")
    missing = [path for path in parts if not values.get(path)]
    if len(missing) == 1 and all(path in values for path in parts):
        concern = Concern(
            "acme.binding",
            f"external account binding needs both its answers; {missing[0]} is required",
            "write the key identifier and a reference to the MAC key, or neither",
        )
        yield Finding(missing[0], concern, tuple(set(parts) - set(missing)))


def _checks_have_resolvers(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    if values.get("tls.acme.dns_check") == "resolvers" and not values.get("tls.acme.dns_resolvers"):
        concern = Concern(
            "acme.dns_resolvers",
            "the record of a challenge is looked for at resolvers, and none is named",
            "write them into tls.acme.dns_resolvers, as 10.0.0.53:53",
        )
        yield Finding("tls.acme.dns_resolvers", concern, ("tls.acme.dns_check",))


TLS_RULES: tuple[AnswersRule, ...] = (
    _staging_has_directory,
    _binding_is_whole,
    _checks_have_resolvers,
)
