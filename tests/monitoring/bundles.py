"""Rendered bundles with monitoring, on disk, with the paths of containers turned into real ones."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from installer.core.bundle import Bundle
from installer.core.plan import Plan
from installer.core.rendering import render
from installer.stacks import load_templates
from tests.stacks.builders import ROOT, load, make_plan_for, services_of

RECEIVERS: Mapping[str, Mapping[str, Any]] = {
    "nobody": {},
    "mail": {
        "mail_to": "ops@company.com, night@company.com",
        "mail_host": "smtp.company.com",
        "mail_user": "alerts",
        "mail_password": "env:MAIL_PASSWORD",
    },
    "mail-without-login": {
        "mail_to": "ops@company.com",
        "mail_from": "platform@company.com",
        "mail_host": "relay.company.com",
        "mail_port": 25,
    },
    "slack": {"slack_url": "env:SLACK_URL", "slack_channel": "#alerts"},
    "pagerduty": {"pagerduty_key": "env:PAGERDUTY_KEY"},
    "webhook": {"webhook_url": "env:HOOK_URL"},
    "watchdog-only": {"watchdog_url": "env:WATCHDOG_URL"},
}
EVERY_RECEIVER = {k: v for name in RECEIVERS for k, v in RECEIVERS[name].items()}
BACKUP = {
    "enabled": True,
    "bucket": "company-backups",
    "access_key": "env:BACKUP_ACCESS_KEY",
    "secret_key": "env:BACKUP_SECRET_KEY",
    "passphrase": "env:BACKUP_PASSPHRASE",
}
OFF = {"backup": {"enabled": False}}


@functools.cache
def bundle_of(receivers: str = "nobody", variant: str = "everything") -> tuple[Plan, Bundle]:
    """Plan and bundle with some receivers; `every` is all of them together."""
    given = EVERY_RECEIVER if receivers == "every" else RECEIVERS[receivers]
    return render_with({"monitoring": dict(given)}, variant)


def render_with(more: Mapping[str, Any], variant: str = "everything") -> tuple[Plan, Bundle]:
    """Plan and bundle with some answers more."""
    catalog = load()
    plan = make_plan_for(catalog, variant, {**OFF, **more})
    return plan, render(plan, load_templates(ROOT, catalog))


def write_service(bundle: Bundle, service: str, folder: Path) -> Path:
    """The configuration of a service below a folder, its paths leading there; the folder.

    Secret files are made too, with a text that names them.
    """
    for path, file in bundle.files.items():
        if not path.startswith(f"{service}/"):
            continue
        target = folder / path.removeprefix(f"{service}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        text = file.data.decode()
        for inside in (f"/etc/{service.partition('-')[0]}/", "/run/secrets/"):
            text = text.replace(inside, f"{folder}/")
        target.write_text(text)
    return folder


def rules_of(bundle: Bundle) -> dict[str, Any]:
    """`rules/<file>` → parsed, of Prometheus."""
    return {
        path.rpartition("/")[2]: yaml.safe_load(file.data)
        for path, file in bundle.files.items()
        if path.startswith("prometheus/rules/")
    }


def alerts_of(rules: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """`Alert/severity` and its rule."""
    for document in rules.values():
        for group in document["groups"]:
            for rule in group["rules"]:
                yield f"{rule['alert']}/{rule['labels']['severity']}", rule


def folder_rules(service: str) -> dict[str, Any]:
    """The rules that a folder gives as they are, for services that these answers do not install."""
    found = ROOT.glob(f"stacks/compose/{service}/to/prometheus/rules/*.yml")
    return {path.name: yaml.safe_load(path.read_text()) for path in found}


def metric_names(expression: str) -> set[str]:
    """The metrics that an expression names.

    Label matchers, ranges, grouping lists, texts and functions are taken out; what is left are
    numbers, operators and names.
    """
    text = re.sub(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", '""', expression)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", text)
    words = re.findall(r"(?<![\w.:])([a-zA-Z_:][\w:]*)(?!\s*\(|[\w:])", text)
    return (
        set(words)
        - {"and", "or", "unless", "bool", "offset", "inf", "nan", "h", "d", "m", "s"}
        - {word for word in words if re.fullmatch(r"\d.*", word)}
    )


def command_of(receivers: str, service: str, changes: dict[str, str]) -> list[str]:
    """The arguments of a container, its paths and addresses turned into those of this test."""
    body = services_of(bundle_of(receivers)[1])[service]
    words = [word for word in body["command"] if word.startswith("--")]
    for old, new in changes.items():
        words = [word.replace(old, new) for word in words]
    return words


def names_in(exposition: str) -> set[str]:
    """The metrics that a program shows."""
    return {re.split(r"[\s{]", line)[0] for line in exposition.splitlines() if line[:1].isalpha()}
