"""One run of the test-bed: a network, a registry, target hosts. `up` brings what is missing, `down`
removes what carries the run's label; the state file in the run's directory says what there is.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.testbed import authority, hosts, registry
from tests.testbed.commands import TestbedError, attempt, docker, locked
from tests.testbed.engine import ensure_engine
from tests.testbed.hosts import Host
from tests.testbed.places import LABEL, Places, find_places

STATE_VERSION = 2
SUBNETS = tuple(f"10.213.{number}.0/24" for number in range(256))
"""Where a run's network may lie: away from the engine's own pools and from the product's."""


@dataclass
class Testbed:
    """A run that is up."""

    __test__ = False  # pytest: not a test class

    run_id: str
    folder: Path
    network: str
    subnet: str
    host_image: str
    lock_file: Path | None
    ca_file: Path
    resolver: str = ""
    hosts: dict[str, Host] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)

    def add_host(self, name: str) -> Host:
        """Start one more host, and wait until it answers."""
        host = self.start_host(name)
        hosts.wait_for_hosts([host])
        return host

    def reset_host(self, name: str) -> Host:
        """The host as on its first day: same name, keys and address, nothing else left."""
        old = self.hosts[name]
        hosts.remove_container(old.container)
        host = self.start_host(name, old.address)
        hosts.wait_for_hosts([host])
        return host

    def set_names(self, names: Mapping[str, str]) -> None:
        """What the hosts and their containers resolve from now on: name or `*.suffix` → address."""
        new = self.folder / "lab" / ".names.json"
        new.write_text(json.dumps(dict(names)))
        new.rename(self.folder / "lab" / "names.json")

    def remove_host(self, name: str) -> None:
        """Remove a host and its volumes."""
        hosts.remove_container(self.hosts.pop(name).container)
        self.save()

    def as_json(self) -> dict[str, Any]:
        """The state as `up` prints it."""
        return {
            "version": STATE_VERSION,
            "run": self.run_id,
            "directory": str(self.folder),
            "network": {"name": self.network, "subnet": self.subnet},
            "host_image": self.host_image,
            "images_lock": str(self.lock_file) if self.lock_file else None,
            "ca_file": str(self.ca_file),
            "resolver": self.resolver,
            "hosts": [host.as_json() for host in self.hosts.values()],
            "timings": self.timings,
        }

    def save(self) -> None:
        """Write the state file."""
        (self.folder / "state.json").write_text(json.dumps(self.as_json(), indent=1))

    def start_host(self, name: str, address: str = "") -> Host:
        """Start a host without waiting for it."""
        host = hosts.start_host(
            self.host_image,
            name=name,
            run_id=self.run_id,
            network=self.network,
            folder=self.folder,
            address=address,
            resolver=self.resolver,
        )
        self.hosts[name] = host
        self.save()
        return host


def up(run_id: str, count: int, *, real_images: bool = False) -> Testbed:
    """Bring up a run with `count` hosts (h1, h2, …), or what of it is missing.

    With `real_images` there is no registry, and the hosts reach the outside.

    Raises:
        TestbedError: when something is missing here; says how to get it.
    """
    places = find_places()
    times: dict[str, float] = {}
    with _timed(times, "engine"):
        ensure_engine(places)
    with _timed(times, "images and host image"), ThreadPoolExecutor(2) as pool:
        image = pool.submit(hosts.ensure_host_image, places)
        store = None if real_images else pool.submit(registry.ensure_store, places)
        host_image, made = image.result(), store.result() if store else None
    with locked(places.lock(f"run-{run_id}")):
        with _timed(times, "network and registry"):
            bed = load(run_id) or _make_run(places, run_id, host_image, internal=not real_images)
            if made:
                _serve(bed, made)
        with _timed(times, "hosts"):
            wanted = [f"h{number}" for number in range(1, count + 1)]
            for name in wanted:
                if name not in bed.hosts:
                    bed.start_host(name)
            hosts.wait_for_hosts(list(bed.hosts.values()))
        bed.timings = times
        bed.save()
    return bed


def load(run_id: str) -> Testbed | None:
    """The run as its state file has it, without hosts that are gone; None when it is not up."""
    folder = find_places().run(run_id)
    try:
        state = json.loads((folder / "state.json").read_text())
    except FileNotFoundError:
        return None
    if state.get("version") != STATE_VERSION:
        return None  # of an older test-bed: `up` makes it anew
    if attempt(["docker", "network", "inspect", state["network"]["name"]])[0] != 0:
        return None
    running = set(
        docker("ps", "--filter", f"label={LABEL}={run_id}", "--format", "{{.Names}}").split()
    )
    lock = state["images_lock"]
    return Testbed(
        run_id=run_id,
        folder=folder,
        network=state["network"]["name"],
        subnet=state["network"]["subnet"],
        host_image=state["host_image"],
        lock_file=Path(lock) if lock else None,
        ca_file=Path(state["ca_file"]),
        resolver=state["resolver"],
        hosts={h["name"]: Host(**h) for h in state["hosts"] if h["container"] in running},
        timings=state["timings"],
    )


def down(run_id: str) -> None:
    """Remove every container and network that carries the run's label, and its directory."""
    _remove(find_places(), run_id)
    find_places().lock(f"run-{run_id}").unlink(missing_ok=True)


def _remove(places: Places, run_id: str) -> None:
    mine = f"label={LABEL}={run_id}"
    for container in docker("ps", "-aq", "--filter", mine).split():
        hosts.remove_container(container)
    for network in docker("network", "ls", "-q", "--filter", mine).split():
        docker("network", "rm", network)
    shutil.rmtree(places.run(run_id), ignore_errors=True)


def known_runs() -> list[str]:
    """The runs that have a directory, up or not."""
    return sorted(path.name for path in (find_places().cache / "runs").glob("*") if path.is_dir())


def remove_dead_runs() -> None:
    """Remove the runs whose owning process is gone: those of killed test sessions."""
    for run_id in known_runs():
        owner = find_places().run(run_id) / "owner"
        if owner.exists() and not Path(f"/proc/{owner.read_text().strip()}").exists():
            down(run_id)


def _make_run(places: Places, run_id: str, host_image: str, *, internal: bool) -> Testbed:
    _remove(places, run_id)  # what an interrupted one left
    folder = places.run(run_id)
    folder.mkdir(parents=True)
    network = f"devplat-{run_id}"
    subnet = _make_network(network, run_id, internal=internal)
    hosts.prepare_lab(folder / "lab")
    (folder / "tls").mkdir()
    authority.make_authority(folder / "tls", registry.NAMES)
    shutil.copy(folder / "tls" / "ca.crt", folder / "lab" / "ca.crt")
    bed = Testbed(
        run_id=run_id,
        folder=folder,
        network=network,
        subnet=subnet,
        host_image=host_image,
        lock_file=None,
        ca_file=folder / "tls" / "ca.crt",
    )
    bed.save()
    return bed


def _make_network(name: str, run_id: str, *, internal: bool) -> str:
    start = os.getpid() % len(SUBNETS)
    options = ["--internal"] if internal else []
    for subnet in SUBNETS[start:] + SUBNETS[:start]:
        status, _, error = attempt(
            ["docker", "network", "create", *options, "--label", f"{LABEL}={run_id}",
             "--subnet", subnet, name]
        )  # fmt: skip
        if status == 0:
            return subnet
        if "overlap" not in error:
            raise TestbedError(error.strip())
    raise TestbedError("no free subnet in 10.213.0.0/16 for one more run; end some with `down`")


def _serve(bed: Testbed, made: registry.Store) -> None:
    store, server = made
    name = f"devplat-{bed.run_id}-registry"
    serving = attempt(["docker", "inspect", "-f", "{{range .Mounts}}{{.Source}} {{end}}", name])[1]
    if not bed.resolver:
        bed.set_names({})
        bed.resolver = registry.start_resolver(
            server, run_id=bed.run_id, network=bed.network, lab=bed.folder / "lab"
        )
    if f"{store}/data" not in serving:  # none yet, or with older images
        hosts.remove_container(name)
        registry.start_registry(
            server, store, run_id=bed.run_id, network=bed.network, tls=bed.folder / "tls", name=name
        )
    bed.lock_file = bed.folder / "images.lock.yaml"
    registry.write_lock(store, bed.lock_file)


@contextmanager
def _timed(times: dict[str, float], what: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    times[what] = round(time.monotonic() - start, 2)
