"""Opens a sealed secret server by shares: of the kept answer, by reference, or typed."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from installer.core.answers_vault import VaultBundled
from installer.core.errors import Problem, Remedy, SecretStoreError
from installer.core.events import CheckFinished, CheckResult, Outcome, Run, StepProgress
from installer.core.proposal import Proposal, ServerState
from installer.core.secrets import share_fingerprint
from installer.phases.server import Server
from installer.phases.steps import Step
from installer.ports import SealStatus


def refuse_unopenable(server: Server, proposal: Proposal) -> None:
    """A server that this run would seal, or find sealed, and could not open, is left as it is.

    Raises:
        SecretStoreError: `vault.would_seal`; nothing was changed.
    """
    if proposal.server not in (ServerState.READY, ServerState.SEALED):
        return
    settings, name = cast(VaultBundled, server.plan.answers.vault), server.manifest.name
    threshold = settings.key_threshold
    is_shut = proposal.server is ServerState.SEALED
    will_be = any(c.service == name and c.kind != "added" for c in proposal.services)
    has_keys = settings.seal != "shamir" or server.ports.custody.can_unseal(threshold)
    if (is_shut or will_be) and not has_keys:
        what = "is sealed" if is_shut else "is started anew by this change, which seals it"
        raise SecretStoreError(
            Problem(
                "vault.sealed" if is_shut else "vault.would_seal",
                f"the secret server {what}: {threshold} shares, its threshold, are needed to open"
                " it, and they cannot be had here; nothing was changed",
                Remedy(
                    "run this on a terminal with the custodians, or refer to their decrypted shares"
                    " in vault.unseal_shares",
                    ("devplat-install unseal",),
                ),
                where="vault.unseal_shares",
            )
        )


def unseal_step(server: Server) -> Step:
    """Give the server shares until it opens: of the kept answer, by reference, or typed."""
    admin, custody = server.ports.admin, server.ports.custody

    def is_open() -> bool:
        return not admin.status().sealed

    def unseal() -> Run[None]:
        status = admin.status()
        keys = server.keys()
        missing = status.threshold - status.progress
        source = iter(keys[1]) if keys else custody.shares(missing)
        known = {share.fingerprint for share in custody.handed_over()}
        for position, share in enumerate(source, status.progress + 1):
            if known and share_fingerprint(share) not in known:
                raise SecretStoreError(_wrong_share(position, status))
            status = admin.unseal(share)
            yield StepProgress("vault.unseal", position, status.threshold, "a share was accepted")
            if not status.sealed:
                break
        if keys is None:
            yield CheckFinished("vault.unseal", _standstill(server))

    return Step("vault.unseal", "unseal the secret server", is_open, unseal, is_open)


def _standstill(server: Server) -> CheckResult:
    """How long nobody could read a secret: since the server's container was started."""
    started = next(
        str(c.inspect["State"]["StartedAt"])
        for c in server.engine.containers(server.project)
        if c.service == server.manifest.name
    )
    # the engine gives nanoseconds, which fromisoformat takes to six digits only
    since = datetime.fromisoformat(started[:19] + "+00:00")
    minutes = (server.clock.now() - since).total_seconds() / 60
    title = "the platform stood still while its secret server was sealed"
    found = f"{minutes:.1f} minutes, since {since.isoformat()}"
    return CheckResult("vault.standstill", title, Outcome.WARN, found=found)


def _wrong_share(position: int, status: SealStatus) -> Problem:
    return Problem(
        "vault.share_wrong",
        f"share {position} of {status.threshold} is none of this server's; it was not sent, and"
        " those before it count",
        Remedy(
            f"ask its custodian again; {status.threshold} shares are the threshold",
            ("devplat-install unseal",),
        ),
        where="vault.unseal_shares",
    )
