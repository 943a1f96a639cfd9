"""The answers: what the operator wants, as one frozen model.

`answers_model` builds the concrete model for a catalog; `draft.validate` is the only maker of
instances. They hold references to secrets, never secrets that may be written.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import Field, create_model

from installer.core.answers_choices import (
    Database,
    DatabaseBundled,
    Tls,
    TlsPrivateCa,
)
from installer.core.answers_fields import Detail, OptionalSecret, Section, Switch, about
from installer.core.answers_host import HostChanges
from installer.core.answers_identity import Identity, IdentityBundled
from installer.core.answers_sections import (
    Admin,
    Backup,
    Deployment,
    Domain,
    HostKey,
    Hosts,
    Images,
    Mfa,
    Monitoring,
    Network,
    Registry,
    Sizing,
    Ssh,
    Target,
)
from installer.core.answers_storage import Storage, StorageBundled
from installer.core.answers_vault import Vault, VaultBundled
from installer.core.answers_workspaces import WorkspacesHere, WorkspacesSeparate
from installer.core.catalog import Catalog
from installer.core.fields import Check, Rule, check_choice, check_switch, check_text
from installer.core.fields_domains import check_public_name
from installer.core.fields_names import (
    check_image,
    check_label_key,
    check_label_value,
    check_timezone,
    check_waiver_code,
    check_waiver_reason,
    join_label_key,
)
from installer.core.fields_sizes import check_cpus, check_memory, check_whole, memory_mib
from installer.core.manifest import Option, ServiceManifest

FORMAT_VERSION = 1
FreeTexts = Mapping[str, str]
_Definition: TypeAlias = tuple[Any, Any]
"""A field for `create_model`: annotation, and what `about` made."""


class Answers(Section):
    """Everything that was decided. Sections of optional services are added per catalog."""

    version: Literal[1] = Field(1, title="Version", description="Format of the answers file.")
    deployment: Deployment = Deployment()
    domain: Domain
    tls: Tls = Field(TlsPrivateCa(), description="Certificates of the public names.")
    ssh: Ssh
    target: Target = Target()
    host: HostChanges = HostChanges()
    network: Network = Network()
    admin: Admin
    identity: Identity = Field(IdentityBundled(), description="Where people log in.")
    mfa: Mfa = Mfa()
    vault: Vault = Field(VaultBundled(), description="Where the platform's secrets are kept.")
    database: Database = Field(DatabaseBundled(), description="The database of the services.")
    storage: Storage = Field(StorageBundled(), description="The object store of the services.")
    sizing: Sizing = Sizing()
    images: Images = Images()
    registry: Registry = Registry()
    backup: Backup = Backup()
    monitoring: Monitoring = Monitoring()
    labels: Mapping[str, str] = {}
    timezone: Annotated[str, Rule(check_timezone)] = about(
        "Time zone", "IANA name, for schedules and logs.", "Europe/Berlin", default="UTC"
    )
    waivers: Annotated[
        FreeTexts,
        Rule(
            check_waiver_reason,
            takes="mapping",
            check_key=check_waiver_code,
            join_key=join_label_key,
        ),
    ] = about(
        "Waivers", "Warnings that are accepted: code and reason; shown in every report.", default={}
    )

    def memory_of(self, service: str) -> int | None:
        """Memory limit in MiB that the answers set for a service, or None."""
        stored = getattr(self.sizing, f"{to_key(service)}_memory", None)
        return memory_mib(stored) if stored else None

    def cpus_of(self, service: str) -> float | None:
        """CPU limit in cores that the answers set for a service, or None."""
        return cast(float | None, getattr(self.sizing, f"{to_key(service)}_cpus", None))

    def image_of(self, service: str) -> str | None:
        """Image reference that the answers set for a service, or None."""
        return cast(str | None, getattr(self.images, to_key(service), None))

    def at(self, path: str) -> object:
        """The value at a dotted answer path; None where these answers have no such field."""
        value: object = self
        for key in path.split("."):
            if isinstance(value, Mapping):
                value = value.get(key)
            else:
                value = getattr(value, to_key(key), None)
        return value

    def options_of(self, section: str) -> Mapping[str, Any]:
        """The values of one section by name, `enabled` among them."""
        model = getattr(self, to_key(section))
        return {name: getattr(model, name) for name in type(model).model_fields}


def to_key(name: str) -> str:
    """A name of the catalog as a segment of an answer path."""
    return name.replace("-", "_")


@functools.lru_cache(maxsize=8)
def _build(catalog_key: _CatalogKey) -> type[Answers]:
    return _make_model(catalog_key.catalog)


class _CatalogKey:
    """A catalog by identity, so that its model is built once."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def __hash__(self) -> int:
        return id(self.catalog.services)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _CatalogKey) and other.catalog.services is self.catalog.services


def answers_model(catalog: Catalog) -> type[Answers]:
    """The model of the answers for this catalog; the same class for the same catalog."""
    return _build(_CatalogKey(catalog))


def _make_model(catalog: Catalog) -> type[Answers]:
    services = sorted(catalog.services.values(), key=lambda service: service.name)
    hosts = create_model("Hosts", __base__=Hosts, **_host_fields(catalog))
    domain = create_model(
        "Domain",
        __base__=Domain,
        named=(hosts, Field(default_factory=hosts, alias="hosts", title="Hosts",
                            description="Public name of each service; <key>.<base> unless set.")),
    )  # fmt: skip
    sizing = create_model("Sizing", __base__=Sizing, **_sizing_fields(services))
    images = create_model("Images", __base__=Images, **_image_fields(services))
    names = sorted({*catalog.sections, *catalog.settings})
    sections = {to_key(name): _section(name, catalog) for name in names}
    fields: dict[str, Any] = {
        "domain": (domain, Field(title="Domain", description="The public names.")),
        "sizing": (sizing, Field(sizing(), description=Sizing.__doc__)),
        "images": (images, Field(images(), description=Images.__doc__)),
        "labels": _labels_field(services),
        **sections,
    }
    return create_model("Answers", __base__=Answers, **fields)


def _host_fields(catalog: Catalog) -> dict[str, Any]:
    rule = Rule(check_public_name)
    return {
        to_key(key): (
            Annotated[str | None, rule, HostKey(key)],
            Field(
                None,
                title=f"Host of {title}",
                description=f"Public name of {title}; {key}.<base> unless set.",
            ),
        )
        for key, title in sorted(catalog.hosts.items())
    }


def _sizing_fields(services: list[ServiceManifest]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for service in services:
        fields[f"{to_key(service.name)}_memory"] = (
            Annotated[str | None, Rule(check_memory), Detail()],
            about(f"Memory of {service.title}", "Limit, as 512M or 4G.", "4G", default=None),
        )
        fields[f"{to_key(service.name)}_cpus"] = (
            Annotated[float | None, Rule(check_cpus, takes="number"), Detail()],
            about(f"CPUs of {service.title}", "Limit in cores.", 2.5, default=None),
        )
    return fields


def _image_fields(services: list[ServiceManifest]) -> dict[str, Any]:
    return {
        to_key(service.name): (
            Annotated[str | None, Rule(check_image), Detail()],
            about(
                f"Image of {service.title}",
                f"Full reference with its digest, instead of {service.image.repository}.",
                default=None,
            ),
        )
        for service in services
    }


def _labels_field(services: list[ServiceManifest]) -> _Definition:
    reserved = frozenset(service.name for service in services)
    rule = Rule(
        check_label_value,
        takes="mapping",
        check_key=check_label_key(reserved),
        join_key=join_label_key,
    )
    return (
        Annotated[FreeTexts, rule],
        about("Labels", "Labels on every container, as team: tools.", default={}),
    )


_ALTERNATIVES: Mapping[str, tuple[type[Section], ...]] = {
    "monitoring": (Monitoring,),
    "backup": (Backup,),
    "workspaces": (WorkspacesHere, WorkspacesSeparate),
}
"""Sections with fields of their own beside those of the catalog; the first is the default."""


def _section(name: str, catalog: Catalog) -> _Definition:
    """The section that switches some services or has their settings, with its own fields."""
    bases = _ALTERNATIVES.get(name, (Section,))
    switched, set_there = catalog.sections.get(name, ()), catalog.settings.get(name, ())
    titles = ", ".join(service.title for service in switched or set_there)
    fields: dict[str, Any] = {}
    if switched:
        enabled = all(service.enabled for service in switched)
        fields["enabled"] = (Switch, about("Enabled", f"Install {titles}.", default=enabled))
    for service in set_there:
        fields |= {option.name: _option_field(option) for option in service.options}
    if len(bases) == 1:
        model = create_model(
            f"Section_{to_key(name)}", __base__=bases[0], __doc__=f"{titles}.", **fields
        )
        return (model, model())
    models = [
        create_model(f"{base.__name__}_{to_key(name)}", __base__=base, __doc__=base.__doc__,
                     **fields)
        for base in bases
    ]  # fmt: skip
    either = functools.reduce(operator.or_, models)
    told = Field(models[0](), description=f"{titles}.")
    return (Annotated[either, Field(discriminator="mode")], told)


def _option_field(option: Option) -> _Definition:
    low = option.minimum if option.minimum is not None else -(10**9)
    high = option.maximum if option.maximum is not None else 10**9
    whole: Check = check_whole("option", low, high, option.title)
    if option.type == "secret":
        return (OptionalSecret, about(option.title, option.help, default=None))
    kinds: Mapping[str, tuple[Any, Rule]] = {
        "bool": (bool, Rule(check_switch, takes="switch", choices=("true", "false"))),
        "int": (int, Rule(whole, takes="number")),
        "text": (str, Rule(check_text())),
        "choice": (str, Rule(check_choice(*option.choices), choices=option.choices)),
    }
    annotation, rule = kinds[option.type]
    if option.default is None:
        annotation = annotation | None
    return (Annotated[annotation, rule], about(option.title, option.help, default=option.default))
