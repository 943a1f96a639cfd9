"""What answers say of each other: defaults derived from other answers, and rules across fields.

A rule sees the values that were acceptable by themselves, by dotted path, and says nothing where
one of its values is missing. Nothing here knows where a value came from, but for which were given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from installer.core.answers import to_key
from installer.core.answers_application_rules import APPLICATION_RULES
from installer.core.answers_backup_rules import BACKUP_RULES
from installer.core.answers_database_rules import DATABASE_RULES
from installer.core.answers_endpoint_rules import ENDPOINT_RULES
from installer.core.answers_findings import AnswersRule, Finding, Values
from installer.core.answers_identity_rules import IDENTITY_RULES
from installer.core.answers_monitoring_rules import MONITORING_RULES
from installer.core.answers_tls_rules import TLS_RULES
from installer.core.answers_vault_rules import VAULT_RULES
from installer.core.answers_workspaces_rules import WORKSPACES_RULES
from installer.core.catalog import Catalog
from installer.core.fields import Concern, visible, warn
from installer.core.fields_domains import LONGEST_NAME, is_address
from installer.core.fields_hosts import hop_place
from installer.core.fields_paths import is_within

_USERS = {"small": 50, "medium": 200, "custom": 50}
_WORKSPACES = {"small": 20, "medium": 50, "custom": 20}
"""Users and running workspaces of the profiles of the platform's guide."""


def derive_defaults(values: Values, catalog: Catalog) -> Iterator[tuple[str, Any]]:
    """Path and value of every default that follows from other answers, each after its sources.

    A consumer must use what it has already been given: later values build on earlier ones.
    """
    if base := values.get("domain.base"):
        for key in catalog.hosts:
            yield f"domain.hosts.{to_key(key)}", f"{key}.{base}"
        parent = _wildcard_parent(values, catalog, str(base))
        yield "domain.wildcard", f"*.{parent}" if parent else ""
    profile = values.get("sizing.profile", "small")
    yield "sizing.users", _USERS[profile]
    users = values.get("sizing.users", _USERS[profile])
    yield "sizing.concurrent_workspaces", min(_WORKSPACES[profile], users)
    yield "vault.key_threshold", values.get("vault.key_shares", 5) // 2 + 1
    yield "tls.acme.challenge", "dns-01" if values.get("domain.wildcard", "*") else "http-01"
    host = values.get("ssh.host")
    if host and is_address(host):
        yield "target.address", host


def _wildcard_parent(values: Values, catalog: Catalog, base: str) -> str | None:
    for service in sorted(catalog.services.values(), key=lambda service: service.name):
        for ingress in service.ingress:
            if ingress.wildcard:
                default = f"{ingress.host}.{base}"
                return str(values.get(f"domain.hosts.{to_key(ingress.host)}", default))
    return None


def judge_together(values: Values, given: Collection[str]) -> Iterator[Finding]:
    """What does not fit together. `given` are the paths that somebody set."""
    for rule in _RULES:
        yield from rule(values, given)


def _hosts_of(values: Values) -> dict[str, str]:
    return {
        path: name for path, name in values.items() if path.startswith("domain.hosts.") and name
    }


def _unique_hosts(values: Values, given: Collection[str]) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    hosts = _hosts_of(values)
    # what was given is blamed rather than a default that it collides with
    for path in sorted(hosts, key=lambda path: (path in given, path)):
        name = hosts[path]
        if name in seen:
            concern = Concern(
                "domain.duplicate_host",
                f"{name} is the name of {seen[name]} already",
                "give every service a name of its own",
            )
            yield Finding(path, concern, (seen[name],))
        seen.setdefault(name, path)


def _hosts_below_base(values: Values, given: Collection[str]) -> Iterator[Finding]:
    base = values.get("domain.base")
    if not base:
        return
    names = _hosts_of(values)
    if wildcard := values.get("domain.wildcard"):
        names["domain.wildcard"] = wildcard.removeprefix("*.")
    for path, name in names.items():
        if path in given and name != base and not name.endswith(f".{base}"):
            concern = warn(
                "domain.foreign_host",
                f"{visible(name)} lies outside {base}: cookies, certificates and OIDC need their"
                " own entries for it",
                f"use a name below {base}",
            )
            yield Finding(path, concern, ("domain.base",))


def _hosts_beside_wildcard(values: Values, given: Collection[str]) -> Iterator[Finding]:
    wildcard = values.get("domain.wildcard")
    if not wildcard:
        return
    parent = wildcard.removeprefix("*.")
    for path, name in _hosts_of(values).items():
        if name.endswith(f".{parent}"):
            where = path if path in given else "domain.wildcard"
            concern = Concern(
                "domain.below_wildcard",
                f"{visible(name)} lies below {wildcard} and collides with workspace apps",
                f"choose a name that is not below {parent}",
            )
            yield Finding(where, concern, (path, "domain.wildcard"))


def _derived_names_fit(values: Values, given: Collection[str]) -> Iterator[Finding]:
    names = {path: n for path, n in _hosts_of(values).items() if path not in given}
    if "domain.wildcard" in values and "domain.wildcard" not in given:
        names["domain.wildcard"] = values["domain.wildcard"]
    longest = max(names.values(), key=len, default="")
    if len(longest) > LONGEST_NAME:
        concern = Concern(
            "domain.too_long",
            f"{visible(longest)}, the longest name made from it, has {len(longest)} octets; at most"
            f" {LONGEST_NAME} are possible",
            "choose a shorter base domain",
        )
        yield Finding("domain.base", concern, tuple(names))


def _workspaces_fit(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    users, running = values.get("sizing.users"), values.get("sizing.concurrent_workspaces")
    if users is not None and running is not None and running > users:
        concern = Concern(
            "size.inconsistent",
            f"{running} workspaces at the same time are more than the {users} users",
            f"write at most {users}, or raise sizing.users",
        )
        yield Finding("sizing.concurrent_workspaces", concern, ("sizing.users",))


_OWN_PARTS = ("releases", "current", "state", "secrets", "tls", "compose.override.yaml")
"""What the product itself keeps in the install directory (`layout`)."""


def _directories_apart(values: Values, given: Collection[str]) -> Iterator[Finding]:
    install, data = values.get("target.install_dir"), values.get("target.data_dir")
    if install is None or data is None:
        return
    inside = any(is_within(data, f"{install}/{part}") for part in _OWN_PARTS)
    if inside or is_within(install, data):
        moved = "target.install_dir" not in given or "target.data_dir" in given
        where = "target.data_dir" if moved else "target.install_dir"
        concern = Concern(
            "path.overlap",
            f"the data directory {visible(data)} and the install directory {visible(install)}"
            " overlap: data would vanish with a release",
            "choose a data directory outside, as /var/lib/devplat",
        )
        yield Finding(where, concern, ("target.data_dir", "target.install_dir"))


def _challenge_fits(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    challenge = values.get("tls.acme.challenge")
    wildcard = values.get("domain.wildcard")
    if challenge in {"http-01", "tls-alpn-01"} and wildcard:
        concern = Concern(
            "acme.wildcard_needs_dns",
            f"{challenge} cannot prove {wildcard}: a wildcard name needs the DNS challenge"
            " (RFC 8555, 8.4)",
            "choose the DNS challenge (dns-01) with a provider, supply a certificate"
            " (tls.mode: files), or do without the name (domain.wildcard: none)",
        )
        yield Finding("tls.acme.challenge", concern, ("domain.wildcard",))
    if challenge == "dns-01" and not values.get("tls.acme.dns_provider"):
        concern = Concern(
            "acme.dns_provider",
            "the DNS challenge needs a provider; it is required",
            "write the provider's code into tls.acme.dns_provider, as route53",
        )
        yield Finding("tls.acme.dns_provider", concern, ("tls.acme.challenge",))


def _jump_leads_on(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    host, port = values.get("ssh.host"), values.get("ssh.port")
    places = [hop_place(hop) for hop in values.get("ssh.jump") or ()]
    if host and port and (host, port) in places:
        concern = Concern(
            "ssh.jump.loop",
            f"the target {visible(host)} is among its own jump hosts",
            "name the hosts before the target, and not the target",
        )
        yield Finding("ssh.jump", concern, ("ssh.host", "ssh.port"))


_RULES: tuple[AnswersRule, ...] = (
    _unique_hosts,
    _hosts_below_base,
    _hosts_beside_wildcard,
    _derived_names_fit,
    _workspaces_fit,
    _directories_apart,
    _challenge_fits,
    _jump_leads_on,
    *BACKUP_RULES,
    *ENDPOINT_RULES,
    *MONITORING_RULES,
    *APPLICATION_RULES,
    *TLS_RULES,
    *VAULT_RULES,
    *IDENTITY_RULES,
    *DATABASE_RULES,
    *WORKSPACES_RULES,
)
