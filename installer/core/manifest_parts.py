"""Parts that only few manifests have: of the secret server and its agents, and of backups.

Models only, as in `manifest`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Condition(_Model):
    """An answer with a certain value, e.g. `vault.mode` is `bundled`; or with one of several.

    Without `equals`: an answer that is given at all.
    """

    answer: str
    equals: str | bool | tuple[str, ...] | None = None

    def holds(self, value: object) -> bool:
        """Whether the answer's value is one of those."""
        if self.equals is None:
            return value is not None
        return value in self.equals if isinstance(self.equals, tuple) else value == self.equals


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
    """

    port: int
    tunnel: tuple[str, ...]
    initialise: tuple[str, ...]
    keeps: Name
    answer: str
    tls: Name
    reload: tuple[str, ...] = ("kill", "-HUP", "1")
    seal: Name | None = None


class AgentPart(_Model):
    """Says that one of this service runs for each consumer of secrets, as the consumer's user.

    Attributes:
        receive: Program that takes its login on standard input: role id, wrapped secret id and
            the authority's PEM, each after a line with its length in bytes.
    """

    receive: tuple[str, ...]


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
    """

    argv: tuple[str, ...]
    ready: Name | None = None
    part: Name | None = None


class DataProof(_Model):
    """A program in a service's own image that succeeds on sound data, mounted where it belongs."""

    argv: tuple[str, ...]
