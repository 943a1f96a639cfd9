"""How each secret is replaced, as the manifests say: who reads it, what proves it, which is not.

Every rule is a function from manifests to what is wrong with them, so that a seeded defect can show
that it finds something.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from installer.core.catalog import Catalog
from installer.core.manifest import DatabaseAction, Rotation, ServiceManifest
from installer.core.secrets import ISSUED, named_secrets

Change = Callable[..., ServiceManifest]


def files_with(secret: str, manifests: Iterable[ServiceManifest]) -> dict[str, list[str]]:
    """Service → its secret files that are made of this secret."""
    found: dict[str, list[str]] = {}
    for manifest in manifests:
        texts = [(manifest.name, text) for text in manifest.secret_files.values()]
        texts += [(g.to, text) for g in manifest.gives for text in g.secret_files.values()]
        for name, text in texts:
            if secret in named_secrets(text):
                found.setdefault(name, []).append(text)
    return found


def find_rotation_breaches(manifests: Iterable[ServiceManifest]) -> Iterator[str]:
    """Secrets that neither say how they are replaced nor why they are not, or say it wrongly."""
    manifests = tuple(manifests)
    for secret in (secret for manifest in manifests for secret in manifest.secrets):
        rotation, users = secret.rotation, files_with(secret.name, manifests)
        if secret.kind in ISSUED:
            if rotation != Rotation():
                yield f"{secret.name} is renewed, and says how it is replaced"
            continue
        if rotation.refuse:
            if rotation.reload or rotation.proof:
                yield f"{secret.name} is refused and rotated"
            continue
        if set(rotation.reload) != set(users):
            yield f"{secret.name} is read by {', '.join(sorted(users))}"
        if rotation.proof is None:
            continue
        if "${value}" not in rotation.proof.stdin or "${" in " ".join(rotation.proof.argv):
            yield f"{secret.name} is not proven by standard input"
        if rotation.proof.in_ not in {m.name for m in manifests}:
            yield f"{secret.name} is proven in {rotation.proof.in_}"


def find_login_breaches(manifests: Iterable[ServiceManifest]) -> Iterator[str]:
    """Readers of a database password that do not know which login it belongs to."""
    manifests = tuple(manifests)
    for action in (a for m in manifests for a in m.bootstrap if isinstance(a, DatabaseAction)):
        login = f"{action.role}_${{id:{action.secret}}}"
        for name, texts in files_with(action.secret, manifests).items():
            if not any(login in text for text in texts):
                yield f"{name} does not read {login}"


def test_every_secret_says_how_it_is_replaced_or_why_not(catalog: Catalog) -> None:
    """SE-20."""
    assert list(find_rotation_breaches(catalog.services.values())) == []


def test_every_database_password_goes_with_its_login(catalog: Catalog) -> None:
    """SE-20: an old and a new password have a login each."""
    assert list(find_login_breaches(catalog.services.values())) == []


def test_secret_files_have_names_that_a_shell_takes_as_they_are(catalog: Catalog) -> None:
    names = [file for m in catalog.services.values() for file in m.secret_files]
    assert len(names) > 20
    assert [name for name in names if not re.fullmatch(r"[A-Za-z0-9_.-]+", name)] == []


def test_secret_files_are_plain_text_around_their_secrets(catalog: Catalog) -> None:
    """What stands between placeholders goes through three notations on its way to an agent."""
    texts = [text for m in catalog.services.values() for text in m.secret_files.values()]
    assert all(text.isascii() for text in texts)


def test_a_secret_that_is_replaced_wrongly_is_found(catalog: Catalog, change: Change) -> None:
    proof = {"in": "nowhere", "argv": ["true", "${value}"], "stdin": "", "expect": "x"}
    secrets = (
        {"name": "gitea-lfs-jwt-secret", "purpose": "x", "rotation": {"reload": ["coder"]}},
        {
            "name": "gitea-internal-token",
            "purpose": "x",
            "rotation": {"refuse": "x", "proof": proof},
        },
        {
            "name": "gitea-metrics-token",
            "purpose": "x",
            "rotation": {"reload": ["gitea", "prometheus"], "proof": proof},
        },
        {"name": "gitea-roots", "kind": "roots", "purpose": "x", "rotation": {"refuse": "x"}},
    )
    services = {**catalog.services, "gitea": change("gitea", secrets=secrets)}
    assert list(find_rotation_breaches(services.values())) == [
        "gitea-lfs-jwt-secret is read by gitea",
        "gitea-internal-token is refused and rotated",
        "gitea-metrics-token is not proven by standard input",
        "gitea-metrics-token is proven in nowhere",
        "gitea-roots is renewed, and says how it is replaced",
    ]


def test_a_password_without_its_login_is_found(catalog: Catalog, change: Change) -> None:
    files = {"x": "postgres://coder:${coder-database-password}@postgres/coder"}
    services = {**catalog.services, "coder": change("coder", secret_files=files)}
    assert list(find_login_breaches(services.values())) == [
        "coder does not read coder_${id:coder-database-password}"
    ]
