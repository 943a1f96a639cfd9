"""How services reach the database: that of the platform, or one outside with verified TLS.

Made from answers and manifests alone; no password is ever here. Whoever names the platform's
database in a manifest gets the other one by the same name, so that no service asks which it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from installer.core.errors import Problem, Remedy, StackError
from installer.core.manifest import DatabaseAction, SecretDeclaration, ServiceManifest
from installer.core.manifest_parts import OutsideServer

if TYPE_CHECKING:
    from installer.core.answers import Answers

ROOTS_FILE = "database_roots.pem"
"""Name below the /run/secrets of a client of what the server's certificate is verified by."""

_PLACEHOLDER = re.compile(r"%\{database\.([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class DatabaseAccess:
    """Where a database server is, and how its clients verify it.

    Attributes:
        sslmode: Of libpq: `verify-full`, or `disable` inside one host.
        roots: Path in a client's container of the authorities, empty when nothing is verified.
        user: Login of the administrator, of a server outside.
        maintenance: Database that the administrator begins in.
        mark: Comment of every role that this deployment has made on a server outside.
    """

    host: str
    port: int
    sslmode: str
    roots: str
    user: str = ""
    maintenance: str = "postgres"
    mark: str = ""

    @property
    def is_outside(self) -> bool:
        """Whether it is no part of the deployment."""
        return bool(self.mark)

    @property
    def address(self) -> str:
        """`host:port` as URLs have it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def parameters(self) -> str:
        """The part of a connection URL that says how the server is verified (libpq, 32.1.2)."""
        roots = f"&sslrootcert={quote(self.roots, safe='/')}" if self.roots else ""
        return f"sslmode={self.sslmode}{roots}"


def read_access(answers: Answers, manifests: Iterable[ServiceManifest]) -> DatabaseAccess | None:
    """How clients reach the database of these services; None when none of them has one."""
    server = next((m for m in manifests if m.database), None)
    if server is None or server.database is None:
        return None
    part = server.database
    roots = f"/run/secrets/{ROOTS_FILE}" if part.roots else ""
    if not server.stands_in_for:
        return DatabaseAccess(server.name, part.port, part.sslmode, roots)
    url = urlsplit(str(answers.at("database.url")))
    return DatabaseAccess(
        host=url.hostname or "",
        port=url.port or part.port,
        sslmode=part.sslmode,
        roots=roots,
        user=unquote(url.username or ""),
        maintenance=unquote(url.path.removeprefix("/")),
        mark=f"devplat-install {answers.deployment.name} {answers.domain.base}",
    )


def fill_access(text: str, access: DatabaseAccess) -> str:
    """The text with `%{database.<property>}` replaced, of the properties of `DatabaseAccess`.

    Raises:
        StackError: there is no such property.
    """

    def value(match: re.Match[str]) -> str:
        try:
            return str(getattr(access, match[1]))
        except AttributeError as error:
            raise StackError(
                Problem(
                    "stack.placeholder",
                    f"{match[0]} names nothing that is known of a database",
                    Remedy("name address, parameters, host, port or user"),
                )
            ) from error

    return _PLACEHOLDER.sub(value, text)


def direct_clients(
    manifest: ServiceManifest, server: ServiceManifest, access: DatabaseAccess
) -> ServiceManifest:
    """A manifest that names the platform's database, with this server in its place.

    Whoever connected to the platform's database connects to the server by itself, and gets what
    verifies it; whatever ran inside the platform's database runs in the service that stands in.
    """
    old = server.stands_in_for or server.name
    why = [c.why for c in manifest.connects if c.to == old]
    update: dict[str, object] = {
        "secret_files": {f: fill_access(t, access) for f, t in manifest.secret_files.items()}
    }
    if (why or manifest is server) and server.database and server.database.roots:
        update["secret_files"] |= {ROOTS_FILE: f"${{{server.database.roots}}}"}  # type: ignore[operator]
    if access.is_outside:
        update |= _moved(manifest, old, server.name, access)
        if why:
            update["egress"] = manifest.egress or f"the database outside: {why[0]}"
    return manifest.model_copy(update=update)


def _moved(
    manifest: ServiceManifest, old: str, new: str, access: DatabaseAccess
) -> dict[str, object]:
    """What of a manifest names the platform's database, with the name of what stands in for it."""
    outside = OutsideServer(mark=access.mark, maintenance=access.maintenance)

    def renamed(name: str | None) -> str | None:
        return new if name == old else name

    actions = [
        a.model_copy(update={"provider": new, "outside": outside})
        if isinstance(a, DatabaseAction) and a.provider == old
        else a.model_copy(update={"in_": renamed(a.in_)})
        if not isinstance(a, DatabaseAction)
        else a
        for a in manifest.bootstrap
    ]
    moved: dict[str, object] = {
        "requires": tuple(dict.fromkeys(new if n == old else n for n in manifest.requires)),
        "connects": tuple(c for c in manifest.connects if c.to != old),
        "bootstrap": tuple(actions),
        "checks": tuple(c.model_copy(update={"in_": renamed(c.in_)}) for c in manifest.checks),
        "secrets": tuple(_proven_in(secret, old, new) for secret in manifest.secrets),
    }
    if manifest.drill is not None and manifest.drill.ready == old:
        moved["drill"] = manifest.drill.model_copy(update={"ready": None, "by_hand": BY_HAND})
    return moved


def _proven_in(secret: SecretDeclaration, old: str, new: str) -> SecretDeclaration:
    proof = secret.rotation.proof
    if proof is None or proof.in_ != old:
        return secret
    moved = proof.model_copy(update={"in_": new})
    return secret.model_copy(
        update={"rotation": secret.rotation.model_copy(update={"proof": moved})}
    )


BY_HAND = 'docs/backup.md ("A database outside")'
"""Where it is written how a database outside is restored."""
