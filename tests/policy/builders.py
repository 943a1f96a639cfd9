"""A sound compose document and sound container descriptions, as the product makes them.

Every call gives fresh objects, so that a test may break what it likes.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from installer.core.manifest import Exception_
from installer.core.policy import AuditContext, HardeningTable, parse_hardening
from installer.core.secrets import Secret

ROOT = Path(__file__).parents[2]
DIGEST = "@sha256:" + "ab" * 32
INSTALL_DIR = "/opt/devplat"
DATA_DIR = "/var/lib/devplat"
ADDRESS = "192.0.2.10"
RELEASE = "0123456789ab"
HOST_MEMORY = 64 * 1024**3
CANARY = Secret("Zq7canaryW3kP9vT2xLm8")

# service → memory in MiB, user, what is particular to it
SERVICES: dict[str, tuple[int, str, dict[str, Any]]] = {
    "traefik": (256, "65532:65532", {}),
    "coder": (8192, "1000:1000", {"entrypoint": ["/bin/sh", "/wrapper/start.sh"]}),
    "postgres": (4096, "70:70", {"stop_grace_period": "90s"}),
    "redis": (256, "999:1000", {}),
    "gitea": (1024, "1000:1000", {}),
    "vault": (512, "100:1000", {"cap_add": ["IPC_LOCK"]}),
    "socket-proxy-coder": (64, "0:0", {}),
    "backup": (128, "70:70", {"restart": "no", "healthcheck": None}),
}

# network → its members
NETWORKS: dict[str, tuple[str, ...]] = {
    "traefik-to-coder": ("traefik", "coder"),
    "traefik-to-gitea": ("traefik", "gitea"),
    "coder-to-postgres": ("coder", "postgres"),
    "gitea-to-postgres": ("gitea", "postgres"),
    "gitea-to-redis": ("gitea", "redis"),
    "coder-to-socket-proxy-coder": ("coder", "socket-proxy-coder"),
    "backup-to-postgres": ("backup", "postgres"),
    "backup-to-vault": ("backup", "vault"),
    "traefik-egress": ("traefik",),
    "coder-egress": ("coder",),
}


def _exception(assertion: str) -> Exception_:
    return Exception_(assertion=assertion, reason="the reason", compensation="the compensation")


EXCEPTIONS: dict[str, tuple[Exception_, ...]] = {
    "traefik": (_exception("HD-26"),),
    "coder": (_exception("HD-33"),),
    "vault": (_exception("HD-04"),),
    "socket-proxy-coder": (_exception("HD-01"), _exception("HD-24")),
    "backup": (_exception("HD-27"), _exception("HD-28")),
}
DEVIATIONS = {(name, e.assertion) for name, listed in EXCEPTIONS.items() for e in listed}


@functools.cache
def hardening_table() -> HardeningTable:
    return parse_hardening(
        (ROOT / "assets/hardening.yaml").read_bytes(),
        (ROOT / "assets/seccomp-default.json").read_bytes(),
    )


def audit_context(**changes: Any) -> AuditContext:
    facts: dict[str, Any] = {
        "install_dir": INSTALL_DIR,
        "data_dir": DATA_DIR,
        "exceptions": EXCEPTIONS,
        "bind_addresses": (ADDRESS,),
        "known_secrets": {"canary": CANARY},
        "host_memory": HOST_MEMORY,
        "security_options": ("name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"),
        "cgroup_version": 2,
    }
    return AuditContext(**{**facts, **changes})


def image_of(name: str) -> str:
    return f"registry.example/{name}:1.2.3{DIGEST}"


HARMLESS = {
    "TZ": "UTC",
    "PASSWORD_FILE": "/run/secrets/password",
    "TOKEN_LIFETIME": "720h",
    "MIN_PASSWORD_LENGTH": "12",
    "SECRET_ROTATION": "false",
}
"""Variables whose names sound like secrets and whose values are none."""


def sound_service(name: str) -> dict[str, Any]:
    memory, user, particular = SERVICES[name]
    body: dict[str, Any] = {
        "image": image_of(name),
        "user": user,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "read_only": True,
        "init": True,
        "restart": "unless-stopped",
        "ipc": "private",
        "stop_grace_period": "30s",
        "tmpfs": ["/tmp:size=64m,mode=1777,nosuid,nodev,noexec"],
        "ulimits": {"core": 0, "nofile": {"soft": 65536, "hard": 65536}},
        "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}},
        "deploy": {
            "resources": {"limits": {"cpus": "0.5", "memory": f"{memory}M", "pids": 200}},
        },
        "memswap_limit": f"{memory}M",
        "pids_limit": 200,
        "environment": dict(HARMLESS),
        "command": ["serve", "--port", "8080"],
        "healthcheck": {"test": ["CMD", "/bin/probe"], "interval": "10s"},
        "networks": {network: {} for network, members in NETWORKS.items() if name in members},
        "secrets": [{"source": f"{name}.password", "target": "password"}],
        "labels": {
            "devplat.deployment": "devplat",
            "devplat.role": name,
            "devplat.release": RELEASE,
        },
        "volumes": [
            {
                "type": "bind",
                "source": f"./{name}/config.yaml",
                "target": "/etc/service/config.yaml",
                "read_only": True,
            },
            {"type": "bind", "source": f"{DATA_DIR}/{name}/data", "target": "/data"},
        ],
        **particular,
    }
    if name == "traefik":
        body["ports"] = [
            {"target": port, "published": str(port), "host_ip": ADDRESS, "protocol": "tcp"}
            for port in (80, 443)
        ]
    if name.startswith("socket-proxy"):
        body["volumes"] = [
            {
                "type": "bind",
                "source": "/var/run/docker.sock",
                "target": "/var/run/docker.sock",
                "read_only": True,
            }
        ]
    return {key: value for key, value in body.items() if value is not None}


def sound_document() -> dict[str, Any]:
    return {
        "name": "devplat",
        "services": {name: sound_service(name) for name in SERVICES},
        "networks": {
            name: {
                "internal": not name.endswith("-egress"),
                "ipam": {"config": [{"subnet": f"172.30.0.{index * 8}/29"}]},
            }
            for index, name in enumerate(NETWORKS)
        },
        "secrets": {
            f"{name}.password": {"file": f"{INSTALL_DIR}/secrets/{name}/password"}
            for name in SERVICES
        },
    }


def sound_container(name: str) -> dict[str, Any]:
    """What the engine says of a running container of a sound service."""
    memory, user, particular = SERVICES[name]
    mounts = [
        _bind(f"{INSTALL_DIR}/current/{name}/config.yaml", "/etc/service/config.yaml", False),
        _bind(f"{INSTALL_DIR}/secrets/{name}/password", "/run/secrets/password", False),
        _bind(f"{DATA_DIR}/{name}/data", "/data", True),
    ]
    if name.startswith("socket-proxy"):
        mounts = [_bind("/var/run/docker.sock", "/var/run/docker.sock", False)]
    test = None if name == "backup" else ["CMD", "/bin/probe"]
    container: dict[str, Any] = {
        "Name": f"/devplat-{name}-1",
        "RestartCount": 0,
        "AppArmorProfile": "docker-default",
        "ProcessLabel": "",
        "MountLabel": "",
        "State": {"Status": "running", "Running": True},
        "Mounts": mounts,
        "Config": {
            "User": user,
            "Image": image_of(name),
            "Env": ["PATH=/usr/bin:/bin", "TZ=UTC", "PASSWORD_FILE=/run/secrets/password"],
            "Cmd": ["serve", "--port", "8080"],
            "Entrypoint": particular.get("entrypoint", ["/bin/service"]),
            "StopTimeout": 90 if name == "postgres" else 30,
            "Labels": {
                "com.docker.compose.project": "devplat",
                "com.docker.compose.service": name,
                "devplat.role": name,
                "devplat.release": RELEASE,
            },
        },
        "HostConfig": _host_config(name, memory * 1024**2, particular),
        "NetworkSettings": {
            "Networks": {f"devplat_{n}": {} for n, members in NETWORKS.items() if name in members}
        },
    }
    if test:
        container["Config"]["Healthcheck"] = {"Test": test}
        container["State"]["Health"] = {"Status": "healthy", "FailingStreak": 0}
    return container


def _host_config(name: str, memory: int, particular: dict[str, Any]) -> dict[str, Any]:
    edge_ports = {f"{port}/tcp": [{"HostIp": ADDRESS, "HostPort": str(port)}] for port in (80, 443)}
    return {
        "Privileged": False,
        "CapAdd": particular.get("cap_add"),
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "ReadonlyRootfs": True,
        "Tmpfs": {"/tmp": "size=64m,mode=1777,nosuid,nodev,noexec"},
        "Memory": memory,
        "MemorySwap": memory,
        "NanoCpus": 500_000_000,
        "PidsLimit": 200,
        "NetworkMode": "devplat_first",
        "PidMode": "",
        "IpcMode": "private",
        "UTSMode": "",
        "UsernsMode": "",
        "CgroupnsMode": "private",
        "CgroupParent": "",
        "Devices": None,
        "DeviceRequests": None,
        "DeviceCgroupRules": None,
        "PortBindings": edge_ports if name == "traefik" else {},
        "PublishAllPorts": False,
        "RestartPolicy": {"Name": particular.get("restart", "unless-stopped")},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}},
        "Ulimits": [
            {"Name": "core", "Hard": 0, "Soft": 0},
            {"Name": "nofile", "Hard": 65536, "Soft": 65536},
        ],
        "Init": True,
        "MaskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
        "ReadonlyPaths": ["/proc/bus", "/proc/sys"],
        "Sysctls": None,
        "OomKillDisable": None,
        "OomScoreAdj": 0,
    }


def _bind(source: str, destination: str, writable: bool) -> dict[str, Any]:
    return {
        "Type": "bind",
        "Source": source,
        "Destination": destination,
        "Mode": "",
        "RW": writable,
        "Propagation": "rprivate",
    }
