"""Renders a bundle from a plan: configuration files, the compose document, the manifest.

The same plan gives the same bytes; the digest over all of them names the release. Rendering decides
nothing: decisions are in the plan. No secret is in a bundle.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import jinja2
import yaml
from jinja2.sandbox import SandboxedEnvironment

from installer.core.bundle import (
    COMPOSE_PATH,
    MANIFEST_PATH,
    Bundle,
    BundleFile,
    Document,
    digest_files,
)
from installer.core.compose import (
    LABEL_RELEASE,
    assemble_document,
    assemble_service,
    dump_document,
)
from installer.core.errors import Problem, Remedy, StackError
from installer.core.host_unit import render_host
from installer.core.plan import Plan

FRAGMENT = "compose.yaml.j2"
HEADING = "Made by devplat-install; changes belong into compose.override.yaml"

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Templates:
    """Where templates come from.

    Attributes:
        baseline: The hardening baseline, parsed.
        files: Service → its file paths, relative to its folder.
        read: Bytes of `<service>/<path>`.
        environment: A Jinja environment over the same folder, by `templating`.
    """

    baseline: Mapping[str, Any]
    files: Mapping[str, tuple[str, ...]]
    read: Callable[[str], bytes]
    environment: SandboxedEnvironment


def render(plan: Plan, templates: Templates) -> Bundle:
    """Render every file of every chosen service.

    Raises:
        StackError: a template is at fault, or a path would leave the bundle.
    """
    files: dict[str, BundleFile] = {}
    services: dict[str, Document] = {}
    for name in plan.services:
        own = _render_config(plan, name, templates)
        files.update(own)
        body = assemble_service(plan, name, _fragment(plan, name, templates), templates.baseline)
        body["labels"][LABEL_RELEASE] = _service_release(body, own)
        services[name] = body
    files |= render_host(plan, templates.environment)
    document = assemble_document(plan, services)
    files[COMPOSE_PATH] = BundleFile(dump_document(document, HEADING))
    release = digest_files(files)[:12]
    files[MANIFEST_PATH] = BundleFile(_manifest(plan, files, release))
    return Bundle(dict(sorted(files.items())), document, release)


def _render_config(plan: Plan, name: str, templates: Templates) -> dict[str, BundleFile]:
    """A service's own configuration, and what other services add to it."""
    manifest = plan.manifest(name)
    files = _render_folder(plan, name, "config/", name, templates)
    takers = [manifest.folder, *([manifest.stands_in_for] if manifest.stands_in_for else ())]
    for giver, taker in product(plan.services, takers):
        given = _render_folder(plan, giver, f"to/{taker}/", name, templates)
        if twice := sorted(given.keys() & files.keys()):
            raise _template_error(giver, f"{twice[0]} is given to {name}, which has it already")
        files |= given
    return files


def _render_folder(
    plan: Plan, name: str, below: str, taker: str, templates: Templates
) -> dict[str, BundleFile]:
    """The files of a service below a folder of its own, as files of `taker`."""
    files: dict[str, BundleFile] = {}
    folder = plan.manifest(name).folder
    for path in templates.files[folder]:
        if not path.startswith(below):
            continue
        target = posixpath.join(taker, path.removeprefix(below).removesuffix(".j2"))
        if posixpath.normpath(target) != target or target.startswith(("/", "..")):
            raise _template_error(name, f"{path} leads out of the bundle")
        source = f"{folder}/{path}"
        if path.endswith(".j2"):
            data = _render_template(plan, name, source, templates).encode()
        else:
            data = templates.read(source)
        if data.strip():  # a template may decide that its file is not wanted
            files[target] = BundleFile(data, 0o755 if data.startswith(b"#!") else 0o644)
    return files


def _fragment(plan: Plan, name: str, templates: Templates) -> Mapping[str, Any]:
    text = _render_template(plan, name, f"{plan.manifest(name).folder}/{FRAGMENT}", templates)
    try:
        fragment = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise _template_error(name, f"{FRAGMENT} is not YAML once rendered: {error}") from error
    if not isinstance(fragment, dict):
        raise _template_error(name, f"{FRAGMENT} is not a mapping")
    return fragment


def _render_template(plan: Plan, name: str, source: str, templates: Templates) -> str:
    manifest = plan.manifest(name)
    section = manifest.options_in
    options = plan.answers.options_of(section) if section else {}
    try:
        template = templates.environment.get_template(source)
        return template.render(plan=plan, service=manifest, options=options)
    except jinja2.TemplateError as error:
        place = f"{source}:{getattr(error, 'lineno', None) or '?'}"
        raise _template_error(name, f"{place}: {error.message}") from error


def _service_release(body: Document, config: Mapping[str, BundleFile]) -> str:
    """Identity of one service's definition and configuration; it changes only when they do.

    A new release therefore recreates only the containers that it changes.
    """
    content = json.dumps(body, sort_keys=True) + digest_files(config)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _manifest(plan: Plan, files: Mapping[str, BundleFile], release: str) -> bytes:
    document = {
        "version": 1,
        "deployment": plan.deployment,
        "release": release,
        "images": dict(sorted(plan.images.items())),
        "files": {
            path: {"mode": f"{file.mode:o}", "sha256": hashlib.sha256(file.data).hexdigest()}
            for path, file in sorted(files.items())
        },
    }
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def _template_error(name: str, summary: str) -> StackError:
    return StackError(
        Problem(
            code="stack.template",
            summary=summary,
            where=name,
            remedy=Remedy(f"correct the templates in stacks/compose/{name}"),
        )
    )
