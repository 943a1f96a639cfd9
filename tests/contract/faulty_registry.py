"""A registry that misbehaves by repository name; runs on a test host, by its own Python.

`good` serves a tiny image, `recovers` does so after two refusals by status 503; `denied`,
`limited`, `arm`, `altered` (another manifest than asked for) and `swapped` (another layer) are what
they say. A name not in this list is unknown. Layers are not compressed: the bytes, and so the
digests, are the same with every version of Python.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 5000
PRIVATE_PORT = 5001
"""The same images for `ACCOUNT` alone, by Basic authentication (RFC 7617), as htpasswd gives it."""
ACCOUNT = ("robot$ci", "canary 'of' the registry")
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
refusals = {"recovers": 2}


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def make_layer(text: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        entry = tarfile.TarInfo("file")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    return packed.getvalue()


def make_image(text: bytes) -> tuple[bytes, dict[str, bytes]]:
    layer = make_layer(text)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/file"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        }
    ).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": len(config),
            "digest": digest(config),
        },
        "layers": [
            {
                "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                "size": len(layer),
                "digest": digest(layer),
            }
        ],
    }
    return json.dumps(manifest).encode(), {digest(config): config, digest(layer): layer}


GOOD, BLOBS = make_image(b"as pinned")
OTHER, OTHER_BLOBS = make_image(b"not that")
SWAPPED, SWAPPED_BLOBS = make_image(b"swapped one")
GOOD_DIGEST = digest(GOOD)
PINNED_DIGEST = digest(make_image(b"what was pinned, and is not served")[0])
ARM = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": LIST,
        "manifests": [
            {
                "mediaType": MANIFEST,
                "size": len(GOOD),
                "digest": GOOD_DIGEST,
                "platform": {"architecture": "s390x", "os": "linux"},
            }
        ],
    }
).encode()
MANIFESTS = {
    "good": (GOOD, MANIFEST),
    "recovers": (GOOD, MANIFEST),
    "altered": (OTHER, MANIFEST),
    "swapped": (SWAPPED, MANIFEST),
    "arm": (ARM, LIST),
}
REFUSALS = {"denied": (403, "DENIED"), "limited": (429, "TOOMANYREQUESTS")}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = self.path.strip("/").split("/")
        if parts == ["v2"]:
            return self.answer(200, b"{}")
        name, kind, wanted = parts[1], parts[-2], parts[-1]
        if name in REFUSALS:
            status, code = REFUSALS[name]
            return self.refuse(status, code)
        if refusals.get(name, 0) > 0 and self.command == "GET":
            refusals[name] -= 1
            return self.refuse(503, "UNAVAILABLE")
        if kind == "manifests" and name in MANIFESTS:
            body, media_type = MANIFESTS[name]
            return self.answer(200, body, media_type)
        blob = {**BLOBS, **OTHER_BLOBS, **SWAPPED_BLOBS}.get(wanted)
        if kind != "blobs" or blob is None:
            return self.refuse(404, "MANIFEST_UNKNOWN")
        if name == "swapped" and blob == make_layer(b"swapped one"):
            blob = make_layer(b"other words")
        return self.answer(200, blob, "application/octet-stream")

    do_HEAD = do_GET

    def refuse(self, status: int, code: str) -> None:
        body = {"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}
        self.answer(status, json.dumps(body).encode())

    def answer(self, status: int, body: bytes, media_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        if status == 200:
            self.send_header("Docker-Content-Digest", digest(body))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class PrivateHandler(Handler):
    def do_GET(self) -> None:
        wanted = base64.b64encode(":".join(ACCOUNT).encode()).decode()
        if self.headers.get("Authorization") == f"Basic {wanted}":
            super().do_GET()
        else:
            self.refuse(401, "UNAUTHORIZED")

    do_HEAD = do_GET

    def end_headers(self) -> None:
        self.send_header("WWW-Authenticate", 'Basic realm="private"')
        super().end_headers()


if __name__ == "__main__":
    private = ThreadingHTTPServer(("127.0.0.1", PRIVATE_PORT), PrivateHandler)
    threading.Thread(target=private.serve_forever, daemon=True).start()
    server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    print("ready", file=sys.stderr, flush=True)
    server.serve_forever()
