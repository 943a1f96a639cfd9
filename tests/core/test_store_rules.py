"""Policies and roles of the secret server: each consumer reads its own secrets and nothing else."""

from __future__ import annotations

import json
import re
from typing import Any, cast

import pytest
import yaml

from installer.core import draft
from installer.core.catalog import Catalog, read_catalog
from installer.core.plan import Plan
from installer.core.selection import select_services
from installer.core.sizing import Sizing
from installer.core.store_grants import describe_grants, partition_of
from installer.core.store_rules import (
    RoleRules,
    consumer_role,
    external_policy,
    installer_role,
    make_store_rules,
    secrets_of,
    store_prefix,
)

CAPABILITIES = frozenset(("create", "read", "update", "delete", "list", "sudo"))
_RULE = re.compile(r'path "([^"]+)" \{\s*capabilities = \[([^\]]*)\]\s*\}')


def capabilities_on(policy: str, path: str) -> frozenset[str]:
    """What a policy allows on a path: the longest rule that matches counts (Vault, "Policies")."""
    assert re.sub(_RULE, "", re.sub(r"(?m)^#.*$", "", policy)).strip() == ""
    best, granted = -1, frozenset[str]()
    for rule, capabilities in _RULE.findall(policy):
        assert "+" not in rule
        matches = path.startswith(rule[:-1]) if rule.endswith("*") else path == rule
        # an exact rule wins over one with a star
        rank = len(rule) if rule.endswith("*") else 10_000
        if matches and rank > best:
            best, granted = rank, frozenset(re.findall(r'"(\w+)"', capabilities))
    assert granted <= CAPABILITIES
    return granted


def manifest(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "title": name,
        "summary": "A service.",
        "group": "application",
        "licence": "MIT",
        "image": {"repository": f"docker.io/library/{name}", "tag": "1"},
        "user": "1000:1000",
        "resources": {"cpus": [1, 2], "memory_mib": [512, 1024]},
        **more,
    }


SERVER = {
    "port": 8200, "tunnel": ["nc"], "initialise": ["init"], "keeps": "ceremony",
    "answer": "answer.json", "tls": "tls",
}  # fmt: skip
BUNDLED = {"answer": "vault.mode", "equals": "bundled"}
SERVICES = {
    "entry": manifest("entry", publish=[80, 443]),
    "app": manifest(
        "app",
        secret_files={
            "url": "db://app:${url:app-db}@base/app",
            "key": "${sha256:app-key} ${app-key}",
            "note": "$${not-a-secret}",
        },
    ),
    "app-two": manifest("app-two", secret_files={"url": "${url:app-db}", "own": "${app-two-key}"}),
    "base": manifest("base", secret_files={"super": "${base-super}", "acl": "${json:app-db}"}),
    "plain": manifest("plain", secret_files={"motd": "no secret at all"}),
    "idle": manifest(
        "idle", ingress=[{"host": "idle", "port": 80, "health": "/", "wildcard": True}]
    ),
    "keeper": manifest(
        "keeper",
        when=BUNDLED,
        server=SERVER,
        data=[{"name": "logs", "path": "/kept/logs"}, {"name": "raft", "path": "/kept/file"}],
    ),
    "keeper-agent": manifest("keeper-agent", when=BUNDLED, agent={"receive": ["cat"]}),
}
BARE = {
    "version": 1,
    "domain": {"base": "company.com"},
    "ssh": {"host": "192.0.2.10"},
    "admin": {"email": "ops@company.com"},
    "waivers": dict.fromkeys(("vault.plain_shares", "vault.possession_unproven"), "a test"),
}
ACME = {
    "mode": "acme",
    "acme": {
        "email": "ops@company.com",
        "challenge": "dns-01",
        "dns_provider": "route53",
        "credentials": {"AWS_ID": "env:A", "AWS_KEY": "env:B"},
    },
}


def catalog() -> Catalog:
    return read_catalog(SERVICES)


def answers(**sections: Any) -> Any:
    text = yaml.safe_dump({**BARE, **sections}).encode()
    return draft.validate(draft.from_file(text, "a.yaml", 0o600), catalog()).answers


def plan(**sections: Any) -> Plan:
    given = answers(**sections)
    chosen = select_services(given, catalog())
    return Plan(
        answers=given, catalog=chosen, services=tuple(chosen.services), hosts={}, routes=(),
        networks=(), resources={}, sizing=cast(Sizing, None), images={}, secrets=(),
    )  # fmt: skip


# consumers


def test_consumers_are_the_services_with_files_and_the_edge_with_its_certificate() -> None:
    assert dict(secrets_of(plan())) == {
        "app": ("app-db", "app-key"),
        "app-two": ("app-db", "app-two-key"),
        "base": ("app-db", "base-super"),
        "entry": ("edge.tls_fullchain.pem", "edge.tls_key.pem"),
        "plain": (),
    }


def test_an_edge_that_fetches_its_own_certificate_has_its_credentials_instead() -> None:
    assert secrets_of(plan(tls=ACME))["entry"] == ("edge.AWS_ID", "edge.AWS_KEY")


@pytest.mark.parametrize("sections", [{}, {"tls": ACME}], ids=["private-ca", "acme"])
def test_se_16_a_policy_allows_reading_its_own_secrets_and_nothing_else(sections) -> None:
    made = plan(**sections)
    rules = make_store_rules(made)
    wanted = secrets_of(made)
    every = {name for names in wanted.values() for name in names}
    every |= {"internal.root", "app-db.next", "app", "app-db-more", "app-db/x"}
    for consumer, names in wanted.items():
        policy = rules.policies[consumer_role(made.deployment, consumer)]
        for name in every:
            expected = frozenset(["read"]) if name in names else frozenset()
            assert capabilities_on(policy, f"secret/data/devplat/devplat/{name}") == expected
            for part in ("metadata", "delete", "undelete", "destroy"):
                path = f"secret/{part}/devplat/devplat/{name}"
                assert not capabilities_on(policy, path)
        for path in ("sys/mounts", "auth/approle/role/devplat-app", "secret/data/devplat/devplat/"):
            assert not capabilities_on(policy, path)


def test_the_matcher_notices_a_policy_that_allows_too_much() -> None:
    policy = 'path "secret/data/x/*" {\n  capabilities = ["read", "list"]\n}\n'
    assert capabilities_on(policy, "secret/data/x/app-db") == {"read", "list"}
    assert not capabilities_on(policy, "secret/data/y")
    with pytest.raises(AssertionError):
        capabilities_on(policy + "path secret/* {}", "secret/data/x")


def test_a_consumers_role_is_for_one_login_and_its_policy_alone() -> None:
    rules = make_store_rules(plan(deployment={"name": "prod_2"}))
    assert set(rules.roles) == set(rules.policies)
    assert rules.roles["prod_2-app"] == RoleRules("prod_2-app", 3600, 1, 600)
    assert rules.roles[installer_role("prod_2")] == RoleRules("prod_2-installer", 3600, 0, 0)
    assert set(rules.roles) == {
        f"prod_2-{name}" for name in ("app", "app-two", "base", "entry", "plain", "installer")
    }


def test_a_consumer_without_secrets_has_a_policy_that_allows_nothing() -> None:
    policy = make_store_rules(plan()).policies["devplat-plain"]
    assert policy.strip()
    assert "path" not in policy


# the installer


def test_the_installer_may_what_it_does_and_no_more() -> None:
    made = plan(deployment={"name": "prod"}, vault={"mount": "team/kv"})
    policy = make_store_rules(made).policies["prod-installer"]
    everything = {"create", "read", "update", "delete", "list"}
    allowed = {
        "team/kv/data/devplat/prod/app-db": everything,
        "team/kv/metadata/devplat/prod/app-db": everything,
        "team/kv/metadata/devplat/prod/": everything,
        "team/kv/delete/devplat/prod/app-db": {"create", "update"},
        "team/kv/undelete/devplat/prod/app-db": {"create", "update"},
        "team/kv/destroy/devplat/prod/app-db": {"create", "update"},
        "auth/approle/role/prod-app": {"create", "read", "update", "delete"},
        "auth/approle/role/prod-app/role-id": {"create", "read", "update", "delete"},
        "auth/approle/role/prod-app/secret-id": {"create", "read", "update", "delete"},
        "sys/policies/acl/prod-app": {"create", "read", "update", "delete"},
        "sys/storage/raft/snapshot": {"read"},
        "sys/audit": {"read", "sudo"},
        "sys/mounts": {"read"},
        "auth/token/lookup-self": {"read"},
        "auth/token/renew-self": {"update"},
        "auth/token/revoke-self": {"update"},
        # and not
        "team/kv/data/devplat/prod": set(),
        "team/kv/data/devplat/prod-two/app-db": set(),
        "team/kv/data/devplat/other/app-db": set(),
        "secret/data/devplat/prod/app-db": set(),
        "auth/approle/role/other": set(),
        "sys/policies/acl/root": set(),
        "sys/storage/raft/snapshot-force": set(),
        "sys/mounts/secret": set(),
        "sys/seal": set(),
        "sys/generate-root/attempt": set(),
        "auth/token/create": set(),
    }
    assert {path: set(capabilities_on(policy, path)) for path in allowed} == allowed


def test_mount_and_prefix_follow_the_answers() -> None:
    rules = make_store_rules(plan(vault={"mount": "team/kv", "prefix": "a/b"}))
    assert (rules.mount, rules.prefix) == ("team/kv", "a/b")
    assert 'path "team/kv/data/a/b/app-db"' in rules.policies["devplat-app"]
    assert store_prefix(answers(deployment={"name": "x1"})) == "devplat/x1"


def test_audit_devices_are_made_for_the_flavor_that_takes_them_by_its_interface() -> None:
    assert make_store_rules(plan()).audit == {}
    assert make_store_rules(plan(vault={"flavor": "vault"})).audit == {
        "file": "/kept/logs/audit.log",
        "stdout": "stdout",
    }


# what an owner must grant


def test_an_external_policy_is_the_prefix_and_the_own_token() -> None:
    policy = external_policy("team/kv", "devplat/prod")
    assert {rule for rule, _ in _RULE.findall(policy)} == {
        *(f"team/kv/{part}/devplat/prod/*" for part in
          ("data", "metadata", "delete", "undelete", "destroy")),
        *(f"auth/token/{what}-self" for what in ("lookup", "renew", "revoke")),
    }  # fmt: skip
    assert not capabilities_on(policy, "team/kv/data/devplat/production")
    assert not capabilities_on(policy, "sys/mounts")
    assert "update" in capabilities_on(policy, "team/kv/destroy/devplat/prod/x")


def test_an_external_policy_is_printed_for_the_answers() -> None:
    vault = {"mode": "external", "addr": "https://v.company.com", "token": "env:T", "mount": "kv"}
    assert describe_grants(answers(vault=vault)) == external_policy("kv", "devplat/devplat")


@pytest.mark.parametrize("vault", [{"mode": "bundled"}, {"mode": "embedded"}])
def test_one_line_says_that_nothing_is_to_be_granted(vault) -> None:
    text = describe_grants(answers(vault=vault))
    assert text.count("\n") == 1
    assert "nothing to grant" in text


KEY_ID = "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
KEY_ARN = f"arn:aws:kms:eu-west-1:123456789012:key/{KEY_ID}"


def iam(**fields: Any) -> dict[str, dict[str, Any]]:
    vault = {"mode": "aws-secrets-manager", "region": "eu-west-1", **fields}
    document = json.loads(describe_grants(answers(vault=vault)))
    assert document["Version"] == "2012-10-17"
    return {statement["Sid"]: statement for statement in document["Statement"]}


def test_an_iam_policy_is_for_our_names_in_our_region() -> None:
    made = iam(prefix="team/prod")
    assert set(made) == {"OwnSecrets", "Names"}
    resource = "arn:aws:secretsmanager:eu-west-1:*:secret:team/prod/*"
    assert made["OwnSecrets"]["Resource"] == resource
    actions = made["OwnSecrets"]["Action"]
    assert {"secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"} <= set(actions)
    assert not any("*" in action for action in actions)
    assert made["Names"]["Action"] == "secretsmanager:ListSecrets"


@pytest.mark.parametrize(
    ("key", "resource"),
    [
        (KEY_ID, f"arn:aws:kms:eu-west-1:*:key/{KEY_ID}"),
        (KEY_ARN, KEY_ARN),
        ("alias/devplat", "arn:aws:kms:eu-west-1:*:key/*"),
        ("arn:aws:kms:eu-west-1:123456789012:alias/devplat", "arn:aws:kms:eu-west-1:*:key/*"),
    ],
)
def test_a_key_of_kms_is_granted_for_secrets_alone(key, resource) -> None:
    statement = iam(kms_key_id=key)["OwnKey"]
    assert statement["Resource"] == resource
    assert statement["Condition"]["StringLike"] == {
        "kms:ViaService": "secretsmanager.eu-west-1.amazonaws.com*"
    }
    aliases = statement["Condition"].get("ForAnyValue:StringEquals")
    assert aliases == ({"kms:ResourceAliases": "alias/devplat"} if "alias" in key else None)


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-west-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
    ],
)
def test_a_region_is_in_its_partition(region, partition) -> None:
    assert partition_of(region) == partition
