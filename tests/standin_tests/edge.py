"""A running stand-in for Traefik on loopback, and a client that knows its certificate."""

from __future__ import annotations

import http.client
import ssl
import subprocess
import threading

import traefik


def make_certificate(folder, name, *hosts):
    """A self-signed certificate and its key."""
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", folder / f"{name}.key",
            "-out", folder / f"{name}.crt",
            "-addext", "subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts),
        ],
        check=True, capture_output=True,
    )  # fmt: skip


class Bed:
    """A running edge."""

    def __init__(self, edge, folder, certificates):
        self.edge, self.folder, self.certificates = edge, folder, certificates
        self.listeners = {name: traefik.Listener(edge, name) for name in edge.static["entryPoints"]}
        for listener in self.listeners.values():
            threading.Thread(target=listener.serve_forever, args=(0.02,)).start()

    def port(self, point):
        return self.listeners[point].server_address[1]

    def close(self):
        for listener in self.listeners.values():
            listener.shutdown()
            listener.server_close()

    def context(self, **versions):
        context = ssl.create_default_context(cafile=self.certificates / "good.crt")
        for name, value in versions.items():
            setattr(context, name, value)
        return context

    def get(self, host="coder.x", path="/", method="GET", point="websecure", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port(point), timeout=5)
        connection.connect()
        if point == "websecure":
            connection.sock = self.context().wrap_socket(connection.sock, server_hostname=host)
        try:
            connection.request(method, path, headers={"Host": host, **headers})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()
