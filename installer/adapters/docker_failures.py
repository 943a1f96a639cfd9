"""What went wrong in the engine: facts and, where it gives nothing else, its messages, as problems.

All patterns over the engine's messages are in one table here. Decides nothing about retries and
asks the engine nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from installer.adapters.docker_login import RegistryLogin
from installer.adapters.docker_references import Reference
from installer.core.errors import (
    ContainerRuntimeError,
    ImageError,
    InstallError,
    IntegrityError,
    PrivilegeError,
    Problem,
    Remedy,
    RemoteIoError,
)


class Cause(StrEnum):
    """Causes that the engine tells by a message only."""

    SPACE = "no space"
    READ_ONLY = "read-only"
    DIGEST = "digest mismatch"
    RATE = "rate limit"
    PLATFORM = "no image for this platform"
    MISSING = "no such image"
    DENIED = "not permitted"
    UNTRUSTED = "certificate not trusted"
    PORT = "port taken"
    ENGINE = "engine gone"
    NETWORK = "network"
    OTHER = "other"


PATTERNS: tuple[tuple[Cause, re.Pattern[str]], ...] = tuple(
    (cause, re.compile(pattern, re.IGNORECASE))
    for cause, pattern in (
        (Cause.SPACE, r"no space left on device|disk quota exceeded"),
        (Cause.READ_ONLY, r"read-only file system"),
        (
            Cause.DIGEST,
            r"verification failed for digest|unexpected commit digest|digest mismatch"
            r"|does not match (the )?(provided |expected )?digest|invalid digest of|did not match",
        ),
        (Cause.PORT, r"port is already allocated|bind: address already in use"),
        (
            Cause.ENGINE,
            r"cannot connect to the docker daemon|error during connect|daemon is shutting down"
            r"|docker\.sock.*(connection refused|no such file)|rpc error: code = unavailable",
        ),
        (Cause.RATE, r"toomanyrequests|429 too many requests|rate limit"),
        (Cause.PLATFORM, r"no matching manifest for|does not match the specified platform"),
        (
            Cause.DENIED,
            r"unauthorized|authentication required|no basic auth credentials|denied"
            r"|401 unauthorized|403 forbidden",
        ),
        (
            Cause.MISSING,
            r"manifest unknown|name unknown|no such image|repository .*not found"
            r"|manifest for .* not found|404 not found|: not found",
        ),
        (Cause.UNTRUSTED, r"x509:|tls: (?!.*timeout)|http response to https client"),
        (
            Cause.NETWORK,
            r"no such host|connection refused|timeout|timed out|connection reset|no route to host"
            r"|network is unreachable|\bEOF\b|deadline exceeded|server misbehaving"
            r"|temporary failure|received unexpected http status: 5\d\d|50[0234] ",
        ),
    )
)
"""The first that matches counts."""

PASSING = frozenset({Cause.NETWORK, Cause.RATE})
"""Causes that may pass by themselves within a minute or two."""


def find_cause(message: str) -> Cause:
    """The cause behind a message of the engine or of Compose."""
    return next((cause for cause, pattern in PATTERNS if pattern.search(message)), Cause.OTHER)


def find_port(message: str) -> str | None:
    """The host port in a message about one that is taken."""
    found = re.search(r":(\d+) failed: port is already|:(\d+): bind: address already", message)
    return next((group for group in found.groups() if group), None) if found else None


def image_failure(
    cause: Cause, message: str, reference: Reference | None, host: str
) -> InstallError:
    """The error for an image that cannot be fetched."""
    name = reference.text if reference else "an image"
    registry = reference.registry if reference else "the registry"
    if cause in (Cause.SPACE, Cause.READ_ONLY):
        return storage_failure(cause, message, host)
    if cause is Cause.DIGEST:
        expected = reference.digest if reference else ""
        return IntegrityError(
            Problem(
                code="image.digest",
                summary=f"the registry {registry} serves other content than pinned for {name}",
                where=host,
                detail=f"expected digest {expected or 'in the image lock'}; {_last(message)}",
                remedy=Remedy(
                    f"find out who changed the image at the registry {registry} or its mirror; "
                    "nothing was started; never replace the expected digest by the tag"
                ),
            )
        )
    code, what, advice = _IMAGE.get(cause, _OTHER)
    return ImageError(
        Problem(
            code=code,
            summary=f"cannot fetch {name}: {what.format(registry=registry, host=host)}",
            where=host,
            detail=_last(message),
            remedy=Remedy(advice.format(registry=registry, host=host, name=name)),
        )
    )


_MIRROR = "or name a mirror that the host reaches in registry.mirror; then run again to resume"

_IMAGE: Mapping[Cause, tuple[str, str, str]] = {
    Cause.NETWORK: (
        "image.network",
        "the registry {registry} cannot be reached from {host}",
        "check name resolution, proxy (network.https_proxy, also of the engine) and firewall "
        f"between {{host}} and the registry {{registry}}, {_MIRROR}",
    ),
    Cause.UNTRUSTED: (
        "image.untrusted",
        "the certificate of the registry {registry} is not trusted on {host}",
        "install the authority of the registry {registry} in the trust store of {host} and "
        f"restart the engine, {_MIRROR}",
    ),
    Cause.RATE: (
        "image.rate_limit",
        "the registry {registry} limits pulls (rate limit)",
        "log in to the registry {registry} (registry.username, registry.password) for a higher "
        f"rate limit, wait until it is over, {_MIRROR}",
    ),
    Cause.DENIED: (
        "image.denied",
        "the registry {registry} refuses access, or has no such repository",
        "log in to the registry {registry} (registry.username, registry.password) with an account "
        f"that may read it, check the name, {_MIRROR}",
    ),
    Cause.MISSING: (
        "image.missing",
        "the registry {registry} does not have it",
        "check the name, tag and digest in the image lock and, with a mirror, that {name} was "
        "copied into it",
    ),
    Cause.PLATFORM: (
        "image.platform",
        "the registry {registry} has it for other processors only",
        "use a host with a processor that the image is built for, or name another image in "
        "images.*",
    ),
}

_OTHER = (
    "image.pull",
    "the engine of {host} gives up",
    "read the engine's message, look into its log (journalctl -u docker) on {host}; then run again",
)


def login_failure(cause: Cause, message: str, login: RegistryLogin, host: str) -> ImageError:
    """The error for an account that cannot be used at its registry."""
    passing = cause in (Cause.NETWORK, Cause.UNTRUSTED, Cause.RATE)
    code, what, advice = _IMAGE[cause] if passing else _LOGIN.get(cause, _LOGIN[Cause.OTHER])
    names = {"registry": login.server, "host": host, "name": "its images"}
    return ImageError(
        Problem(
            code=code,
            summary=f"cannot log in to {login.server} as {login.username}: {what.format(**names)}",
            where="registry.password",
            detail=_last(message),
            remedy=Remedy(advice.format(**names)),
        )
    )


_LOGIN: Mapping[Cause, tuple[str, str, str]] = {
    Cause.DENIED: (
        "image.login",
        "the registry {registry} refuses the account or its password",
        "correct registry.username and registry.password, or leave both out if {registry} serves "
        "{name} to everybody; nothing was started",
    ),
    Cause.OTHER: (
        "image.login",
        "the login at the registry {registry} did not succeed",
        "correct what the message names on {host}, or else registry.username and "
        "registry.password; nothing was started",
    ),
}


def storage_failure(cause: Cause, message: str, host: str) -> RemoteIoError:
    """The error for an engine whose storage is full or read-only."""
    full = cause is Cause.SPACE
    return RemoteIoError(
        Problem(
            code="engine.no_space" if full else "engine.read_only",
            summary="the engine's storage is full"
            if full
            else "the engine's storage is on a read-only file system",
            where=host,
            detail=_last(message),
            remedy=Remedy(
                "free space in the engine's storage path (Docker Root Dir) or enlarge its file "
                "system; the installer removes nothing it did not make; then run again to resume"
                if full
                else "find out why the file system turned read-only and mount it writable",
                (
                    "docker info -f '{{.DockerRootDir}}'",
                    "df -h $(docker info -f '{{.DockerRootDir}}')",
                ),
            ),
        )
    )


ENGINE_PROBE = """
command -v docker >/dev/null 2>&1 || { echo absent; exit 0; }
docker compose version --short >/dev/null 2>&1 || { echo no-compose; exit 0; }
if said=$(docker version -f '{{.Server.Version}}' 2>&1); then echo up; exit 0; fi
s=${DOCKER_HOST:-unix:///var/run/docker.sock}; s=${s#unix://}
if [ -S "$s" ] && ! [ -w "$s" ]; then echo denied; else echo stopped; fi
printf '%s\n' "$said"
"""
"""Prints `up`, `absent`, `no-compose`, `denied` or `stopped`, then what the client says."""


def engine_failure(probed: str, account_host: str) -> InstallError:
    """The error for an engine that cannot be used, of what `ENGINE_PROBE` printed."""
    state, _, said = probed.partition("\n")
    if state == "denied":
        return PrivilegeError(
            Problem(
                code="privilege.docker_group",
                summary="the account may not use the container engine: no permission on its socket",
                where=account_host,
                detail=said.strip() or None,
                remedy=Remedy(
                    "let the account use sudo for the engine's commands, or put it into the group "
                    "docker and log in anew (that gives it root's rights)",
                    ('usermod -aG docker "$USER"',),
                ),
            )
        )
    code, summary, advice, commands = _ENGINE.get(state, _ENGINE["up"])
    return ContainerRuntimeError(
        Problem(
            code=code,
            summary=summary,
            where=account_host,
            detail=said.strip() or None,
            remedy=Remedy(advice, commands),
        )
    )


_ENGINE: Mapping[str, tuple[str, str, str, tuple[str, ...]]] = {
    "absent": (
        "engine.absent",
        "the container engine is not installed: there is no program docker",
        "install Docker Engine 20.10 or newer and the Compose plugin 2.24 or newer",
        (),
    ),
    "no-compose": (
        "engine.no_compose",
        "found version: none of the Compose plugin; required version: 2.24 or newer",
        "install the Compose plugin (docker compose); the legacy docker-compose is not used",
        ("docker compose version",),
    ),
    "stopped": (
        "engine.stopped",
        "the container engine does not run",
        "start the service, and let it start at boot; then run again to resume",
        ("systemctl enable --now docker",),
    ),
    "up": (
        "engine.unstable",
        "the container engine broke off its answer: the daemon restarted, or is overloaded",
        "look into the engine's log on the host, then run again to resume",
        ("journalctl -u docker --since -10min",),
    ),
}


def _last(message: str) -> str:
    """The last line that says something, without the name of the part that says it."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1].removeprefix("Error response from daemon: ") if lines else "no message"
