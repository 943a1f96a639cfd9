"""`vault.mode: external` at the command line: what is wrong is said before any target is contacted.

Covers F-049, F-054, F-055, F-056, F-057 and SE-24 as far as an operator sees them; on the stand-in
and, when `DEVPLAT_TEST_VAULT_BIN` names a program, on a real server.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.stores import REACHED, Lab, allow_all
from tests.contract.vault.authority import Authority, make_authority
from tests.contract.vault.servers import VaultServer, free_port, wait_until
from tests.contract.vault.store_lab import (
    Asked,
    Reply,
    grant,
    scripted_server,
)

pytestmark = pytest.mark.slow
UNKNOWN = "hvs.CanaryTokenThatNobodyEverMade1"


@dataclass(frozen=True)
class Case:
    """What is wrong, and what of it has to be said: in the first line, and in the remedy."""

    arrange: Callable[[Lab], object]
    code: str
    first: tuple[str, ...] = ()
    remedy: tuple[str, ...] = ()
    status: int = 12


def answer(name: str, value: object) -> Callable[[Lab], None]:
    def arrange(lab: Lab) -> None:
        lab.vault.pop(name, None) if value is None else lab.vault.update({name: value})

    return arrange


def expired(lab: Lab) -> None:
    token = lab.take_token(allow_all(lab.prefix), ttl="1s", explicit_max_ttl="1s")
    ask = lab.server.ask
    wait_until(
        lambda: ask("GET", "auth/token/lookup-self", token=token).status != 200,
        lambda: "the token does not end",
    )


def without(what: str) -> Callable[[Lab], None]:
    def arrange(lab: Lab) -> None:
        data, folder = f"secret/data/{lab.prefix}/*", f"secret/metadata/{lab.prefix}/*"
        kept = {"create", "read", "update"} - {what}
        lists = "" if what == "list" else grant(folder, "list")
        lab.take_token(grant(data, *sorted(kept)) + lists)

    return arrange


def old_mount(lab: Lab) -> None:
    lab.take_token(allow_all(lab.prefix, "old"))
    lab.vault["mount"] = "old"


def without_create_on_one_path(lab: Lab) -> None:
    forbidden = grant(f"secret/data/{lab.prefix}/coder-database-password", "read")
    lab.take_token(allow_all(lab.prefix) + forbidden)


def role_of(lab: Lab, **changed: str) -> None:
    """A machine's login that is wrong in one part."""
    ask = lab.server.ask
    made = ask("POST", "sys/auth/approle", {"type": "approle"})
    assert made.status == 204 or "already in use" in str(made.errors), made
    assert ask("POST", "auth/approle/role/cli", {"token_policies": ["default"]}).status == 204
    role_id = ask("GET", "auth/approle/role/cli/role-id").data["role_id"]
    secret_id = ask("POST", "auth/approle/role/cli/secret-id", {}).data["secret_id"]
    del lab.vault["token"]
    lab.vault["role_id"] = changed.get("role_id", role_id)
    secret_id = changed.get("secret_id", secret_id)
    lab.vault["secret_id"] = lab.operator.keep("SECRET_ID_OF_A_TEST", secret_id)
    if mount := changed.get("mount"):
        lab.vault["auth_mount"] = mount


def strangers_ca(lab: Lab) -> None:
    (lab.operator.folder / "other").mkdir()
    lab.vault["ca_file"] = str(make_authority(lab.operator.folder / "other").root)


def ca_file_of_text(lab: Lab) -> None:
    path = lab.operator.folder / "ca.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
    lab.vault["ca_file"] = str(path)


def jwt_without_such_a_login(lab: Lab) -> None:
    del lab.vault["token"]
    lab.vault["jwt"] = lab.operator.keep("JWT_OF_A_TEST", "eyJhbGciOi.CanaryOfAStatement.c2lnbmF0")
    lab.vault.update({"jwt_role": "installer", "auth_mount": "no-such-login"})


def token_value(value: str) -> Callable[[Lab], None]:
    def arrange(lab: Lab) -> None:
        lab.vault["token"] = lab.operator.keep("VAULT_TOKEN_OF_A_TEST", value)

    return arrange


def nobody_listens(lab: Lab) -> None:
    lab.vault["addr"] = f"https://127.0.0.1:{free_port()}"


CASES = {
    # bad input: wrong address
    "nobody listens": Case(
        nobody_listens, "vault.unreachable", ("cannot be reached", "connection refused"),
        ("vault.addr", "$ curl -sS https://127.0.0.1"),
    ),
    "no such name": Case(
        answer("addr", "https://no-such-host.invalid:8200"), "vault.unreachable",
        ("does not resolve",), ("vault.addr",),
    ),
    "an address in clear": Case(
        answer("addr", "http://vault.company.com:8200"), "vault.addr.plain",
        ("is not HTTPS",), ("https://",), status=3,
    ),
    "an address in clear on this machine, unconfirmed": Case(
        answer("addr", "http://127.0.0.1:8200"), "vault.addr.plain", ("is not HTTPS",),
        ("waivers",), status=3,
    ),
    "an address of something else": Case(
        answer("addr", "https://127.0.0.1:8200/ui"), "vault.addr.form", (), ("write it as",), 3
    ),
    # mounts
    "F-054 a mount of version 1": Case(
        old_mount, "vault.kv_version", ("the mount old", "version 1"),
        ("version 1", "another mount", "$ vault kv enable-versioning old"),
    ),
    "a mount that does not exist": Case(
        answer("mount", "nowhere"), "vault.permission", ("nothing is mounted at nowhere",),
        ("vault-policy",),
    ),
    "a mount that is no mount": Case(
        answer("mount", "secret/data"), "vault.mount_form", ("secret/data",), ("mount alone",), 3
    ),
    # whom the token is sent to
    "F-057 an unknown CA": Case(
        answer("ca_file", None), "vault.ca", ("is not trusted",), ("CA", "vault.ca_file")
    ),
    "F-057 another CA": Case(strangers_ca, "vault.ca", ("is not trusted",), ("vault.ca_file",)),
    "F-057 a file that is no CA": Case(
        ca_file_of_text, "vault.ca", ("cannot be used as CA file",), ("PEM",)
    ),
    "a file that is not there": Case(
        answer("ca_file", "/no/such/ca.pem"), "path.missing", ("/no/such/ca.pem",),
        ("correct the path",), 3,
    ),
    # logins
    "a token that nobody made": Case(
        token_value(UNKNOWN), "vault.token_refused", ("refuses the login",), ("expired",)
    ),
    "F-056 a token that has expired": Case(
        expired, "vault.token_refused", ("expired",), ("expired", "counts as unknown")
    ),
    "a token that is none": Case(
        token_value("hunter2"), "vault.token_form", ("no token",), ("copy the whole token",), 3
    ),
    "a variable that is not set": Case(
        answer("token", "env:NO_SUCH_VARIABLE"), "secret.env_missing",
        ("NO_SUCH_VARIABLE is not set",), ("set NO_SUCH_VARIABLE",), 3,
    ),
    "no login": Case(answer("token", None), "vault.login", ("no way to log in",), ("one of",), 3),
    "two logins": Case(
        answer("role_id", "r-1"), "vault.login", ("2 ways to log in",), ("one of",), 3
    ),
    "a wrong secret id": Case(
        lambda lab: role_of(lab, secret_id=str(uuid.uuid4())), "vault.token_refused",
        ("refuses the login", "secret"), ("machine login",),
    ),
    "a wrong role id": Case(
        lambda lab: role_of(lab, role_id=str(uuid.uuid4())), "vault.token_refused",
        ("refuses the login",), ("machine login",),
    ),
    "a login method that is not there": Case(
        lambda lab: role_of(lab, mount="machines-of-nobody"), "vault.token_refused",
        ("auth/machines-of-nobody/login",), ("machine login",),
    ),
    "a statement for a login method that is not there": Case(
        jwt_without_such_a_login, "vault.token_refused", ("auth/no-such-login/login",), ("valid",)
    ),
    "a namespace that does not exist": Case(
        answer("namespace", "team-of-nobody"), "vault.token_refused", (), ("namespace",)
    ),
    # F-055: capabilities, before a path without one is written to
    **{
        f"F-055 no {what}": Case(
            without(what), "vault.permission", (f"lacks the capability {what}", "on the path"),
            ("path", "capability", "$ devplat-install answers show --vault-policy"),
        )
        for what in ("create", "read", "list")
    },
    "F-055 no create on one path": Case(
        without_create_on_one_path, "vault.permission",
        ("lacks the capability create", "/coder-database-password"), ("nothing was written",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_wrong_is_said_with_a_remedy_and_nobody_was_contacted(lab: Lab, case: Case) -> None:
    case.arrange(lab)
    before = lab.server.ask("LIST", f"secret/metadata/{lab.prefix}").status
    said = lab.operator.run()
    lab.operator.check_refused(said, case.status, case.code)
    for words in case.first:
        assert words in said.first
    for words in case.remedy:
        assert words in said.remedy
    assert "verif" not in said.remedy  # F-057: nobody is told to do without verification
    assert lab.server.ask("LIST", f"secret/metadata/{lab.prefix}").status == before == 404
    assert lab.server.ask("LIST", "old/data").status == 404  # F-054: no path of version 2 in it


def test_a_missing_mount_is_told_to_who_may_know_it(lab: Lab) -> None:
    lab.vault["mount"] = "nowhere"
    lab.vault["token"] = lab.operator.keep("ROOT_OF_A_TEST", lab.server.token)
    said = lab.operator.run()
    lab.operator.check_refused(said, 12, "vault.no_mount")
    assert "nowhere" in said.first
    assert "$ vault secrets enable -path=nowhere -version=2 kv" in said.remedy


def test_f_055_the_fragment_is_what_is_missing_and_no_more(lab: Lab) -> None:
    data, folder = f"secret/data/{lab.prefix}/*", f"secret/metadata/{lab.prefix}/*"
    start = grant(folder, "list") + grant(data, "read")
    lab.take_token(start)
    said = lab.operator.run()
    lab.operator.check_refused(said, 12, "vault.permission")
    lines = [line.removeprefix("  | ") for line in said.err.splitlines() if "  | " in line]
    fragment = "\n".join(lines)
    assert fragment == f'path "{data}" {{\n  capabilities = ["create", "read"]\n}}'
    lab.take_token(f"{start}{fragment}\n")
    assert lab.operator.run().code == REACHED


def test_f_055_a_token_that_may_not_ask_about_itself_is_no_obstacle(lab: Lab) -> None:
    lab.take_token(allow_all(lab.prefix), no_default_policy=True)
    said = lab.operator.run()
    assert said.code == REACHED, said.err
    lab.operator.check_untold(said)


def test_f_049_a_sealed_server_and_one_that_was_never_set_up_are_told_apart(
    lab: Lab,
    launch_vault: Callable[..., VaultServer],
) -> None:
    other = launch_vault()
    lab.vault["addr"] = other.address
    said = lab.operator.run()
    lab.operator.check_refused(said, 12, "vault.not_initialised")
    other.initialise()
    other.seal()
    said = lab.operator.run()
    lab.operator.check_refused(said, 12, "vault.sealed")
    assert "is sealed" in said.first
    for words in ("unseal", "threshold", "nothing was written"):
        assert words in said.remedy


SCRIPTS: dict[str, tuple[Reply, str, tuple[str, ...]]] = {
    "standby": (
        Reply(307, b"", {"Location": "https://active.company.com:8200/v1/x"}), "vault.standby",
        ("standby", "https://active.company.com:8200"),
    ),
    "rate limited": (
        Reply(429, {"errors": ["quota"]}, {"Retry-After": "3600"}), "vault.rate_limited",
        ("limits the rate",),
    ),
    "a web page": (Reply(200, b"<html>"), "vault.unexpected", ("not a Vault-compatible server",)),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "code", "first"), SCRIPTS.values(), ids=SCRIPTS.keys())
def test_a_server_that_does_not_serve_is_told_by_what_it_does(
    lab: Lab,
    vault_authority: Authority,
    reply: Reply,
    code: str,
    first: tuple[str, ...],
) -> None:
    def answer_all(asked: Asked) -> Reply:
        # what a request was made with comes back, as from a server that is careless
        echo = {"X-Echo": asked.headers.get("x-vault-token", "")}
        return Reply(reply.status, reply.body, {**reply.headers, **echo})

    with scripted_server(vault_authority, answer_all) as server:
        lab.vault["addr"] = server.address
        said = lab.operator.run()
    lab.operator.check_refused(said, 12, code)
    assert all(words in said.first for words in first)
    assert all(asked.path.startswith("/v1/") for asked in server.asked)


@pytest.mark.parametrize("command", ["apply", "preflight", "verify", "status", "rotate"])
def test_every_command_that_opens_the_store_refuses_early(lab: Lab, command: str) -> None:
    nobody_listens(lab)
    words = {"apply": ["apply", "--yes"], "rotate": ["rotate", "--all", "--yes"]}
    said = lab.operator.run(*words.get(command, [command]))
    lab.operator.check_refused(said, 12, "vault.unreachable")


def test_what_contacts_nothing_needs_no_store(lab: Lab, tmp_path: Path) -> None:
    nobody_listens(lab)
    lab.operator.environment.clear()
    said = lab.operator.run("render", "--output", str(tmp_path / "bundle"))
    assert said.status == 0, said.err
    said = lab.operator.run("answers", "show", "--vault-policy")
    assert said.status == 0, said.err
    assert f'path "secret/data/{lab.prefix}/*"' in said.out
    assert not lab.operator.target.was_contacted
