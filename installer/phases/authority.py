"""The authority inside the platform: the secret server's certificate, and where its key lies.

Before the server is open the key lies in the sealed courier on this machine; then it moves into the
server. The server's own certificate and key stay on the target, readable by the server alone: it
needs them while it is sealed.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping
from functools import partial

from installer.core.errors import IntegrityError, Problem, Remedy, SecretStoreError
from installer.core.events import CheckResult, Outcome, Run
from installer.core.layout import Layout
from installer.core.manifest import ServiceManifest
from installer.core.plan import Plan
from installer.core.secrets import Secret, SecretKind, SecretSpec
from installer.phases.remote import quote, read_file, replace_file, run_root
from installer.phases.steps import Step, no_effect
from installer.ports import Engine, Host, Project, SecretStore, ServerPorts

INTERNAL = "internal."
"""Begins the names of what belongs to the authority inside the platform."""
ROOTS = SecretSpec(
    "vault-roots", SecretKind.PEM, "Roots that the secret server is verified against"
)
KEPT = "vault-"
"""Begins the names that stay in the courier: keys of the server, which cannot be in it."""
_ADDRESSES = ("localhost", "127.0.0.1")


def read_roots(courier: SecretStore) -> bytes:
    """Roots that the server is verified against, PEM.

    Raises:
        SecretStoreError: `vault.no_access`, this machine has never set the server up.
    """
    roots = courier.get(ROOTS.name)
    if roots is None:
        raise SecretStoreError(
            Problem(
                "vault.no_access",
                "the store in the run directory knows nothing of this platform's secret server",
                Remedy(
                    "run where the run directory of its installation is; or, where that is lost,"
                    " give in vault.token a token for the server, and this machine gets a login"
                ),
                where="vault.passphrase",
            )
        )
    return roots.reveal().encode()


def find_roots(
    courier: SecretStore, host: Host | None, layout: Layout, server: ServiceManifest
) -> bytes:
    """As `read_roots`; on a machine that never set it up, from the target when `host` is given.

    The target is trusted for it, over its verified connection, by whoever has a token already.

    Raises: as `read_roots`.
    """
    if courier.get(ROOTS.name) is None and host is not None and server.server is not None:
        path = posixpath.join(layout.data(server.name, server.server.tls), "ca.pem")
        if (data := read_file(host, path)) is not None:
            return courier.ensure(ROOTS, lambda: Secret(data.decode())).reveal().encode()
    return read_roots(courier)


def certificate_step(
    host: Host,
    engine: Engine,
    project: Project,
    layout: Layout,
    server: ServiceManifest,
    ports: ServerPorts,
) -> Step:
    """The server's certificate, key and roots lie in its data directory, readable by it alone."""
    if server.server is None:
        raise ValueError(f"{server.name} is no secret server")
    part = server.server
    folder = layout.data(server.name, part.tls)
    names = (server.name, *_ADDRESSES)

    def found() -> Mapping[str, str]:
        script = f"cd {quote(folder)} 2>/dev/null || exit 0\nfind . -type f -exec sha256sum {{}} +"
        pairs = (line.split("  ./", 1) for line in run_root(host, script).text.splitlines())
        return {path: digest for digest, path in pairs}

    def is_there() -> bool:
        try:
            wanted = _files(ports, names, make=False)
        except SecretStoreError:
            # The authority's key is in the server, which is closed: what is there has to do.
            return set(found()) >= set(_NAMES)
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in (wanted or {}).items()}
        return wanted is not None and found() == hashes

    def deliver() -> Run[None]:
        files = _files(ports, names, make=True) or {}
        roots = Secret(files["ca.pem"].decode())
        if ports.courier.get(ROOTS.name) != roots:
            ports.courier.replace(ROOTS, roots)
        for name, data in files.items():
            path = posixpath.join(folder, name)
            # the roots are public: who only measures the server verifies it by them
            replace_file(host, path, data, mode="0444" if name == _ROOTS else "0400")
            run_root(host, f"chown {server.user} {quote(path)}")
        if any(
            c.service == server.name and c.state == "running" for c in engine.containers(project)
        ):
            engine.exec(project, server.name, part.reload)
        return no_effect()

    return Step(
        "vault.certificate", "certificate of the secret server", is_there, deliver, is_there
    )


def judge_certificate(server: ServiceManifest, ports: ServerPorts) -> CheckResult:
    """Whether the server's certificate is good for a while; an `apply` renews it in time."""
    title = "the secret server's certificate is not due for renewal"
    material = ports.certificates.current((server.name, *_ADDRESSES))
    if material is None:
        problem = Problem(
            "vault.certificate_due",
            "the secret server's certificate is due for renewal",
            Remedy("have it renewed", ("devplat-install apply --yes",)),
            where=server.name,
        )
        return CheckResult("vault.certificate", title, Outcome.WARN, server.name, problem=problem)
    ends = material.facts[0].not_after.isoformat(timespec="minutes")
    return CheckResult("vault.certificate", title, Outcome.PASS, server.name, found=f"until {ends}")


def seal_step(host: Host, layout: Layout, server: ServiceManifest, ports: ServerPorts) -> Step:
    """The token for the key service that unseals the server lies beside its certificate.

    The server needs it before it can read a secret, so it is on disk, for the server's user alone.
    """
    folder = server.server.seal if server.server else None
    path = posixpath.join(layout.data(server.name, folder), "token") if folder else ""

    def is_there() -> bool:
        if ports.seal_token is None or not folder:
            return True
        return read_file(host, path) == ports.seal_token.reveal().encode()

    def deliver() -> Run[None]:
        if ports.seal_token is not None:
            replace_file(host, path, ports.seal_token.reveal().encode(), mode="0400")
            run_root(host, f"chown {server.user} {quote(path)}")
        return no_effect()

    return Step("vault.seal", "token of the key service that unseals", is_there, deliver, is_there)


def waiting_names(courier: SecretStore) -> frozenset[str]:
    """What is in the courier and belongs into the server."""
    return frozenset(name for name in courier.names() if not name.startswith(KEPT))


def move_step(plan: Plan, courier: SecretStore, secrets: SecretStore) -> Step:
    """What was made before the server was open moves into it and leaves the courier.

    That is the authority inside the platform; and all secrets of an installation that had them in
    the encrypted store until now, so that they stay what they are.
    """
    known = {spec.name: spec for spec in plan.secrets}

    def waiting() -> list[str]:
        return sorted(waiting_names(courier))

    def move() -> Run[None]:
        for name in waiting():
            value = courier.get(name)
            if value is None:
                continue
            own = SecretSpec(name, SecretKind.PEM, "Made before the secret server was open")
            spec = known.get(name, own)
            if secrets.ensure(spec, partial(_same, value)) != value:
                raise IntegrityError(
                    Problem(
                        "store.differs",
                        f"the courier and the secret server have different values of {name}",
                        Remedy("keep both and find out which is in use before anything else"),
                        where=name,
                    )
                )
            courier.remove(name)
        return no_effect()

    return Step(
        "vault.move",
        "move what was made before into the secret server",
        lambda: not waiting(),
        move,
        lambda: not waiting(),
    )


def _same(value: Secret) -> Secret:
    return value


_ROOTS = "ca.pem"
_NAMES = (_ROOTS, "server.pem", "server.key")


def _files(ports: ServerPorts, names: tuple[str, ...], *, make: bool) -> dict[str, bytes] | None:
    issuer = ports.certificates
    material = issuer.ensure(names) if make else issuer.current(names)
    if material is None:
        return None
    contents = (material.roots_pem or b"", material.fullchain_pem, material.key.reveal().encode())
    return dict(zip(_NAMES, contents, strict=True))
