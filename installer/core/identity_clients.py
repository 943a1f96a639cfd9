"""Whether a company's identity provider knows every client that this installation has.

Which clients there are follows from the manifests: a secret whose answer is one of
`identity.client_secrets` belongs to one. No message holds a secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from installer.core.answers_identity import IdentityExternal
from installer.core.catalog import Catalog
from installer.core.errors import Problem, Remedy

if TYPE_CHECKING:
    from installer.core.answers import Answers

_SECRETS = "identity.client_secrets."


def clients_of(chosen: Catalog) -> tuple[str, ...]:
    """Names of the clients, sorted."""
    answers = (secret.answer or "" for m in chosen.services.values() for secret in m.secrets)
    return tuple(sorted({a.removeprefix(_SECRETS) for a in answers if a.startswith(_SECRETS)}))


def find_missing_clients(answers: Answers, chosen: Catalog) -> Iterator[Problem]:
    """A problem for each client that the external provider's answers say nothing of."""
    identity = answers.identity
    if not isinstance(identity, IdentityExternal):
        return
    for field, known in (
        ("client_ids", identity.client_ids),
        ("client_secrets", identity.client_secrets),
    ):
        for client in clients_of(chosen):
            answer = f"identity.{field}.{client}"
            if client not in known:
                yield Problem(
                    code="identity.client_missing",
                    summary=f"{client} is installed, and nothing is said of its client",
                    where=answer,
                    remedy=Remedy(f"register {client} at {identity.issuer} and write {answer}"),
                )
