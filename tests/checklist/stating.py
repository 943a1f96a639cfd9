"""Statements about a sound installation, for tests."""

from __future__ import annotations

from installer.core.checklist import Result, Scene, Statement, attest
from installer.core.checklist.statements import append
from tests.checklist.sound import measure_of, report_of, stand


def scene_of(*reports: object, chain: tuple[Statement, ...] = (), **answers: object) -> Scene:
    measure = measure_of(*reports, **answers)  # type: ignore[arg-type]
    standing = stand(*reports, chain=chain, **answers)  # type: ignore[arg-type]
    return Scene(measure, standing, "ada@bastion", "192.0.2.10", "0.1.0")


def stating(scene: Scene, *ids: str) -> tuple[Statement, ...]:
    chain: tuple[Statement, ...] = ()
    for id in ids:
        chain = append(chain, attest(scene, id, by="Ada Lovelace", note="in the wiki, by Grace"))
    return chain


def everything_stated() -> tuple[Statement, ...]:
    open_ = [s.head.id for s in stand(report_of()).items if s.result is Result.PENDING]
    return stating(scene_of(report_of()), *dict.fromkeys(open_))
