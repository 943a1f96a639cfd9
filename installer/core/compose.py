"""The compose document: each service's fragment on the baseline, with limits, networks, secrets.

Fragments say only what is particular to a service. What every container must have comes from the
baseline and from the plan, so that a fragment cannot forget it. Text is literal: `dump_document`
escapes `$`, and Compose never interpolates.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

import yaml

from installer.core.bundle import Document
from installer.core.errors import Problem, Remedy, StackError
from installer.core.manifest import ServiceManifest
from installer.core.plan import Plan

LABEL_ROLE = "devplat.role"
LABEL_RELEASE = "devplat.release"
LABEL_DEPLOYMENT = "devplat.deployment"
VOLUME = "-secrets"
"""Ends the name of a consumer's volume of rendered secrets."""

OWNED_KEYS = frozenset(
    "image user networks secrets labels deploy logging cap_drop security_opt read_only restart"
    " memswap_limit pids_limit group_add ports privileged network_mode pid ipc uts userns_mode"
    " cgroup cgroup_parent devices env_file build extends".split()
)
"""Keys a fragment must not set: the product sets them, or nobody may."""


def assemble_service(
    plan: Plan, name: str, fragment: Mapping[str, Any], baseline: Mapping[str, Any]
) -> Document:
    """The body of one compose service, without its release label.

    Raises:
        StackError: the fragment sets a key that is not its to set.
    """
    forbidden = sorted(OWNED_KEYS & fragment.keys())
    if forbidden:
        raise StackError(
            Problem(
                code="stack.fragment_key",
                summary=f"sets {', '.join(forbidden)}, which the product sets",
                where=name,
                remedy=Remedy(f"remove it from stacks/compose/{name}/compose.yaml.j2"),
            )
        )
    manifest = plan.manifest(name)
    body: Document = {**baseline, **fragment}
    body["tmpfs"] = _merge_tmpfs(baseline["tmpfs"], fragment.get("tmpfs", ()))
    body["ulimits"] = {**baseline["ulimits"], **fragment.get("ulimits", {})}
    body["image"] = plan.images[name]
    body["user"] = manifest.user
    body["labels"] = _labels(plan, name)
    body["environment"] = {
        "TZ": plan.timezone,
        **{key: _environment_text(value) for key, value in fragment.get("environment", {}).items()},
    }
    body["networks"] = {
        network.name: ({"aliases": list(a)} if (a := network.aliases.get(name)) else {})
        for network in plan.networks
        if name in network.members
    }
    body["secrets"] = _secret_mounts(plan, manifest)
    body["volumes"] = [
        *fragment.get("volumes", ()),
        *_data_mounts(plan, manifest),
        *_rendered_secrets(plan, manifest),
    ]
    body["ports"] = _ports(plan, manifest)
    body.update(_limits(plan, name))
    if manifest.requires:
        body["depends_on"] = {
            other: {"condition": "service_healthy"}
            for other in manifest.requires
            if other in plan.services
        }
    return {key: value for key, value in body.items() if value not in ([], {}, None)}


def assemble_document(plan: Plan, services: Mapping[str, Document]) -> Document:
    """The whole document around assembled services."""
    document = {
        "name": plan.deployment,
        "services": dict(services),
        "networks": {
            network.name: {
                "internal": network.internal,
                "ipam": {"config": [{"subnet": network.subnet}]},
                "labels": {LABEL_DEPLOYMENT: plan.deployment},
            }
            for network in plan.networks
        },
        "volumes": {
            f"{consumer}{VOLUME}": _memory_volume(plan, consumer) for consumer in plan.agents
        },
        "secrets": {
            f"{name}.{file}": {"file": posixpath.join(plan.install_dir, "secrets", name, file)}
            for name in plan.services
            if name not in plan.agents
            for file in plan.manifest(name).secret_files
        },
    }
    return {key: value for key, value in document.items() if value}


def dump_document(document: Document, heading: str) -> bytes:
    """The document as YAML in canonical order, `$` escaped so that Compose takes it literally."""
    # Events are what the C emitter takes; nodes in between would cost more than all the rest.
    events: list[yaml.Event] = [yaml.StreamStartEvent(), yaml.DocumentStartEvent(explicit=False)]
    _add_events(events, document)
    events += (yaml.DocumentEndEvent(explicit=False), yaml.StreamEndEvent())
    text = yaml.emit(events, Dumper=_Dumper, allow_unicode=True, width=100)
    return f"# {heading}\n{text}".encode()


def _labels(plan: Plan, name: str) -> dict[str, str]:
    own = {LABEL_DEPLOYMENT: plan.deployment, LABEL_ROLE: plan.manifest(name).audited_as}
    return {**{key: str(value) for key, value in plan.answers.labels.items()}, **own}


def _limits(plan: Plan, name: str) -> Document:
    """Limits as Compose wants them; swap equals memory, so that nothing is swapped (HD-11)."""
    resources = plan.resources[name]
    memory = f"{resources.memory_mib}M"
    return {
        "deploy": {
            "resources": {
                "limits": {
                    "cpus": format(resources.cpus, "g"),
                    "memory": memory,
                    "pids": resources.pids,
                }
            }
        },
        "memswap_limit": memory,
        "pids_limit": resources.pids,
    }


def _data_mounts(plan: Plan, manifest: ServiceManifest) -> list[Document]:
    return [
        {
            "type": "bind",
            "source": posixpath.join(plan.data_dir, manifest.name, data.name),
            "target": data.path,
        }
        for data in manifest.data
    ] + _read_mounts(plan, manifest)


def _read_mounts(plan: Plan, manifest: ServiceManifest) -> list[Document]:
    """The data that a reader reads, which is another service's."""
    if not (manifest.reader and manifest.source):
        return []
    return [
        {
            "type": "bind",
            "source": posixpath.join(plan.data_dir, manifest.source.name, data.name),
            "target": posixpath.join(manifest.reader.path, data.name),
            "read_only": True,
        }
        for data in manifest.source.data
        if data.backup
    ]


def _secret_mounts(plan: Plan, manifest: ServiceManifest) -> list[Document]:
    """Each file on its own, from the tmpfs that the installer fills."""
    if manifest.name in plan.agents:
        return []
    return [
        {"source": f"{manifest.name}.{file}", "target": file}
        for file in sorted(manifest.secret_files)
    ]


def _rendered_secrets(plan: Plan, manifest: ServiceManifest) -> list[Document]:
    """The directory that an agent fills: writable for the agent, readable for its consumer."""
    consumer = manifest.consumer.name if manifest.consumer else manifest.name
    if consumer not in plan.agents:
        return []
    return [
        {
            "type": "volume",
            "source": f"{consumer}{VOLUME}",
            "target": "/run/secrets",
            "read_only": manifest.consumer is None,
            "volume": {"nocopy": True},
        }
    ]


def _memory_volume(plan: Plan, consumer: str) -> Document:
    """A tmpfs that two containers share; it is gone when both have stopped."""
    uid, _, gid = plan.manifest(consumer).user.partition(":")
    options = f"size=1m,mode=0700,uid={uid},gid={gid},nosuid,nodev,noexec"
    return {
        "driver": "local",
        "driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": options},
        "labels": {LABEL_DEPLOYMENT: plan.deployment},
    }


def _ports(plan: Plan, manifest: ServiceManifest) -> list[Document]:
    """Published ports, always with an address (HD-26); each address family on its own line."""
    address = plan.answers.target.address
    addresses = ["0.0.0.0", "::"] if address == "all" else [address]  # noqa: S104 - asked for
    return [
        {"target": port, "published": str(port), "host_ip": address, "protocol": "tcp"}
        for port in manifest.publish
        for address in addresses
    ]


def _merge_tmpfs(baseline: list[str], fragment: Any) -> list[str]:
    by_path = {entry.split(":", 1)[0]: entry for entry in [*baseline, *fragment]}
    return [by_path[path] for path in sorted(by_path)]


def _environment_text(value: Any) -> str:
    """Environment values are text; YAML's booleans become what programs expect."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

_WORDS = frozenset("yes no on off y n true false null inf nan".split())
"""Words that some YAML reader takes for something else than text (YAML 1.1 and 1.2)."""

_TAG = "tag:yaml.org,2002:"


def _add_events(events: list[yaml.Event], value: Any) -> None:
    """Append what makes up a value: keys sorted, every `$` of every text doubled, keys included."""
    if isinstance(value, str):
        text = value.replace("$", "$$")
        events.append(yaml.ScalarEvent(None, f"{_TAG}str", (True, True), text, style=_style(text)))
    elif isinstance(value, Mapping):
        events.append(yaml.MappingStartEvent(None, f"{_TAG}map", True, flow_style=False))
        for key, item in sorted(value.items(), key=lambda entry: str(entry[0])):
            _add_events(events, key)
            _add_events(events, item)
        events.append(yaml.MappingEndEvent())
    elif isinstance(value, list | tuple):
        events.append(yaml.SequenceStartEvent(None, f"{_TAG}seq", True, flow_style=False))
        for item in value:
            _add_events(events, item)
        events.append(yaml.SequenceEndEvent())
    else:
        node = yaml.representer.SafeRepresenter().represent_data(value)
        events.append(yaml.ScalarEvent(None, node.tag, (True, False), node.value))


def _style(text: str) -> str | None:
    """How a text is written: plain only when no reader can take it for anything else."""
    if "\n" in text:
        return "|"
    plain = text.isascii() and text.replace("-", "").replace("_", "").isalpha()
    return None if plain and text.lower() not in _WORDS else '"'
