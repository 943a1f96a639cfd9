"""The runbook of the platform's own secret server: who holds its keys, and what to do without us.

Plan and handed shares in, text out, the same for the same; it names shares by their fingerprints
and holds no secret. What is particular to the server lies in its folder of `stacks/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from installer.core.errors import Problem, Remedy, StackError
from installer.core.plan import Plan
from installer.ports import HandedShare

TEMPLATE = "runbook.md.j2"


def format_runbook(
    plan: Plan, shares: Sequence[HandedShare], run_dir: str, environment: SandboxedEnvironment
) -> str:
    """The runbook as Markdown.

    Args:
        plan: Of a platform with a secret server of its own.
        shares: As they were handed over; empty when that was done elsewhere.
        run_dir: Absolute path of the run directory that the commands name.
        environment: Loads templates of `stacks/compose`.

    Raises:
        StackError: the server's template is missing or at fault.
    """
    server = plan.server
    if server is None:
        raise ValueError("the plan has no secret server")
    source = f"{server.folder}/{TEMPLATE}"
    try:
        return environment.get_template(source).render(
            plan=plan,
            service=server,
            shares=shares,
            endings=frozenset(share.place.rpartition(".")[2] for share in shares),
            run_dir=run_dir,
            quote=quote,
        )
    except jinja2.TemplateError as error:
        place = f"{source}:{getattr(error, 'lineno', None) or '?'}"
        raise StackError(
            Problem(
                "stack.template",
                f"{place}: {error.message}",
                Remedy(f"correct the template in stacks/compose/{server.folder}"),
                where=server.name,
            )
        ) from error
