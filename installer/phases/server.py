"""The platform's own secret server, as its steps see it: how far it is, its keys, the login."""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass, field

from installer.core.errors import Problem, Remedy, SecretStoreError
from installer.core.layout import Layout
from installer.core.manifest import ServiceManifest
from installer.core.manifest_parts import SecretServerPart
from installer.core.plan import Plan
from installer.core.proposal import ServerState
from installer.core.secrets import Secret
from installer.core.store_rules import StoreRules
from installer.phases.remote import quote, read_file, run_root
from installer.ports import Clock, Engine, Host, Project, ServerPorts


@dataclass(slots=True)
class Server:
    """What the steps share. `_keys` are read from the answer when it is needed, and only then."""

    plan: Plan
    layout: Layout
    project: Project
    host: Host
    engine: Engine
    ports: ServerPorts
    clock: Clock
    rules: StoreRules
    _keys: tuple[Secret, tuple[Secret, ...]] | None = field(default=None, init=False)

    @property
    def manifest(self) -> ServiceManifest:
        """The server's manifest."""
        manifest = self.plan.server
        if manifest is None:
            raise ValueError("the plan has no secret server")
        return manifest

    @property
    def part(self) -> SecretServerPart:
        """How the server is spoken to."""
        part = self.manifest.server
        if part is None:
            raise ValueError("the manifest is not a server's")
        return part

    @property
    def answer_paths(self) -> tuple[str, ...]:
        """Where the answer may be kept on the target: by the server, or when that failed, by us."""
        folder = self.layout.data(self.manifest.name, self.part.keeps)
        return (
            posixpath.join(folder, self.part.answer),
            posixpath.join(self.layout.state, f"{self.manifest.name}-{self.part.answer}"),
        )

    def observe(self) -> ServerState:
        """How far the server is; changes nothing.

        Raises:
            SecretStoreError: it runs and does not answer.
        """
        containers = self.engine.containers(self.project)
        if not any(c.service == self.manifest.name and c.state == "running" for c in containers):
            return ServerState.ABSENT
        status = self.ports.admin.status()
        if not status.initialised:
            return ServerState.EMPTY
        if self.has_answer():
            return ServerState.UNFINISHED
        if status.sealed:
            return ServerState.SEALED
        known = self.ports.custody.access() or self.ports.token
        return ServerState.READY if known else ServerState.FOREIGN

    def has_answer(self) -> bool:
        """Whether the answer is still kept on the target."""
        tests = (f"if [ -s {quote(path)} ]; then echo yes; fi" for path in self.answer_paths)
        return run_root(self.host, "\n".join(tests)).stdout != b""

    def keys(self) -> tuple[Secret, tuple[Secret, ...]] | None:
        """Root token and shares out of the kept answer, or None when it is there no more.

        Raises:
            SecretStoreError: `vault.transport_lost`, the key that opens it is not on this machine.
        """
        if self._keys is None and (data := self._read_answer()) is not None:
            document = json.loads(data)
            sealed = document.get("unseal_keys_b64") or document.get("recovery_keys_b64") or ()
            opened = tuple(self.ports.custody.open(share) for share in sealed)
            self._keys = (self.ports.custody.open(document["root_token"]), opened)
        return self._keys

    def _read_answer(self) -> bytes | None:
        found = (read_file(self.host, path) for path in self.answer_paths)
        return next((data for data in found if data and data.strip()), None)

    def log_in(self) -> None:
        """With the token of the answers where there is one, else as the installer's own machine.

        As root only before that login exists.

        Raises:
            SecretStoreError: `vault.foreign`, there is none of them.
        """
        access = self.ports.custody.access()
        if self.ports.token is not None:
            self.ports.admin.log_in(self.ports.token)
        elif access is not None:
            self.ports.admin.log_in_as(access)
        elif (keys := self.keys()) is not None:
            self.ports.admin.log_in(keys[0])
        else:
            raise SecretStoreError(foreign_problem(self.manifest.name))

    def has_login(self) -> bool:
        """Whether the installer's own login is kept and good; it is used from now on then.

        Raises:
            SecretStoreError: the server does not answer.
        """
        access, token = self.ports.custody.access(), self.ports.token
        if access is None or token is None:
            return access is not None  # without a token it is in use already
        try:
            self.ports.admin.log_in_as(access)
        except SecretStoreError as error:
            if error.problems[0].code != "vault.token_refused":
                raise
            self.ports.admin.log_in(token)
            return False
        return True

    def forget(self) -> None:
        """Drop what was read of the answer."""
        self._keys = None


def foreign_problem(name: str) -> Problem:
    """Somebody else initialised it."""
    return Problem(
        "vault.foreign",
        f"{name} is already initialised, and nothing here can log in to it; it was left untouched",
        Remedy(
            "run where the run directory of its installation is; or give vault.token, a token with"
            " the policy needed; or move its data directory away if it is not needed any more",
            ("devplat-install answers show --vault-policy",),
        ),
        where=name,
    )
