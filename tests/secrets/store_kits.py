"""The stores that the contract of the `SecretStore` port is tried on, each in a place of its own.

A kit can open its store any number of times, here and in another process.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from installer.adapters.filestore import create_store, open_store
from installer.core.secrets import Secret
from installer.ports import SecretStore
from tests.contract.vault.servers import KINDS as SERVER_KINDS
from tests.contract.vault.servers import VaultServer
from tests.secrets.stores import PASSPHRASE, ROOT

KINDS = ("file", "aws", *(f"vault {kind}" for kind in SERVER_KINDS))
REGION = "eu-central-1"
AWS_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIcanaryEXAMPLEKEY",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Kit(Protocol):
    """One empty store; `code` is Python that makes `store` of it in another process."""

    kind: str

    def open(self) -> SecretStore: ...

    @property
    def code(self) -> str: ...

    @property
    def environment(self) -> dict[str, str]: ...

    def other(self) -> Kit:
        """A store beside this one, in the same server."""
        ...


@dataclass
class FileKit:
    path: Path
    kind: str = "file"
    environment: dict[str, str] = field(default_factory=dict)

    def open(self) -> SecretStore:
        if not self.path.exists():
            create_store(self.path, PASSPHRASE)
        return open_store(self.path, PASSPHRASE)

    @property
    def code(self) -> str:
        return f"""
from pathlib import Path
from installer.adapters.filestore import open_store
store = open_store(Path({str(self.path)!r}), Secret({PASSPHRASE.reveal()!r}))
"""

    def other(self) -> FileKit:
        return FileKit(self.path.with_name("other.store"))


@dataclass
class VaultKit:
    server: VaultServer
    kind: str
    prefix: str = field(default_factory=lambda: f"devplat/{uuid.uuid4().hex}")
    environment: dict[str, str] = field(default_factory=dict)
    opened: list[Any] = field(default_factory=list)

    def open(self) -> SecretStore:
        from installer.adapters.vault_session import TokenLogin, VaultSession
        from installer.adapters.vault_store import VaultStore
        from installer.adapters.vault_transport import Address

        link = Address(self.server.address, self.server.ca_file)
        session = VaultSession(link, TokenLogin(Secret(self.server.token)))
        store = VaultStore(session, mount="secret", prefix=self.prefix)
        self.opened.append(store)
        return store

    @property
    def code(self) -> str:
        return f"""
from pathlib import Path
from installer.adapters.vault_session import TokenLogin, VaultSession
from installer.adapters.vault_store import VaultStore
from installer.adapters.vault_transport import Address
link = Address({self.server.address!r}, Path({str(self.server.ca_file)!r}))
session = VaultSession(link, TokenLogin(Secret({self.server.token!r})))
store = VaultStore(session, mount="secret", prefix={self.prefix!r})
"""

    def other(self) -> VaultKit:
        return VaultKit(self.server, self.kind, opened=self.opened)


@dataclass
class AwsKit:
    endpoint: str
    kind: str = "aws"
    prefix: str = field(default_factory=lambda: f"devplat/{uuid.uuid4().hex}")
    environment: dict[str, str] = field(default_factory=lambda: dict(AWS_ENVIRONMENT))
    opened: list[Any] = field(default_factory=list)

    def open(self) -> SecretStore:
        from installer.adapters.aws_store import open_aws_store

        store = open_aws_store(
            region=REGION, prefix=self.prefix, deployment="devplat", endpoint_url=self.endpoint
        )
        self.opened.append(store)
        return store

    @property
    def code(self) -> str:
        return f"""
from installer.adapters.aws_store import open_aws_store
store = open_aws_store(
    region={REGION!r}, prefix={self.prefix!r}, deployment="devplat", endpoint_url={self.endpoint!r}
)
"""

    def other(self) -> AwsKit:
        return AwsKit(self.endpoint, opened=self.opened)


@contextlib.contextmanager
def moto_server() -> Iterator[str]:
    """Moto's server on loopback, one request at a time: the service itself is atomic."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *_: object, **__: object) -> None:
            pass

    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, app, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


PREAMBLE = """
import sys
from installer.core.secrets import Secret, SecretKind, SecretSpec
spec = lambda name: SecretSpec(name, SecretKind.PASSWORD, "of another process")
"""


def start_process(kit: Kit, act: str) -> subprocess.Popen[str]:
    """Another process that makes `store` of the kit and then runs `act`."""
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + kit.code + act],
        cwd=ROOT,
        env={**os.environ, **kit.environment, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
