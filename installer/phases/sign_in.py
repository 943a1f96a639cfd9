"""The login of people to the platform's own secret server, once the identity provider serves.

Made as the stack's folder says, compared on every run, and taken away when nobody wants it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from installer.core.bundle import Bundle
from installer.core.errors import SecretStoreError
from installer.core.events import Run, StepProgress
from installer.core.secrets import Secret
from installer.core.sign_in import SignIn, mark_of, read_sign_in
from installer.phases.server import Server
from installer.phases.steps import Step, no_effect

WAIT_S = 180
"""Seconds until a provider that was just started must know its client."""
_EVERY_S = 3.0
_STEP = "vault.sign_in"


def sign_in_steps(
    server: Server, bundle: Bundle, secrets: Mapping[str, Secret], roots: bytes | None
) -> Iterator[Step]:
    """A step where something is to be there, or to be taken away. Needs a login.

    Args:
        server: Open and logged in to.
        bundle: Says how people log in.
        secrets: Has the client's secret.
        roots: What clients of the edge verify it by, as PEM; None where the system's are enough.
    """
    if server.part.sign_in is None:
        return
    wanted = read_sign_in(server.plan, bundle)
    if wanted is not None:
        pem = roots.decode() if roots and wanted.trusts_edge else ""
        yield _make_step(server, wanted, secrets[wanted.secret], pem)
    elif server.ports.admin.sign_in.is_there(server.part.sign_in.method, mark_of(server.plan)):
        yield _remove_step(server, server.part.sign_in.method)


def _make_step(server: Server, wanted: SignIn, client: Secret, roots: str) -> Step:
    method, clock = server.ports.admin.sign_in, server.clock

    def is_there() -> bool:
        return not method.lacks(wanted, client, roots)

    def make() -> Run[None]:
        end = clock.monotonic() + WAIT_S
        beats = 0
        while True:
            try:
                return method.configure(wanted, client, roots)
            except SecretStoreError as error:
                late = clock.monotonic() + _EVERY_S > end
                if late or error.problems[0].code != "vault.sign_in_refused":
                    raise
            beats += 1
            yield StepProgress(_STEP, beats, None, note="the identity provider is not ready")
            clock.sleep(_EVERY_S)

    title = "let administrators log in to the secret server by single sign-on"
    return Step(_STEP, title, is_there, make, is_there)


def _remove_step(server: Server, name: str) -> Step:
    method, mark = server.ports.admin.sign_in, mark_of(server.plan)

    def is_gone() -> bool:
        return not method.is_there(name, mark)

    def remove() -> Run[None]:
        method.remove(name, mark, f"{server.plan.deployment}-")
        return no_effect()

    return Step(_STEP, "take the login by single sign-on away", is_gone, remove, is_gone)
