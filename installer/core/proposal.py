"""A proposal: what a run would do to a target, and why. It is made by looking only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from installer.core.bundle import Bundle, Change
from installer.core.deployed import Deployed, ServiceChange
from installer.core.events import CheckResult
from installer.core.host_settings import EngineSetting
from installer.core.plan import Plan


class ServerState(StrEnum):
    """How far a secret server is."""

    ABSENT = "not running"
    EMPTY = "not initialised"
    UNFINISHED = "initialised, its keys not yet handed over"
    SEALED = "sealed"
    READY = "open"
    FOREIGN = "initialised by somebody else"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What `plan` prints, and what a person or `--yes` consents to.

    Attributes:
        files: Rendered against deployed.
        services: Rendered against running.
        new_secrets: Names of secrets that would be made.
        redeliver: Whether secret files on the target are missing or differ.
        server: How far the platform's own secret server is; None when it has none.
        findings: Preflight results, and the audit of the bundle.
        takes_login: Whether this machine gets a login of its own to that server, for want of one.
        host: Changes of the host itself that `host.apply` consents to, in words.
        engine_settings: What is set in the engine's configuration, of these.
        restarts: Services that have a secret whose answer refers to a new value.
    """

    plan: Plan
    bundle: Bundle
    deployed: Deployed
    files: tuple[Change, ...]
    services: tuple[ServiceChange, ...]
    new_secrets: tuple[str, ...]
    redeliver: bool
    server: ServerState | None
    findings: tuple[CheckResult, ...]
    takes_login: bool = False
    restarts: tuple[str, ...] = ()
    host: tuple[str, ...] = ()
    engine_settings: tuple[EngineSetting, ...] = ()

    @property
    def is_noop(self) -> bool:
        """Whether everything is as it would be left, and verified."""
        return not (
            self.files
            or self.services
            or self.new_secrets
            or self.redeliver
            or self.takes_login
            or self.host
            or self.deployed.edited
            or self.deployed.release != self.bundle.release
            or self.deployed.verified != self.bundle.release
        )

    @property
    def fallback(self) -> str | None:
        """The release that serves again when this one does not become healthy."""
        known = self.deployed
        return known.verified if known.verified != self.bundle.release else known.release
