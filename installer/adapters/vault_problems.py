"""What is wrong with a Vault-compatible server, a token or a mount, as problems with remedies.

Text only: nothing here asks a server, and no problem ever holds a token, a share or a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from installer.core.errors import Problem, Remedy


@dataclass(frozen=True, slots=True)
class ServerName:
    """How a server is called in messages, and whether it is a part of the platform.

    Attributes:
        text: Its address, or the name of its service.
        bundled: The installer runs it; otherwise somebody else does.
    """

    text: str
    bundled: bool

    @property
    def where(self) -> str:
        """The answer or the service that a problem is placed at."""
        return self.text if self.bundled else "vault.addr"


def plain_address(name: ServerName) -> Problem:
    """An address without TLS."""
    return Problem(
        "vault.addr.plain",
        f"{name.text} is not an https address; a token would travel in clear",
        Remedy("give the https address of the server in vault.addr"),
        where="vault.addr",
    )


def unreachable(name: ServerName, why: str) -> Problem:
    """Nothing answers, or not in time."""
    if name.bundled:
        remedy = Remedy(
            f"look whether the service {name.text} runs on the target, then run again",
            (f"docker compose logs --tail 20 {name.text}",),
        )
    else:
        remedy = Remedy(
            "check vault.addr, and that this machine may connect to it",
            (f"curl -sS {name.text}/v1/sys/health",),
        )
    return Problem(
        "vault.unreachable",
        f"the secret server {name.text} cannot be reached: {why}",
        remedy,
        where=name.where,
    )


def untrusted(name: ServerName, why: str) -> Problem:
    """Its certificate does not verify."""
    if name.bundled:
        remedy = Remedy(
            "have its certificate made again by the CA of this deployment with an apply"
        )
    else:
        remedy = Remedy(
            "name the file with the CA that issued the server's certificate in vault.ca_file, and"
            " use the name that the certificate is for in vault.addr"
        )
    return Problem(
        "vault.ca",
        f"the certificate of the secret server {name.text} is not trusted: {why}",
        remedy,
        where=name.where if name.bundled else "vault.ca_file",
    )


def unusable_ca_file(path: str, why: str) -> Problem:
    """`vault.ca_file` cannot be used."""
    return Problem(
        "vault.ca",
        f"{path} cannot be used as CA file: {why}",
        Remedy("give a readable PEM file with the CA that issued the server's certificate"),
        where="vault.ca_file",
    )


def no_vault(name: ServerName, what: str) -> Problem:
    """Something else answers there."""
    return Problem(
        "vault.unexpected",
        f"what answers at {name.text} is not a Vault-compatible server: {what}",
        Remedy("check the address and what a proxy or balancer in between forwards it to"),
        where=name.where,
    )


def unexpected(name: ServerName, status: str, path: str, said: str) -> Problem:
    """An answer that nothing here accounts for; `said` is redacted by the caller."""
    return Problem(
        "vault.unexpected",
        f"the secret server {name.text} answers {path} with {status}",
        Remedy("look into the server's own log; run again when its cause is gone"),
        where=name.where,
        detail=said or None,
    )


def sealed(name: ServerName) -> Problem:
    """It cannot read its storage."""
    if name.bundled:
        remedy = Remedy("unseal it with the shares of its custodians", ("devplat-install unseal",))
    else:
        remedy = Remedy(
            "have its operators unseal it with as many key shares as its threshold asks for, then"
            " run again; nothing was written"
        )
    return Problem(
        "vault.sealed", f"the secret server {name.text} is sealed", remedy, where=name.where
    )


def not_initialised(name: ServerName) -> Problem:
    """Its storage was never set up."""
    if name.bundled:
        remedy = Remedy("let an apply initialise it", ("devplat-install apply",))
    else:
        remedy = Remedy("have its operators initialise it, or use another address in vault.addr")
    return Problem(
        "vault.not_initialised",
        f"the secret server {name.text} is not initialised",
        remedy,
        where=name.where,
    )


def standby(name: ServerName, active: str | None) -> Problem:
    """It is not the active node, and does not forward."""
    at = f"; the active one is {active}" if active else ", and no active one was found"
    return Problem(
        "vault.standby",
        f"the secret server {name.text} is a standby node{at}",
        Remedy("use the address of the cluster or of its active node, then run again"),
        where=name.where,
    )


def rate_limited(name: ServerName, waited_s: float) -> Problem:
    """It refuses requests because there were too many."""
    return Problem(
        "vault.rate_limited",
        f"the secret server {name.text} limits the rate of requests; still so after"
        f" {waited_s:.0f} s",
        Remedy("run again later, or have the quota of this client raised; what was written stays"),
        where=name.where,
    )


def permission(name: ServerName, path: str, capabilities: Sequence[str]) -> Problem:
    """The token is valid and may not do this. The detail is the policy text it needs."""
    words = ", ".join(f'"{each}"' for each in capabilities)
    return Problem(
        "vault.permission",
        f"permission denied: the token lacks the capability {' or '.join(capabilities)} on the"
        f" path {path}",
        Remedy(
            "have the policy of this token extended: the path and the capability are in the detail;"
            " what was written stays, and a further run goes on from there",
            () if name.bundled else ("devplat-install answers show --vault-policy",),
        ),
        where=name.where,
        detail=f'path "{path}" {{\n  capabilities = [{words}]\n}}',
    )


def token_refused(name: ServerName, why: str) -> Problem:
    """The server does not take this login."""
    return Problem(
        "vault.token_refused",
        f"the secret server {name.text} refuses the login: {why}",
        Remedy(
            "give a token or machine login that is valid on this server and in this namespace; one"
            " that has expired counts as unknown"
        ),
        where="vault" if not name.bundled else name.text,
    )


def token_expired(name: ServerName, why: str) -> Problem:
    """The token was good and is no more, and there is no way to another one."""
    return Problem(
        "vault.token_expired",
        f"the token for the secret server {name.text} has expired, and {why}",
        Remedy(
            "give a new token, best one that is renewable or outlives the run, then run again; what"
            " was written before it expired stays and is not made again"
        ),
        where="vault" if not name.bundled else name.text,
    )


def old_kv(mount: str, version: str) -> Problem:
    """The mount is a KV engine of another version."""
    return Problem(
        "vault.kv_version",
        f"the mount {mount} is a key/value engine of version {version}, not 2; nothing was written",
        Remedy(
            f"it is version {version}: have it upgraded, or name another mount in vault.mount",
            (f"vault kv enable-versioning {mount}",),
        ),
        where="vault.mount",
    )


def no_mount(mount: str, why: str) -> Problem:
    """There is no key/value engine at that path."""
    return Problem(
        "vault.no_mount",
        f"there is no key/value engine at the mount {mount}: {why}",
        Remedy(
            "have one enabled, or correct vault.mount and vault.namespace",
            (f"vault secrets enable -path={mount} -version=2 kv",),
        ),
        where="vault.mount",
    )


def deleted(path: str, version: int, mount: str) -> Problem:
    """The current version was deleted, and can come back."""
    below = path.removeprefix(f"{mount}/data/")
    return Problem(
        "vault.deleted",
        f"version {version} of {path} was deleted; no other value is made in its place",
        Remedy(
            "restore it, or remove it with all its versions if its data is gone as well",
            (f"vault kv undelete -mount={mount} -versions={version} {below}",),
        ),
        where=path,
    )


def destroyed(path: str, version: int, mount: str) -> Problem:
    """The current version was destroyed for good."""
    below = path.removeprefix(f"{mount}/data/")
    return Problem(
        "vault.deleted",
        f"version {version} of {path} was destroyed; no other value is made in its place",
        Remedy(
            "put the value back that its consumers use, or remove it with all its versions if its"
            " data is gone as well",
            (f"vault kv metadata delete -mount={mount} {below}",),
        ),
        where=path,
    )


def lost_race(path: str) -> Problem:
    """Somebody else wrote a version at the same time."""
    return Problem(
        "vault.cas",
        f"{path} was changed by somebody else at the same time; the value was not stored",
        Remedy("find out who else writes there, then run again"),
        where=path,
    )


def no_text(name: str, why: str) -> Problem:
    """A value that the store cannot keep as it is."""
    return Problem(
        "vault.value",
        f"the value of {name} cannot be stored: {why}",
        Remedy("use a value of UTF-8 text; binary ones in base64"),
        where=name,
    )


def foreign_form(path: str, why: str) -> Problem:
    """What lies there was not written by this product, or was altered."""
    return Problem(
        "vault.form",
        f"what is stored at {path} has another form: {why}",
        Remedy("look at it; if nobody needs it, remove it with all its versions, then run again"),
        where=path,
    )


def not_stored(path: str) -> Problem:
    """What comes back is not what was written."""
    return Problem(
        "vault.read_back",
        f"{path} is not what was written a moment ago",
        Remedy("look whether somebody else writes there, then run again"),
        where=path,
    )


def broken_snapshot(name: ServerName, why: str) -> Problem:
    """An export that cannot be restored."""
    return Problem(
        "vault.snapshot",
        f"the snapshot of the secret server {name.text} is not complete: {why}",
        Remedy("look at the server's log and the room on its disk, then take it again"),
        where=name.where,
    )


def shares_refused(name: ServerName, positions: Sequence[int], others: int, why: str) -> Problem:
    """One share, or several together, do not open the server.

    `positions` count from 1 in the order given; `others` shares were given before by somebody else.
    """
    listed = ", ".join(str(each) for each in positions[:-1])
    which = f"{listed} and {positions[-1]}" if listed else str(positions[-1])
    together = f"the shares {which} together" if listed else f"share {which}"
    before = f" (with {others} given before by somebody else)" if others else ""
    if listed or others:
        remedy = (
            "at least one of these shares is wrong, and the server does not say which: all of them"
            " were discarded, give each of them again, from its custodian's own copy"
        )
    else:
        remedy = "give this share again, correctly; the shares before it count"
    return Problem(
        "vault.share_refused",
        f"{together}{before} refused by {name.text}: {why}",
        Remedy(remedy, ("devplat-install unseal",) if name.bundled else ()),
        where=name.where,
    )
