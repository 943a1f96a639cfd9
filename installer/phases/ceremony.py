"""The secret server's first hours: initialised, its shares handed over, opened, set up, closed.

What the server answers to its initialisation exists once. It lies on the target, encrypted by the
server itself to a key that only the installer's sealed store has, until every share is encrypted
to its custodian and the root token is revoked. Each step finds out by itself how far an earlier
run came, so a run that died anywhere is continued by the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from installer.core.answers_vault import VaultBundled
from installer.core.errors import (
    ContainerRuntimeError,
    Problem,
    Remedy,
    SecretStoreError,
    SshConnectError,
)
from installer.core.events import CheckFinished, CheckResult, Outcome, Run, StepProgress
from installer.core.store_rules import installer_role
from installer.phases.remote import quote, replace_file, run_root
from installer.phases.server import Server, foreign_problem
from installer.phases.steps import Step, no_effect
from installer.phases.unsealing import unseal_step

_NO_PLACE, _FOREIGN, _ORPHANED, _UNKEPT = 3, 4, 5, 6
"""Exit statuses of the initialising program (`SecretServerPart.initialise`): nothing was sent, for
there is no room for the answer; somebody else's server; an answer whose server is gone; an answer
that could not be kept and is printed, encrypted as it is."""


def opening_steps(server: Server) -> Iterator[Step]:
    """From a running server to one that is open and set up."""
    yield _initialise_step(server)
    yield _hand_over_step(server)
    yield unseal_step(server)
    yield _configure_step(server)


def _initialise_step(server: Server) -> Step:
    admin, custody, name = server.ports.admin, server.ports.custody, server.manifest.name

    def is_initialised() -> bool:
        # Without an answer the program is run all the same: it finds one that was half kept, and
        # tells somebody else's server from ours.
        known = server.has_answer() or custody.access() or server.ports.token
        return admin.status().initialised and bool(known)

    def initialise() -> Run[None]:
        vault = cast(VaultBundled, server.plan.answers.vault)
        argv = [*server.part.initialise, str(vault.key_shares), str(vault.key_threshold)]
        key = custody.transport_key().encode()
        try:
            done = server.engine.exec(server.project, name, argv, stdin=key)
        except (SshConnectError, ContainerRuntimeError) as error:
            raise SecretStoreError(_link_lost(server)) from error
        if done.status == _UNKEPT:
            replace_file(server.host, server.answer_paths[-1], done.stdout)
        elif done.status != 0:
            said = done.error_text.strip().splitlines() or ["no message"]
            raise SecretStoreError(_refused(name, done.status, said))
        return no_effect()

    return Step(
        "vault.initialise",
        "initialise the secret server",
        is_initialised,
        initialise,
        lambda: admin.status().initialised and server.has_answer(),
    )


def _hand_over_step(server: Server) -> Step:
    custody = server.ports.custody

    def is_handed_over() -> bool:
        return bool(custody.handed_over()) or not server.has_answer()

    def hand_over() -> Run[None]:
        keys = server.keys()
        if keys is None:
            raise SecretStoreError(foreign_problem(server.manifest.name))
        kept = f"the keys were kept at {server.answer_paths[0]}; they are fetched"
        yield StepProgress("vault.hand_over", 0, len(keys[1]), kept)
        for share in custody.hand_over(keys[1]):
            note = f"share {share.number} for {share.custodian}: {share.place}"
            yield StepProgress("vault.hand_over", share.number, len(keys[1]), note)

    return Step(
        "vault.hand_over",
        "encrypt each share to its custodian",
        is_handed_over,
        hand_over,
        is_handed_over,
    )


def _configure_step(server: Server) -> Step:
    admin, custody, rules = server.ports.admin, server.ports.custody, server.rules

    def is_configured() -> bool:
        server.log_in()
        return custody.access() is not None and not admin.lacks(rules) and server.has_login()

    def configure() -> Run[None]:
        admin.configure(rules)
        if not server.has_login():
            key = admin.issue(installer_role(server.plan.deployment), wrap_s=None)
            custody.keep_access(key)
            admin.log_in_as(key)
        return no_effect()

    return Step(
        "vault.configure",
        "audit, policies and roles of the secret server",
        is_configured,
        configure,
        is_configured,
    )


def close_step(server: Server) -> Step:
    """Possession proven, root token revoked, the kept answer and the key to it destroyed."""
    admin, custody, host = server.ports.admin, server.ports.custody, server.host

    def is_closed() -> bool:
        return not server.has_answer() and not custody.holds_transport()

    def close() -> Run[None]:
        prover = custody.prove(custody.handed_over())
        yield CheckFinished("vault.close", _possession(prover, server.plan.answers.waivers))
        keys = server.keys()
        if keys is not None and admin.is_valid(keys[0]):
            admin.revoke(keys[0])
        if keys is not None and admin.is_valid(keys[0]):
            raise SecretStoreError(
                Problem(
                    "vault.root_valid",
                    "the initial root token is still valid after it was revoked",
                    Remedy("revoke it by hand, then run again", ("bao token revoke -self",)),
                    where=server.manifest.name,
                )
            )
        server.forget()
        paths = " ".join(map(quote, server.answer_paths))
        run_root(host, f"rm -f {paths}\nsync")
        custody.forget_transport()

    return Step(
        "vault.close",
        "revoke the root token, destroy the kept answer",
        is_closed,
        close,
        is_closed,
    )


def _possession(custodian: str | None, waivers: Mapping[str, str]) -> CheckResult:
    """That a share can be read by the one it was encrypted to."""
    title = "a custodian has typed a share back"
    if custodian is not None:
        return CheckResult("vault.possession", title, Outcome.PASS, found=custodian)
    reason = waivers.get("vault.possession_unproven")
    outcome = Outcome.WARN if reason is None else Outcome.WAIVED
    return CheckResult("vault.possession", title, outcome, found=reason or "nobody could be asked")


def _link_lost(server: Server) -> Problem:
    return Problem(
        "vault.answer_kept",
        f"the connection was lost while {server.manifest.name} was being initialised; if it was,"
        f" its keys were kept at {server.answer_paths[0]} on the target, encrypted",
        Remedy(
            "run again from the same run directory to fetch them",
            ("devplat-install apply --yes",),
        ),
        where=server.manifest.name,
    )


def _refused(name: str, status: int, said: list[str]) -> Problem:
    """What the initialising program's refusal means; its last line says what it saw."""
    if status == _FOREIGN:
        return foreign_problem(name)
    code, summary, remedy = {
        _NO_PLACE: (
            "vault.keeping_place",
            "the place that keeps the answer is not writable or has no room",
            "make its data directory writable with room to spare, then run again",
        ),
        _ORPHANED: (
            "vault.orphaned_answer",
            "an answer is kept whose server is gone",
            "put the server's storage back; or, if its secrets are of no use, move that file away",
        ),
    }.get(
        status,
        (
            "vault.unexpected",
            "the server was not initialised",
            f"look at the log of {name} on the target, then run again",
        ),
    )
    return Problem(
        code, f"{summary}: {said[-1]}", Remedy(remedy), where=name, detail="\n".join(said[-10:])
    )
