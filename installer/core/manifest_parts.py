"""Parts of manifests: public names, the secret server and its agents, backups.

Models only, as in `manifest`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Ingress(_Model):
    """A public name of a service.

    Attributes:
        host: Key of `domain.hosts`; also the default label below the base domain.
        port: Container port that the edge forwards to, in clear text on a network of its own.
        wildcard: Also every name directly below this host.
        health: Path that answers 200 without a login.
        deny: Paths the edge refuses (metrics, debug).
        deny_writes: Paths that the edge refuses to everything but reading.
        limit: Name of the edge's rate limit for this host.
        when: There is such a name only if this answer has this value.
    """

    host: Name
    port: int
    health: str
    wildcard: bool = False
    deny: tuple[str, ...] = ()
    deny_writes: tuple[str, ...] = ()
    login_paths: tuple[str, ...] = ()
    when: Condition | None = None


class Condition(_Model):
    """An answer with a certain value, e.g. `vault.mode` is `bundled`; or with one of several.

    Without `equals`: an answer that is given at all. `also` has to hold besides.
    """

    answer: str
    equals: str | bool | tuple[str, ...] | None = None
    also: Condition | None = None

    def holds(self, value: object) -> bool:
        """Whether the answer's value is one of those."""
        if self.equals is None:
            return value is not None
        return value in self.equals if isinstance(self.equals, tuple) else value == self.equals

    def holds_among(self, value_of: Callable[[str], object]) -> bool:
        """Whether it holds, and what has to hold besides. `value_of` gives an answer's value."""
        own = self.holds(value_of(self.answer))
        return own and (self.also is None or self.also.holds_among(value_of))


class Note(_Model):
    """What the operator must know if an answer has a certain value."""

    text: str
    when: Condition


class ExecCheck(_Model):
    """A smoke test inside a container. `stdin` may name secrets as `${name}`.

    `in` is the service to run in, this one by default. `expect` is searched in standard output.
    `when`: it is made only if this answer has this value.
    """

    kind: Literal["exec"]
    id: Name
    title: str
    argv: tuple[str, ...]
    stdin: str = ""
    in_: Name | None = Field(default=None, alias="in")
    expect: str
    remedy: str
    when: Condition | None = None


class Unmet(_Model):
    """Something that the deployment guide asks for and this installation does not give.

    Attributes:
        guide: Section of the guide and what it asks for, as `4.1 two replicas`.
        why: Why it is not given here.
        remedy: The answer, or the step, that would give it.
        when: It counts only if this answer has this value.
        unless: It does not count if this answer has this value; of several, one is enough.
    """

    guide: Annotated[str, Field(pattern=r"^[0-9A-Z][0-9.]* \S")]
    why: str
    remedy: str
    when: Condition | None = None
    unless: Condition | tuple[Condition, ...] | None = None


class SignInPart(_Model):
    """Says how people log in to a secret server through the identity provider.

    Attributes:
        method: Path below `auth/` of the method that they log in by.
        file: File of the server's configuration that says how, as JSON; while it is not rendered
            nobody logs in that way. See `core.sign_in`.
        secret: Name of the secret that the server shows the provider.
    """

    method: Name
    file: str
    secret: Name


class SecretServerPart(_Model):
    """Says that this service is the platform's secret server, and how it is spoken to.

    Attributes:
        port: Where it listens with TLS.
        tunnel: Program in its container that connects standard input and output to that port.
        initialise: Program that initialises it and keeps the answer, encrypted, in `keeps` before
            it ends. Gets shares and threshold as arguments, the transport key on standard input.
        keeps: Data directory that holds the answer until every share is handed over.
        answer: File in it.
        tls: Data directory that `server.pem`, `server.key` and `ca.pem` are delivered to.
        reload: Program that makes it read its certificate again.
        seal: Data directory that the token of another key service is delivered to, as `token`.
        sign_in: How people log in to it, where an answer wants that.
    """

    port: int
    tunnel: tuple[str, ...]
    initialise: tuple[str, ...]
    keeps: Name
    answer: str
    tls: Name
    reload: tuple[str, ...] = ("kill", "-HUP", "1")
    seal: Name | None = None
    sign_in: SignInPart | None = None


class AgentPart(_Model):
    """Says that one of this service runs for each consumer of secrets, as the consumer's user.

    Attributes:
        receive: Program that takes its login on standard input: role id, wrapped secret id and
            the authority's PEM, each after a line with its length in bytes.
    """

    receive: tuple[str, ...]


class StoreRight(_Model):
    """What a login to the secret server may do with a path, besides reading secrets."""

    path: Annotated[str, Field(pattern=r"^[a-z][a-z0-9/+*_-]*[a-z0-9*]$")]
    capabilities: Annotated[
        tuple[Literal["create", "read", "update", "delete", "list", "sudo"], ...],
        Field(min_length=1),
    ]


class LoginPart(_Model):
    """Says that this service speaks to the secret server itself, with a login of its own.

    Its agent keeps two files below /run/secrets: `token`, which is good until another one takes its
    place, and `ca.pem`, which the server is verified by.

    Attributes:
        rights: All that the login may do, besides looking at itself and reading the secrets that
            the service's files are made of.
    """

    rights: Annotated[tuple[StoreRight, ...], Field(min_length=1)]


class ReaderPart(_Model):
    """Says that one of this service runs for each service with data to back up, as its user.

    Attributes:
        group: Group it runs with: that of the service that collects what it reads.
        path: Below it lie the data directories, read-only.
    """

    group: int
    path: str


class CollectorPart(_Model):
    """Says that this service makes the backups.

    Attributes:
        ask: Program that takes `request`, `status`, `list`, `fetch`, `fetched` and `drilled`.
        scratch: Data directory below which it puts what it fetches.
    """

    ask: tuple[str, ...]
    scratch: Name


class DrillPart(_Model):
    """Says how a restored part is tried, in a project of its own whose network leads nowhere.

    Attributes:
        argv: Program that restores `/restore/<part>.tar` into `/ready` and compares it with what
            the manifest of the backup says. Gets the part's name as its last argument.
        part: Name of the part; that of a reader is its source's.
        ready: Service whose data directories lie below `/ready` then; a reader's own source when
            none is named.
        by_hand: Where it is written how the part takes the place of what there is, when nothing
            but a person may do that; it is tried all the same.
    """

    argv: tuple[str, ...]
    ready: Name | None = None
    part: Name | None = None
    by_hand: str | None = None


class DataProof(_Model):
    """A program in a service's own image that succeeds on sound data, mounted where it belongs."""

    argv: tuple[str, ...]


class DatabasePart(_Model):
    """Says that services keep their databases on the server that this one is, or leads to.

    Attributes:
        port: Of the server, where no answer says another.
        sslmode: How clients verify it, of libpq.
        roots: Secret with the authorities that they verify it by.
    """

    port: int = 5432
    sslmode: Literal["disable", "verify-full"] = "disable"
    roots: Name | None = None


class OutsideServer(_Model):
    """Of a database server that is not ours alone: how our roles are told from others.

    Attributes:
        mark: Comment of every role that this deployment has made there.
        maintenance: Database that the administrator begins in.
    """

    mark: str
    maintenance: str
