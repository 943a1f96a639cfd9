"""What one run is about, and what a person decided about it; both are made before any contact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from installer.core.bundle import Bundle
from installer.core.checks import Requirements
from installer.core.events import CheckResult
from installer.core.history import Kind, ReleaseRecord, hash_answers
from installer.core.layout import Layout
from installer.core.owner import Owner
from installer.core.plan import Plan
from installer.phases.verify import Audit
from installer.phases.verify_outside import OutsideAudit
from installer.phases.verify_reach import ReachAudit


@dataclass(frozen=True, slots=True)
class Job:
    """What one run is about; everything in it was made without contacting anything.

    Attributes:
        probe: Text of the preflight script.
        audit_bundle: Findings of the hardening and segmentation audits over the bundle.
        audit_container: The same audit over a running container.
        owner: Who runs it; becomes the lock's content.
        is_gone: Whether a process of this machine has ended.
        facts: What the report says of the run itself.
        redact: Takes secrets out of a text; the report is kept, so it goes through this.
        audit_reach: What is tried from inside the containers, and how it is judged.
        outside: What is tried from the bastion and the vantage point, and how it is judged.
    """

    plan: Plan
    bundle: Bundle
    requirements: Requirements
    probe: str
    audit_bundle: tuple[CheckResult, ...]
    audit_container: Audit
    owner: Owner
    is_gone: Callable[[str], bool]
    facts: Mapping[str, str]
    redact: Callable[[str], str] = str
    audit_reach: ReachAudit | None = None
    outside: OutsideAudit | None = None

    @property
    def layout(self) -> Layout:
        """Paths on the target."""
        return Layout(self.plan.install_dir, self.plan.data_dir)


@dataclass(frozen=True, slots=True)
class Consent:
    """Decisions that only a person can take; none is a default."""

    take_over: bool = False
    repair: bool = False


def make_record(job: Job, at: datetime, kind: Kind, answers: str) -> ReleaseRecord:
    """What the target keeps of a release that was verified.

    Args:
        job: It was made of.
        at: When it was verified, UTC.
        kind: How it came into service.
        answers: Text of the answers file that repeats it.
    """
    return ReleaseRecord(
        release=job.bundle.release,
        run=job.owner.run,
        at=at.isoformat(timespec="seconds"),
        product=job.facts["product"],
        kind=kind,
        answers=hash_answers(answers),
        images=dict(job.plan.images),
    )
