"""A registry for the hosts: Debian's docker-registry, filled once per set of images in the cache
and served read-only by every run, with TLS, under the names of the public registries.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import time
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.testbed import images as image_maker
from tests.testbed.catalogue import (
    REGISTRY_IMAGE,
    path_in_registry,
    read_images,
    wanted_references,
)
from tests.testbed.commands import TestbedError, address_of, attempt, docker, locked
from tests.testbed.images import Image
from tests.testbed.places import LABEL, Places, digest_of

NAMES = ("docker.io", "registry-1.docker.io", "index.docker.io", "ghcr.io", "quay.io")
"""The public registries that the test-bed's registry stands for."""

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar"

Store = tuple[Path, Image]
KEPT_STORES = 3


def ensure_store(places: Places) -> Store:
    """The registry's data in the cache for exactly these images, and the registry's own image.

    `lock.json` in it maps every `repository:tag` to its digest.
    """
    specs = read_images()
    wanted = wanted_references({n: s for n, s in specs.items() if n != REGISTRY_IMAGE})
    with locked(places.lock("images")):
        made = image_maker.make_images(places, specs.values())
        server = made[REGISTRY_IMAGE]
        image_maker.load_into_engine(server, REGISTRY_IMAGE)
        todo = {reference: made[spec.repository] for reference, spec in wanted.items()}
        key = digest_of([f"{name}={image.config_digest}" for name, image in sorted(todo.items())])
        store = places.images / key
        if not (store / "lock.json").exists():
            _fill(store, server, todo)
        os.utime(store)
        _prune(places)
    return store, server


def start_registry(
    server: Image, store: Path, *, run_id: str, network: str, tls: Path, name: str
) -> None:
    """Serve the store on the run's network by TLS; `tls` holds registry.crt and registry.key."""
    config = tls / "registry.yml"
    config.write_text(
        json.dumps(
            {
                "version": 0.1,
                "log": {"level": "warn", "accesslog": {"disabled": True}},
                "storage": {
                    "filesystem": {"rootdirectory": "/data"},
                    "maintenance": {"readonly": {"enabled": True}},
                },
                "http": {
                    "addr": ":443",
                    "tls": {"certificate": "/tls/registry.crt", "key": "/tls/registry.key"},
                },
            }
        )
    )
    aliases = [word for alias in NAMES for word in ("--network-alias", alias)]
    docker(
        "run", "-d", "--name", name, "--label", f"{LABEL}={run_id}", "--network", network,
        *aliases, "-v", f"{store}/data:/data:ro", "-v", f"{tls}:/tls:ro",
        engine_tag(server), "docker-registry", "serve", "/tls/registry.yml",
    )  # fmt: skip


def start_resolver(server: Image, *, run_id: str, network: str, lab: Path) -> str:
    """Start the run's name server on its network; returns its address."""
    name = f"devplat-{run_id}-resolver"
    docker(
        "run", "-d", "--name", name, "--label", f"{LABEL}={run_id}", "--network", network,
        "-v", f"{lab}:/lab:ro", engine_tag(server),
        "python3", "/lab/resolver.py", "/lab/names.json", *NAMES,
    )  # fmt: skip
    return address_of(name, network)


def engine_tag(server: Image) -> str:
    """The registry's image as this machine's engine knows it."""
    return f"{REGISTRY_IMAGE}:{server.config_digest[7:19]}"


def write_lock(store: Path, path: Path) -> None:
    """Write the product's image lock: version 1, `repository:tag` → digest."""
    digests = json.loads((store / "lock.json").read_text())
    path.write_text(yaml.safe_dump({"version": 1, "images": digests}, sort_keys=True))


def _fill(store: Path, server: Image, todo: Mapping[str, Image]) -> None:
    shutil.rmtree(store, ignore_errors=True)
    (store / "data").mkdir(parents=True)
    config = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": "/data"}},
        "http": {"addr": ":5000"},
    }
    (store / "fill.yml").write_text(json.dumps(config))
    container = docker(
        "run", "-d", "--rm", "--label", f"{LABEL}=fill",
        "-v", f"{store}/data:/data", "-v", f"{store}/fill.yml:/fill.yml:ro",
        engine_tag(server), "docker-registry", "serve", "/fill.yml",
    )  # fmt: skip
    try:
        address = docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", container)
        client = _wait_for(address)
        digests = {name: client.push(name, image) for name, image in sorted(todo.items())}
        client.connection.close()
    finally:
        docker("stop", "-t", "5", container)
    (store / "lock.json").write_text(json.dumps(digests, indent=1, sort_keys=True))


def _prune(places: Places) -> None:
    """Remove the stores that no run serves, all but the newest of them."""
    containers = docker("ps", "-aq", "--filter", f"label={LABEL}").split()
    template = "{{range .Mounts}}{{.Source}} {{end}}"
    # one may be gone by now: the others are told all the same
    mounts = attempt(["docker", "inspect", "-f", template, *containers])[1].split()
    stores = sorted(places.images.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for store in stores[KEPT_STORES:]:
        if f"{store}/data" not in mounts:
            shutil.rmtree(store)


def _wait_for(address: str) -> _Client:
    deadline = time.monotonic() + 20
    client = _Client(address)
    while True:
        try:
            if client.request("GET", "/v2/")[0] == 200:
                return client
        except OSError:
            client.connection.close()
            if time.monotonic() > deadline:
                raise TestbedError(f"the registry at {address}:5000 does not answer") from None
            time.sleep(0.1)


class _Client:
    """The pushing half of the registry's HTTP API; `docker push` would spend its time in gzip."""

    def __init__(self, address: str) -> None:
        self.connection = http.client.HTTPConnection(address, 5000, timeout=60)
        self.pushed: dict[str, str] = {}

    def request(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage]:
        self.connection.request(method, path, body, headers)  # type: ignore[arg-type]
        answer = self.connection.getresponse()
        answer.read()
        return answer.status, answer.headers

    def push(self, reference: str, image: Image) -> str:
        """Put an image under its tag; returns the manifest's digest."""
        repository, _, tag = reference.rpartition(":")
        path = path_in_registry(repository)
        for layer in image.layers:
            with layer.path.open("rb") as handle:
                self._blob(path, layer.digest, layer.size, handle)
        self._blob(path, image.config_digest, len(image.config), image.config)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, image.config_digest, len(image.config)),
            "layers": [_descriptor(LAYER, item.digest, item.size) for item in image.layers],
        }
        body = json.dumps(manifest).encode()
        url = f"/v2/{path}/manifests/{tag}"
        status, _ = self.request("PUT", url, body, **{"Content-Type": MANIFEST})
        _expect(status == 201, f"PUT {url}: {status}")
        return "sha256:" + hashlib.sha256(body).hexdigest()

    def _blob(self, repository: str, digest: str, size: int, body: object) -> None:
        start = f"/v2/{repository}/blobs/uploads/"
        if digest in self.pushed:  # the shared layers are sent once
            mount = f"{start}?mount={digest}&from={self.pushed[digest]}"
            if self.request("POST", mount, b"")[0] == 201:
                return
        status, headers = self.request("POST", start, b"")
        _expect(status == 202, f"POST {start}: {status}")
        where = urllib.parse.urlsplit(headers["Location"])
        query = f"{where.query}&digest={urllib.parse.quote(digest)}".lstrip("&")
        status, _ = self.request(
            "PUT", f"{where.path}?{query}", body,
            **{"Content-Length": str(size), "Content-Type": "application/octet-stream"},
        )  # fmt: skip
        _expect(status == 201, f"PUT of {digest} to {repository}: {status}")
        self.pushed.setdefault(digest, repository)


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _expect(met: bool, what: str) -> None:
    if not met:
        raise TestbedError(f"the registry refused a push: {what}")
