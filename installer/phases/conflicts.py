"""Where answers, store and target disagree in a way that a person has to decide."""

from __future__ import annotations

from collections.abc import Collection

from installer.core.deployed import Deployed
from installer.core.errors import ConflictError, Problem, Remedy
from installer.core.layout import Layout
from installer.core.plan import Plan
from installer.core.proposal import Proposal
from installer.core.secrets import ISSUED


def refuse_new_secrets_over_old_data(
    plan: Plan, layout: Layout, deployed: Deployed, known: Collection[str]
) -> None:
    """Data whose secrets are lost is never given new ones.

    Args:
        plan: Says which markers belong to which secrets.
        layout: For the message.
        deployed: What lies on the target.
        known: Names of the secrets that the store has.

    Raises:
        ConflictError: naming the data and the two ways out.
    """
    lost = sorted(
        {
            marker
            for marker in deployed.markers
            for secret in plan.manifest(marker.split("/", 1)[0]).secrets
            # a certificate that is lost is issued anew, and no data depends on it
            if secret.name not in known and secret.kind not in ISSUED
        }
    )
    if lost:
        raise ConflictError(
            Problem(
                code="conflict.secrets_unknown",
                summary="data exists on the target, and its secrets are not in the store",
                where=plan.deployment,
                detail="\n".join(f"{layout.data_dir}/{marker}" for marker in lost),
                remedy=Remedy(
                    "run from the machine, or with the run directory, that holds the store of this"
                    " deployment; or move that data away if it is not needed any more"
                ),
            )
        )


def refuse_edited_release(proposal: Proposal, *, repair: bool) -> None:
    """What somebody changed on the target is not overwritten without a decision.

    Raises:
        ConflictError: naming the files.
    """
    edited = proposal.deployed.edited
    if edited and not repair and proposal.deployed.release == proposal.bundle.release:
        raise ConflictError(
            Problem(
                code="conflict.edited",
                summary=f"{len(edited)} files of the active release were changed on the target",
                where=proposal.deployed.release,
                detail="\n".join(f"{change.kind}: {change.path}" for change in edited),
                remedy=Remedy(
                    "move the change into the answers or into compose.override.yaml, then have the"
                    " release restored; the edited files are kept beside it",
                    ("devplat-install apply --repair",),
                ),
            )
        )
