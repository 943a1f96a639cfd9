"""Whether a token may do what is about to be done, asked of the server before anything is done.

Asks only; a token that may not ask about itself is no obstacle, it will be told later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hvac.exceptions import InvalidPath, InvalidRequest

from installer.adapters.vault_client import Call
from installer.adapters.vault_problems import permission
from installer.adapters.vault_session import VaultSession
from installer.core.errors import Problem, Remedy, SecretStoreError

Capabilities = Mapping[str, tuple[str, ...]]
"""Path → what has to be allowed there, as policies call it."""


def require_capabilities(session: VaultSession, wanted: Capabilities) -> None:
    """Make sure that the token may do all of `wanted`.

    Raises:
        SecretStoreError: `vault.permission`, one problem for all paths; its detail is the policy
            text that is missing.
    """
    told = _ask(session, wanted)
    lacking = {
        path: missing
        for path, needs in wanted.items()
        if (missing := _missing(needs, told.get(path)))
    }
    if lacking:
        raise SecretStoreError(_denied(session, wanted, lacking))


def _ask(session: VaultSession, wanted: Capabilities) -> Mapping[str, object]:
    """What the server says of each path (`sys/capabilities-self`); nothing when it does not."""
    if not wanted:
        return {}
    call = Call("POST", "sys/capabilities-self", {"paths": list(wanted)})
    try:
        answer = session.ask(call, ("update",))
    except (InvalidPath, InvalidRequest):
        return {}
    except SecretStoreError as error:
        if error.problems[0].code != "vault.permission":
            raise
        return {}
    data = answer.get("data")
    return data if isinstance(data, Mapping) else answer


def _missing(needs: tuple[str, ...], told: object) -> tuple[str, ...]:
    if not isinstance(told, list) or "root" in told:
        return ()
    return tuple(each for each in needs if each not in told)


def _denied(session: VaultSession, wanted: Capabilities, lacking: Capabilities) -> Problem:
    path, missing = next(iter(lacking.items()))
    others = f", and on {len(lacking) - 1} other paths" if len(lacking) > 1 else ""
    first = permission(session.server, path, missing)
    # all that a path needs: a rule for one path takes away what one with a star allows there
    rules = {each: wanted[each] for each in lacking}
    folders = {each.rpartition("/")[0] for each in wanted}
    if len(lacking) == len(wanted) > 1 and len(folders) == 1:
        needs = dict.fromkeys(need for each in wanted.values() for need in each)
        rules = {f"{folders.pop()}/*": tuple(needs)}
    return replace(
        first,
        summary=f"{first.summary}{others}",
        detail="\n".join(str(permission(session.server, *rule).detail) for rule in rules.items()),
        remedy=Remedy(
            "have the policy of this token extended: the path and the capability are in the detail;"
            " nothing was written",
            first.remedy.commands,
        ),
    )
