"""The sections of the answers that every deployment has in the same form, as frozen models.

Title, help, examples and limits live on the field; the skeleton, the schema and the screens are
made from them. Nothing here names a service: what depends on the catalog is added in `answers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from installer.core.answers_fields import (
    OptionalFile,
    OptionalSecret,
    Section,
    Switch,
    TargetDir,
    about,
    choice_rule,
)
from installer.core.fields import Rule
from installer.core.fields_acme import check_resolvers
from installer.core.fields_domains import check_admin_email, check_base_domain, check_wildcard
from installer.core.fields_hosts import (
    check_fingerprint,
    check_jump,
    check_ssh_host,
    check_vantage,
)
from installer.core.fields_names import (
    check_admin_user,
    check_bucket,
    check_deployment_name,
    check_mfa_methods,
    check_registry_user,
    check_ssh_user,
)
from installer.core.fields_network import check_listen_address, check_pool, check_trusted_cidrs
from installer.core.fields_paths import (
    check_local_path,
    check_private_key_path,
    probe_private_key,
)
from installer.core.fields_secrets import check_admin_password, check_reference
from installer.core.fields_sizes import (
    check_port,
    check_retention,
    check_schedule,
    check_users,
    check_workspaces,
)
from installer.core.fields_urls import check_mirror, check_no_proxy, check_proxy
from installer.core.secretrefs import SecretRef, SecretSource


class Deployment(Section):
    """What this installation is called."""

    name: Annotated[str, Rule(check_deployment_name)] = about(
        "Name",
        "Name of the compose project; part of container names. a-z, 0-9, - and _.",
        "devplat",
        default="devplat",
    )


@dataclass(frozen=True, slots=True)
class HostKey:
    """Key of an ingress in the catalog, on the field that holds its public name."""

    key: str


class Hosts(Section):
    """Base of the public names; one field per public service is added from the catalog."""


class Domain(Section):
    """The public names."""

    base: Annotated[str, Rule(check_base_domain)] = about(
        "Base domain", "Domain below which all public names lie.", "company.com"
    )
    wildcard: Annotated[str, Rule(check_wildcard)] = about(
        "Wildcard",
        "Names of workspace apps; '*.' and a host of this deployment. With none, apps cannot be"
        " opened by names of their own, and certificates need no DNS challenge.",
        default="",
    )
    named: Hosts = Field(
        default_factory=Hosts,
        alias="hosts",
        title="Hosts",
        description="Public name of each service; <key>.<base> unless set.",
    )

    @property
    def hosts(self) -> Mapping[str, str]:
        """Key of the catalog's ingress → public name."""
        return {
            mark.key: str(getattr(self.named, name))
            for name, field in type(self.named).model_fields.items()
            for mark in field.metadata
            if isinstance(mark, HostKey)
        }


class Ssh(Section):
    """How the target is reached."""

    host: Annotated[str, Rule(check_ssh_host)] = about(
        "Host", "Address or name of the target.", "10.0.0.5", "build1.company.com"
    )
    port: Annotated[int, Rule(check_port, takes="number")] = about(
        "Port", "Port of its SSH server.", default=22
    )
    user: Annotated[str, Rule(check_ssh_user)] = about(
        "User", "Account that is root, may use sudo, or may use the engine.", default="root"
    )
    key_file: Annotated[str | None, Rule(check_private_key_path, probe=probe_private_key)] = about(
        "Key file", "Private key on this machine.", "~/.ssh/id_ed25519", default=None
    )
    passphrase: OptionalSecret = about(
        "Passphrase", "Reference to the passphrase of the key file.", "prompt", default=None
    )
    agent: Switch = about("Agent", "Also offer the keys of the SSH agent.", default=True)
    known_hosts_file: Annotated[str, Rule(check_local_path)] = about(
        "Known hosts", "File of known host keys.", default="~/.ssh/known_hosts"
    )
    host_key_fingerprint: Annotated[str | None, Rule(check_fingerprint)] = about(
        "Fingerprint",
        "SHA256 fingerprint of the host's key, when it is not among the known hosts.",
        default=None,
    )
    jump: Annotated[tuple[str, ...], Rule(check_jump, takes="list")] = about(
        "Jump hosts", "Hosts to go through, user@host:port, the nearest first.", default=()
    )
    become: Annotated[Literal["auto", "sudo", "none"], choice_rule("auto", "sudo", "none")] = about(
        "Becoming root", "auto: sudo where it is needed and there.", default="auto"
    )
    become_password: OptionalSecret = about(
        "Password for sudo", "Reference to it, when sudo asks for one.", default=None
    )


class Target(Section):
    """Where things lie on the target."""

    install_dir: TargetDir = about(
        "Install directory", "Releases, state and secrets (on tmpfs).", default="/opt/devplat"
    )
    data_dir: TargetDir = about(
        "Data directory", "What outlives releases.", default="/var/lib/devplat"
    )
    address: Annotated[str | None, Rule(check_listen_address)] = about(
        "Public address",
        "Address that the edge listens on, or all; ssh.host when that is an address.",
        "192.0.2.10",
        default=None,
    )


class Network(Section):
    """Container networks, and what lies in front of the platform."""

    pool: Annotated[str, Rule(check_pool)] = about(
        "Pool", "Private network that container networks are cut from.", default="172.30.0.0/16"
    )
    trusted_cidr: Annotated[tuple[str, ...], Rule(check_trusted_cidrs, takes="list")] = about(
        "Trusted networks", "Load balancers whose forwarded headers are believed.", default=()
    )
    http_proxy: Annotated[str | None, Rule(check_proxy)] = about(
        "HTTP proxy", "Forward proxy for HTTP.", "http://proxy.company.com:3128", default=None
    )
    https_proxy: Annotated[str | None, Rule(check_proxy)] = about(
        "HTTPS proxy", "Forward proxy for HTTPS.", default=None
    )
    resolvers: Annotated[tuple[str, ...], Rule(check_resolvers, takes="list")] = about(
        "Name servers",
        "Asked directly whether the public names are right, besides the system's resolvers;"
        " address:port, for example of the zone's own servers.",
        default=(),
    )
    no_proxy: Annotated[tuple[str, ...], Rule(check_no_proxy, takes="list")] = about(
        "No proxy", "Names and networks reached directly.", default=()
    )
    vantage: Annotated[str | None, Rule(check_vantage)] = about(
        "Vantage point",
        "A machine outside the firewall, user@host:port over SSH, from which ports are tried; or"
        " bastion, if this machine is outside.",
        "probe@vantage.company.com",
        "bastion",
        default=None,
    )


class Admin(Section):
    """The first administrator."""

    username: Annotated[str, Rule(check_admin_user)] = about(
        "User name", "Account of the first administrator.", default="platform-admin"
    )
    email: Annotated[str, Rule(check_admin_email)] = about(
        "E-mail", "Address that identifies the administrator in every service.", "ops@company.com"
    )
    password: Annotated[
        SecretRef,
        Rule(check_reference(check_admin_password, generated=True), takes="secret", private=True),
    ] = about(
        "Password", "Reference to it; generate makes one.", default=SecretRef(SecretSource.GENERATE)
    )


class Mfa(Section):
    """The second factor."""

    required: Switch = about("Required", "Nobody gets in without one.", default=True)
    methods: Annotated[tuple[str, ...], Rule(check_mfa_methods, takes="list")] = about(
        "Methods",
        "Offered in this order; static are recovery codes.",
        default=("webauthn", "totp", "static"),
    )


class Registry(Section):
    """Where images come from."""

    mirror: Annotated[str | None, Rule(check_mirror)] = about(
        "Mirror", "Registry in front of every image.", "https://mirror.company.com", default=None
    )
    username: Annotated[str | None, Rule(check_registry_user)] = about(
        "User name",
        "Account at the mirror, or without a mirror at Docker Hub, that the target pulls with.",
        default=None,
    )
    password: OptionalSecret = about(
        "Password", "Reference to it; on the target only while it pulls.", default=None
    )


class Backup(Section):
    """Backups of what outlives releases."""

    enabled: Switch = about("Enabled", "Make backups.", default=False)
    bucket: Annotated[str | None, Rule(check_bucket)] = about(
        "Bucket", "Bucket that they go to.", "company-backups", default=None
    )
    schedule: Annotated[str, Rule(check_schedule)] = about(
        "Schedule", "crontab(5): minute, hour, day, month, weekday.", default="0 3 * * *"
    )
    retention_days: Annotated[int, Rule(check_retention, takes="number")] = about(
        "Retention", "Days that a backup is kept.", default=30
    )


class Monitoring(Section):
    """Metrics and alerts."""

    enabled: Switch = about("Enabled", "Collect metrics.", default=False)
    retention_days: Annotated[int, Rule(check_retention, takes="number")] = about(
        "Retention", "Days that metrics are kept.", default=30
    )


Profile = Literal["small", "medium", "custom"]


class Sizing(Section):
    """How large; per-service overrides are added from the catalog."""

    profile: Annotated[Profile, choice_rule("small", "medium", "custom")] = about(
        "Profile",
        "small: 50 users, 20 workspaces; medium: 200 and 50; custom: by formula.",
        default="small",
    )
    users: Annotated[int, Rule(check_users, takes="number")] = about(
        "Users", "People with an account.", default=50
    )
    concurrent_workspaces: Annotated[int, Rule(check_workspaces, takes="number")] = about(
        "Workspaces", "Workspaces that run at the same time.", default=20
    )


class Images(Section):
    """Image overrides; one field per service is added from the catalog."""

    lock_file: OptionalFile = about(
        "Lock file", "Digests of all images, as `images lock` writes them.", default=None
    )
