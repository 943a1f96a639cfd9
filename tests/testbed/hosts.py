"""Target hosts: Debian with sshd, sudo, an engine and Compose, each a container of the machine's
engine with an engine of its own inside. They are reached over SSH, with host keys known before.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.testbed import authority, packages
from tests.testbed.commands import TestbedError, address_of, attempt, docker, locked, run
from tests.testbed.places import HERE, LABEL, Places, digest_of

PACKAGES = (
    "docker.io", "docker-cli", "docker-compose", "openssh-server", "sudo", "iproute2", "iptables",
    "procps", "tini", "python3-minimal", "libpython3-stdlib", "ca-certificates", "iputils-ping",
    "curl", "nftables", "xz-utils",
)  # fmt: skip
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
USER = "ops"
READY_S = 40
RIGHTS = (
    # All that a machine's root may do, but what this machine itself may not have to give.
    "--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE",
    "--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined",
    "--security-opt", "apparmor=unconfined",
    "--device-cgroup-rule", "a *:* rwm", "--cgroupns", "private",
    "--tmpfs", "/run:rw,nosuid,nodev,exec,mode=755,size=1g",
)  # fmt: skip


@dataclass(frozen=True)
class Host:
    """A target host, with all that an SSH client needs to reach and to trust it."""

    name: str
    address: str
    port: int
    user: str
    key_file: str
    known_hosts_file: str
    container: str

    def ssh_argv(self, *command: str) -> list[str]:
        """The `ssh` command line, with the host key verified and nothing asked."""
        options = {
            "IdentityFile": self.key_file,
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.known_hosts_file,
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": "5",
        }
        argv = ["ssh", "-F", "none", "-p", str(self.port)]
        for name, value in options.items():
            argv += ["-o", f"{name}={value}"]
        return [*argv, f"{self.user}@{self.address}", *command]

    def ssh(self, command: str, *, timeout: float = 120) -> str:
        """Output of a shell command on the host, as its operator."""
        return run(self.ssh_argv(command), timeout=timeout)

    def as_json(self) -> dict[str, object]:
        """All fields, for the state file and the command line."""
        return asdict(self)


def ensure_host_image(places: Places) -> str:
    """The image of a target host in the machine's engine; its name holds the cache key."""
    key = digest_of([packages.SUITE, *PACKAGES, *LEFT_OUT])
    tag = f"devplat-testbed/host:{key}"
    with locked(places.lock("host-image")):
        if docker("image", "ls", "-q", tag):
            return tag
        archive = places.hosts / f"{key}.tar"
        if not archive.exists():
            _bootstrap(archive)
        docker("import", str(archive), tag)
    return tag


def prepare_lab(lab: Path) -> None:
    """What hosts find under /lab: the operator's public key and the host's programs."""
    lab.mkdir(parents=True, exist_ok=True)
    public = authority.make_ssh_key(lab.parent / "id_ed25519")
    (lab / "authorized_keys").write_text(f"{public} {USER}\n")
    for name in ("entry.sh", "runc-clamp", "resolver.py"):
        shutil.copy(HERE / "lab" / name, lab / name)
        (lab / name).chmod(0o755)


def start_host(
    image: str,
    *,
    name: str,
    run_id: str,
    network: str,
    folder: Path,
    address: str = "",
    resolver: str = "",
) -> Host:
    """Start one host on the run's network; it keeps its keys (and `address`) over a reset.

    `resolver` is the name server of the host and of the containers on it.
    """
    key = folder / "lab" / "hosts" / name / "ssh_host_ed25519_key"
    if not key.exists():
        authority.make_ssh_key(key)
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    container = f"devplat-{run_id}-{name}"
    place = ["--ip", address] if address else []
    if resolver:
        place += ["--dns", resolver, "-e", f"RESOLVER={resolver}"]
    docker(
        "run", "-d", "--name", container, "--hostname", name, "--label", f"{LABEL}={run_id}",
        "--network", network, *place, *RIGHTS,
        "-v", "/var/lib/docker", "-v", f"{folder}/lab:/lab:ro", image, "/lab/entry.sh",
    )  # fmt: skip
    where = address_of(container, network)
    known = folder / f"known_hosts.{name}"
    known.write_text(f"{where} {public}\n")
    return Host(name, where, 22, USER, str(folder / "id_ed25519"), str(known), container)


def wait_for_hosts(hosts: Sequence[Host]) -> None:
    """Until every host answers `docker info` over SSH.

    Raises:
        TestbedError: with the end of the host's engine log.
    """
    deadline = time.monotonic() + READY_S
    for host in hosts:
        while attempt(host.ssh_argv("docker info"), timeout=20)[0] != 0:
            if time.monotonic() > deadline:
                _, log, _ = attempt(
                    ["docker", "exec", host.container, "tail", "-n", "8", "/var/log/dockerd.log"]
                )
                raise TestbedError(f"host {host.name} is not ready after {READY_S} s:\n{log}")
            time.sleep(0.15)


def remove_container(container: str) -> None:
    """Remove a container with its volumes, if it exists."""
    status, _, error = attempt(["docker", "rm", "-fv", container])
    if status != 0 and "No such container" not in error:
        raise TestbedError(error.strip())


def _bootstrap(archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_name(f"part-{archive.name}")
    settings = {
        "Acquire::Check-Valid-Until": "false",
        "Acquire::Languages": "none",
        "APT::Install-Recommends": "false",
        **packages.proxy_options(),
    }
    options = [f'--aptopt={name} "{value}"' for name, value in settings.items()]
    options += [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
    run(
        [
            "mmdebstrap", "-q", "--variant=minbase", "--mode=root", *options,
            "--dpkgopt=force-unsafe-io", f"--include={','.join(PACKAGES)}",
            packages.SUITE, str(part), packages.find_mirror(),
        ]
    )  # fmt: skip
    part.rename(archive)
