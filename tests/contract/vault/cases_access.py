"""Who may do what on a Vault-compatible server, as tables: policies, tokens, AppRole, wrapping.

The engine `kv` is of version 2; `approle` is enabled.
"""

from __future__ import annotations

from tests.contract.vault.steps import (
    Step,
    delete,
    get,
    names,
    policy,
    post,
    put_secret,
    token,
)

READ = 'path "kv/data/{p}" { capabilities = ["read"] }'
DENIED = "permission denied"
UNWRAP = "sys/wrapping/unwrap"
LOST = "wrapping token is not valid or does not exist"
NO_LOGIN = "invalid role or secret ID"
DATA, META = "kv/data/{p}", "kv/metadata/{p}"
ROLE = "auth/approle/role/{p}"
SELF = "auth/token/lookup-self"
AS_ROLE = {"role_id": "{role}", "secret_id": "{secret}"}


def role(**settings: object) -> list[Step]:
    """A role with the case's policy, its id, and a secret id."""
    return [
        policy("{p}", READ),
        post(ROLE, {"token_policies": ["{p}"], **settings}, 204),
        get(ROLE + "/role-id", keep={"role": "data.role_id"}),
        post(ROLE + "/secret-id", keep={"secret": "data.secret_id"}),
    ]


POLICIES = {
    "an exact path is all that an exact policy gives": [
        put_secret("one"),
        policy("{p}", READ),
        token("{p}"),
        get(DATA, by="token", has={"data.data.value": "one"}),
        get(DATA + "/x", 403, by="token", error=DENIED),
        get(DATA + "x", 403, by="token", error=DENIED),
        get(META, 403, by="token", error=DENIED),
        put_secret("two", status=403, by="token", error=DENIED),
        delete(DATA, 403, by="token", error=DENIED),
        names(META, 403, by="token", error=DENIED),
    ],
    "an exact rule wins over a pattern, a longer pattern over a shorter": [
        post("kv/data/{p}/a/b", {"data": {"x": 1}}),
        policy(
            "{p}",
            'path "kv/data/{p}/*" { capabilities = ["read"] }\n'
            'path "kv/data/{p}/a/*" { capabilities = ["update"] }\n'
            'path "kv/data/{p}/a/c" { capabilities = ["read"] }',
        ),
        token("{p}"),
        get("kv/data/{p}/x", 404, by="token"),
        get("kv/data/{p}/a/b", 403, by="token"),
        post("kv/data/{p}/a/b", {"data": {"x": 2}}, by="token"),
        get("kv/data/{p}/a/c", 404, by="token"),
    ],
    "a plus stands for one segment and gives way to a literal prefix": [
        policy(
            "{p}",
            'path "kv/data/+/{p}" { capabilities = ["read"] }\n'
            'path "kv/data/x/*" { capabilities = ["update"] }',
        ),
        token("{p}"),
        get("kv/data/any/{p}", 404, by="token"),
        get("kv/data/any/more/{p}", 403, by="token"),
        get("kv/data/x/{p}", 403, by="token"),
    ],
    "deny wins over what another policy grants for the same path": [
        policy("{p}-a", READ),
        policy("{p}-b", 'path "kv/data/{p}" { capabilities = ["deny"] }'),
        token("{p}-a", "{p}-b"),
        get(DATA, 403, by="token", error=DENIED),
    ],
    "create makes what is new, update changes what is there": [
        policy("{p}", 'path "kv/data/{p}" { capabilities = ["create"] }'),
        token("{p}"),
        put_secret("one", by="token"),
        put_secret("two", status=403, by="token", error=DENIED),
    ],
    "what needs sudo is not given without": [
        policy("{p}", 'path "sys/audit" { capabilities = ["read"] }'),
        token("{p}"),
        get("sys/audit", 403, by="token", error=DENIED),
        policy("{p}", 'path "sys/audit" { capabilities = ["read", "sudo"] }'),
        get("sys/audit", by="token"),
    ],
    "capabilities are told": [
        policy("{p}", READ),
        token("{p}"),
        post(
            "sys/capabilities-self",
            {"paths": [DATA, "kv/data/other", SELF]},
            by="token",
            has={"data": {DATA: ["read"], "kv/data/other": ["deny"], SELF: ["read"]}},
        ),
        post("sys/capabilities-self", {"paths": ["any"]}, has={"data.any": ["root"]}),
        post("sys/capabilities-self", {}, 400, error="paths must be supplied"),
    ],
    "a path that must be wrapped is not read plainly": [
        put_secret("one"),
        policy("{p}", 'path "kv/data/{p}" { capabilities = ["read"] min_wrapping_ttl = "10s" }'),
        token("{p}"),
        get(DATA, 403, by="token", error=DENIED),
        get(DATA, by="token", wrap="30s", has={"data": None, "wrap_info.ttl": 30}),
    ],
    "a policy is read back, changed and removed": [
        policy("{p}", READ),
        get("sys/policies/acl/{p}", has={"data.policy": READ, "data.name": "{p}"}),
        delete("sys/policies/acl/{p}"),
        get("sys/policies/acl/{p}", 404, error=""),
        policy("root", READ, 400, error='cannot update "root" policy'),
        delete("sys/policies/acl/default", 400, error="cannot delete default policy"),
    ],
}
"""`DENIED` is a part of both texts that servers have: for no such token, and for no such right."""

BAD_POLICIES = {
    "an unknown capability": 'path "a" { capabilities = ["reed"] }',
    "a capability in capitals": 'path "a" { capabilities = ["READ"] }',
    "an unknown key": 'path "a" { foo = 1 }',
    "an unknown block": 'foo "a" {}',
    "a list that is not closed": 'path "a" { capabilities = ["read" }',
    "a block that is not closed": 'path "a" { capabilities = ["read"]',
    "one brace too many": 'path "a" { capabilities = ["read"] }}',
    "a text where a list belongs": 'path "a" { capabilities = "read" }',
    "words without quotes": 'path "a" { capabilities = [read] }',
    "single quotes": "path 'a' { capabilities = [\"read\"] }",
    "no HCL": "nonsense",
    "a plus before a star": 'path "a/+*" { capabilities = ["read"] }',
}

TOKENS = {
    "a token that nobody knows is refused": [
        get(SELF, 403, by="s.nonsense", error=DENIED),
        get(DATA, 403, by="", error=DENIED),
        post("auth/token/lookup", {"token": "s.nonsense"}, 403, error="bad token"),
    ],
    "a periodic token is renewed to its period": [
        token("default", period="30m"),
        post("auth/token/renew-self", {"increment": "5s"}, by="token",
             has={"auth.lease_duration": 1800, "auth.renewable": True}),
        get(SELF, by="token", has={"data.period": 1800, "data.type": "service"}),
    ],
    "a token for two uses has no third": [
        token("default", num_uses=2),
        get(SELF, by="token", has={"data.num_uses": 1}),
        get(SELF, by="token"),
        get(SELF, 403, by="token", error=DENIED),
    ],
    "what is not renewable is not renewed": [
        token("default", renewable=False, ttl="1h"),
        post("auth/token/renew-self", status=400, by="token", error="lease is not renewable"),
        post("auth/token/renew-self", status=400, error="invalid lease ID"),
    ],
    "a revoked token is dead, and so is what came from it": [
        policy("{p}", 'path "auth/token/create" { capabilities = ["update"] }'),
        token("{p}"),
        post("auth/token/create", by="token", keep={"child": "auth.client_token"}),
        post("auth/token/revoke-self", status=204, by="token"),
        get(SELF, 403, by="token", error=DENIED),
        get(SELF, 403, by="child", error=DENIED),
        post("auth/token/revoke", {"token": "{token}"}, 204),
    ],
    "no token makes one that may do more": [
        policy("{p}", 'path "auth/token/create" { capabilities = ["update"] }'),
        policy("{p}-x", READ),
        token("{p}"),
        post("auth/token/create", {"policies": ["{p}-x"]}, 400, by="token",
             error="child policies must be subset of parent"),
        post("auth/token/create", {"policies": ["root"]}, 400, by="token", error="subset"),
        post("auth/token/create", {"no_parent": True}, 400, by="token", error="sudo privileges"),
        post("auth/token/create", {"period": "1h"}, 400, by="token", error="sudo privileges"),
    ],
    "a token is found and ended by its accessor": [
        token("default"),
        get(SELF, by="token", keep={"accessor": "data.accessor"}),
        post("auth/token/lookup-accessor", {"accessor": "{accessor}"}, has={"data.id": ""}),
        post("auth/token/revoke-accessor", {"accessor": "{accessor}"}, 204),
        get(SELF, 403, by="token"),
    ],
    "no token outlives the server's limit": [
        post("auth/token/create", {"policies": ["default"], "ttl": "100h"},
             has={"auth.lease_duration": 86400}),
        post("auth/token/create", {"policies": ["default"], "ttl": "-5s"}, 400,
             error="ttl must be positive"),
    ],
}  # fmt: skip

APPROLE = {
    "a login gives a token with the role's policy and period": [
        put_secret("one"),
        *role(token_period=3600),
        post("auth/approle/login", AS_ROLE, by="", keep={"token": "auth.client_token"},
             has={"auth.lease_duration": 3600, "auth.policies": ["{p}", "default"],
                  "auth.metadata": {"role_name": "{p}"}, "auth.orphan": True}),
        get(DATA, by="token", has={"data.data.value": "one"}),
        get(DATA + "-other", 403, by="token", error=DENIED),
    ],
    "a secret id for one use is good for one login": [
        *role(secret_id_num_uses=1, secret_id_ttl=600),
        post("auth/approle/login", AS_ROLE, by=""),
        post("auth/approle/login", AS_ROLE, 400, by="", error=NO_LOGIN),
    ],
    "wrong ids are refused alike": [
        *role(),
        post("auth/approle/login", {**AS_ROLE, "secret_id": "x"}, 400, by="", error=NO_LOGIN),
        post("auth/approle/login", {**AS_ROLE, "role_id": "x"}, 400, by="", error=NO_LOGIN),
        post("auth/approle/login", {"role_id": "{role}"}, 400, by="", error="missing secret_id"),
        post("auth/approle/login", {}, 500, by="", error="missing role_id"),
    ],
    "a secret id of another role is refused": [
        *role(),
        post(ROLE + "-b", {"token_policies": ["{p}"]}, 204),
        post(ROLE + "-b/secret-id", keep={"secret": "data.secret_id"}),
        post("auth/approle/login", AS_ROLE, 400, by="", error=NO_LOGIN),
    ],
    "a destroyed secret id is dead": [
        *role(),
        post(ROLE + "/secret-id/destroy", {"secret_id": "{secret}"}, 204),
        post("auth/approle/login", AS_ROLE, 400, by="", error=NO_LOGIN),
    ],
    "a secret id bound to other networks is refused": [
        *role(),
        post(ROLE + "/secret-id", {"cidr_list": ["10.0.0.0/8"]}, keep={"secret": "data.secret_id"}),
        post("auth/approle/login", AS_ROLE, 400, by="", error="unauthorized"),
        post(ROLE + "/secret-id", {"cidr_list": ["nonsense"]}, 500, error="invalid CIDR address"),
    ],
    "no secret id may more than its role": [
        *role(secret_id_num_uses=1, secret_id_ttl=600),
        post(ROLE + "/secret-id", {"ttl": "20m"}, 400, error="ttl cannot be longer"),
        post(ROLE + "/secret-id", {"num_uses": 9}, 400, error="num_uses cannot be higher"),
    ],
    "a role is read back as it was made": [
        *role(token_period=3600, secret_id_num_uses=1, secret_id_ttl=600),
        get(ROLE, has={"data.token_policies": ["{p}"], "data.token_period": 3600,
                       "data.secret_id_num_uses": 1, "data.secret_id_ttl": 600}),
        post(ROLE, {"token_period": "x"}, 400, error='error converting input for field'),
        get(ROLE + "-none", 404, error=""),
        get(ROLE + "-none/role-id", 404, error=""),
        post(ROLE + "-none/secret-id", status=404, error="does not exist"),
    ],
}  # fmt: skip

WRAPPING = {
    "a wrapped secret id is had once": [
        *role(secret_id_num_uses=1),
        post(ROLE + "/secret-id", wrap="300s", keep={"wrap": "wrap_info.token"},
             has={"data": None, "wrap_info.ttl": 300,
                  "wrap_info.creation_path": "auth/approle/role/{p}/secret-id"}),
        post(UNWRAP, by="wrap", keep={"secret": "data.secret_id"}),
        post(UNWRAP, status=400, by="wrap", error=LOST),
        post("auth/approle/login", AS_ROLE, by=""),
    ],
    "a look does not use it up and needs no login": [
        put_secret("one"),
        get(DATA, wrap="60", keep={"wrap": "wrap_info.token"}),
        post("sys/wrapping/lookup", {"token": "{wrap}"}, by="",
             has={"data.creation_path": DATA, "data.creation_ttl": 60}),
        post(UNWRAP, {"token": "{wrap}"}, has={"data.data.value": "one"}),
        post("sys/wrapping/lookup", {"token": "{wrap}"}, 400, error=LOST),
    ],
    "it is good for nothing else, and gone when it was tried": [
        put_secret("one"),
        get(DATA, wrap="60", keep={"wrap": "wrap_info.token"}),
        get(SELF, 403, by="wrap", error=DENIED),
        post(UNWRAP, status=400, by="wrap", error=LOST),
    ],
    "what is no wrapping token is refused": [
        token("default"),
        post(UNWRAP, status=400, by="token", error=LOST),
        post(UNWRAP, {"token": "nonsense"}, 400, error=LOST),
        get(DATA, 400, wrap="bad", error="error parsing X-Vault-Wrap-TTL header"),
    ],
    "a refusal is not wrapped": [get(DATA, 404, wrap="60", error="")],
}  # fmt: skip
