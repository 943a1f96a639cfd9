"""What a release has for the host itself: a systemd unit, and the program that it runs.

In every bundle, so that it can be read and installed by hand; a run installs it with consent.
"""

from __future__ import annotations

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from installer.core.bundle import BundleFile
from installer.core.errors import Problem, Remedy, StackError
from installer.core.plan import Plan

FOLDER = "host"
_TEMPLATES = "_shared/host"


def unit_name(deployment: str) -> str:
    """Name of the unit."""
    return f"{deployment}.service"


def unit_path(deployment: str) -> str:
    """Where the unit lies in a bundle."""
    return f"{FOLDER}/{unit_name(deployment)}"


def render_host(plan: Plan, environment: SandboxedEnvironment) -> dict[str, BundleFile]:
    """The files below `host/` of a bundle.

    Raises:
        StackError: a template is missing or at fault.
    """
    rendered = {}
    for template, path, mode in (
        ("unit.service.j2", unit_path(plan.deployment), 0o644),
        ("start.sh.j2", f"{FOLDER}/start.sh", 0o755),
    ):
        source = f"{_TEMPLATES}/{template}"
        try:
            text = environment.get_template(source).render(plan=plan)
        except jinja2.TemplateError as error:
            place = f"{source}:{getattr(error, 'lineno', None) or '?'}"
            problem = Problem(
                "stack.template",
                f"{place}: {error.message}",
                Remedy("correct the template"),
                where=FOLDER,
            )
            raise StackError(problem) from error
        rendered[path] = BundleFile(text.encode(), mode)
    return rendered
