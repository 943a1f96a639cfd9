"""A secret planted through any field of the answers is nowhere that the product writes or says.

Covers SE-01..SE-03, SE-05, SE-24, SE-28 and invariant 5 without a target: every field that refers to
a secret, in every alternative, by variable, by file and in an answers file of the owner's alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from pydantic import Field, create_model

from installer import cli, secret_reader
from installer.adapters.private_authority import make_private_ca
from installer.adapters.secret_sources import resolve_secret
from installer.core.answers import answers_model
from installer.core.answers_fields import OptionalSecret, Section, about
from installer.core.errors import ExitCode
from installer.core.images import ImageLock, format_lock, lock_keys
from installer.core.redaction import Redactor, find_secrets
from installer.core.secretrefs import SecretRef
from installer.core.secrets import Secret
from installer.stacks import load_stacks
from tests.certificates.conftest import issue
from tests.integration.canaries import (
    EVERYWHERE,
    LISTED,
    Planting,
    SecretField,
    make_canary,
    plan_plantings,
    planted_fields,
    secret_fields,
)

pytestmark = pytest.mark.slow
WAYS = ("env", "file", "literal")
KNOWN = {
    "admin.password", "ssh.passphrase", "ssh.become_password", "registry.password",
    "tls.key_passphrase", "tls.acme.credentials", "vault.passphrase", "vault.token",
    "vault.unseal_shares", "vault.secret_id",
}  # fmt: skip


def all_fields() -> list[SecretField]:
    return planted_fields(answers_model(load_stacks().catalog))


@dataclass
class Scene:
    """A home, a run directory and answers; `said` is what each command printed.

    Everything below `root` was written by the product, but for the folder `planted`.
    """

    root: Path
    planted: Path
    said: dict[str, str] = field(default_factory=dict)

    def places(self) -> Iterator[tuple[str, bytes]]:
        """Everything that was written or said, and every name of a file."""
        for command, text in self.said.items():
            yield command, text.encode()
        for path in self.root.rglob("*"):
            if not path.is_relative_to(self.planted):
                yield f"name of {path}", str(path.relative_to(self.root)).encode()
                if path.is_file() and not path.is_symlink():
                    yield str(path), path.read_bytes()

    def leaks(self, canaries: Mapping[str, Secret]) -> list[str]:
        """Where a canary is, in any of its usual encodings."""
        return [
            f"{hit.name} ({hit.form}) in {place}"
            for place, data in self.places()
            for hit in find_secrets(data, canaries)
        ]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene(tmp_path, tmp_path / "planted")
    for name in ("home", "work", "planted", "tmp"):
        (tmp_path / name).mkdir(mode=0o700)
    for name in [name for name in os.environ if name.startswith(("DEVPLAT_", "XDG_", "VAULT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("DEVPLAT_STORE_PASSPHRASE", "correct horse battery staple 9!")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(time, "sleep", lambda _: None)  # between two attempts to connect
    return made


def encrypted(key: Any, form: PrivateFormat, path: str) -> bytes:
    """A private key under the canary of the field that has its passphrase."""
    (owner,) = [found for found in all_fields() if found.path == path]
    passphrase = make_canary(owner).value.encode()
    return key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(passphrase))


@pytest.fixture(scope="session")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, str]]:
    """Real keys and certificates for the fields whose values open or need them."""
    folder = tmp_path_factory.mktemp("beside")

    def write(name: str, data: bytes) -> str:
        (folder / name).touch(0o600)
        (folder / name).write_bytes(data)
        return str(folder / name)

    now, day = datetime.now(UTC), timedelta(days=1)
    names = ["*.coder.company.com", "*.company.com", "company.com"]
    pair = issue("company.com", hosts=names, begin=now - day, end=now + 90 * day)
    key = Ed25519PrivateKey.generate()
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    ca = make_private_ca("company", ["company.com"], now, os.urandom)
    authority = ca.certificate.public_bytes(Encoding.PEM)
    images = [image for s in load_stacks().catalog.services.values() for image in s.images]
    lock = ImageLock(dict.fromkeys(lock_keys(images), f"sha256:{'0' * 64}"))
    return {
        EVERYWHERE: {
            "ssh.key_file": write("id_plain", plain),
            "images.lock_file": write("images.lock.yaml", format_lock(lock).encode()),
        },
        "database.password": {"database.ca_file": write("database.pem", authority)},
        "workspaces.certificate": {"workspaces.ca_file": write("engines.pem", authority)},
        "workspaces.key": {"workspaces.ca_file": write("engines.pem", authority)},
        "ssh.passphrase": {
            "ssh.key_file": write("id", encrypted(key, PrivateFormat.OpenSSH, "ssh.passphrase")),
        },
        "tls.key_passphrase": {
            "tls.certificate_file": write("cert.pem", pair.pem),
            "tls.key_file": write(
                "key.pem", encrypted(pair.key, PrivateFormat.PKCS8, "tls.key_passphrase")
            ),
        },
    }


@pytest.fixture(scope="session")
def plantings(beside: Mapping[str, Mapping[str, str]]) -> tuple[Planting, ...]:
    catalog = load_stacks().catalog
    return plan_plantings(answers_model(catalog), catalog, beside)


def plant(scene: Scene, planting: Planting, way: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the answers, and put each canary where its reference says."""

    def refer(path: str, value: str) -> str:
        name = f"CANARY_{path.replace('.', '_').upper()}"
        if way == "env":
            monkeypatch.setenv(name, value)
            return f"env:{name}"
        if way == "file":
            file = scene.planted / name
            file.touch(0o600)
            file.write_text(f"{value}\n")
            return f"file:{file}"
        return f"literal:{value}"

    answers = scene.planted / "answers.yaml"
    answers.touch(0o600)
    answers.write_text(planting.document(refer))
    return answers


def run_commands(
    scene: Scene, answers: Path, capfd: pytest.CaptureFixture[str], number: int = 0
) -> dict[str, int]:
    """What an operator would run without a target; the installation fails at the connection."""
    loud = ["--answers", str(answers), "--verbose", "--log-format", "json"]
    bundle, run = scene.root / f"bundle-{number}", scene.root / f"run-{number}"
    statuses: dict[str, int] = {}
    for name, argv in {
        "check": ["--unattended", "answers", "check", *loud],
        "show": ["--unattended", "answers", "show", *loud],
        "render": ["render", "--output", str(bundle), *loud],
        "install": ["--unattended", "--yes", "--run-dir", str(run), *loud],
    }.items():
        capfd.readouterr()
        statuses[name] = cli.main(argv)
        said = capfd.readouterr()
        scene.said |= {
            f"{name} {number}: standard output": said.out,
            f"{name} {number}: standard error": said.err,
        }
    return statuses


def secrets_of(planting: Planting) -> dict[str, Secret]:
    return {
        f"{field.path} {field.modes} {at}": Secret(text)
        for field in planting.fields
        for at, text in enumerate(make_canary(field).secrets)
    }


def test_every_field_that_refers_to_a_secret_is_found_in_the_model() -> None:
    found = all_fields()
    assert {secret.path for secret in found} >= KNOWN
    modes = {(dict(s.modes).get("vault"), s.path) for s in found if s.path == "vault.token"}
    assert modes == {("bundled", "vault.token"), ("external", "vault.token")}
    assert {s.kind for s in found} == {"one", "list", "mapping"}


def test_a_new_field_is_found_without_an_edit() -> None:
    class Plain(Section):
        mode: Literal["plain"] = "plain"

    class Fancy(Section):
        mode: Literal["fancy"]
        key: OptionalSecret = about("Key", "A new secret.", default=None)
        keys: tuple[SecretRef, ...] = ()
        named: Mapping[str, SecretRef] = Field(default_factory=dict)

    choice = Annotated[Plain | Fancy, Field(discriminator="mode")]
    inner: Any = create_model("Inner", __base__=Section, either=(choice, Plain()))
    model: Any = create_model("New", __base__=Section, inner=(inner, ...))
    modes = (("inner.either", "fancy"),)
    assert list(secret_fields(model)) == [
        SecretField("inner.either.key", modes),
        SecretField("inner.either.keys", modes, "list"),
        SecretField("inner.either.named", modes, "mapping"),
    ]


def test_every_field_is_planted(plantings: tuple[Planting, ...]) -> None:
    planted = [secret for planting in plantings for secret in planting.fields]
    assert sorted(planted, key=repr) == sorted(all_fields(), key=repr)
    values = [canary.value for planting in plantings for canary in planting.canaries.values()]
    assert len(set(values)) == len(planted)


@pytest.mark.parametrize("way", WAYS)
def test_a_planted_secret_is_nowhere(
    scene: Scene,
    plantings: tuple[Planting, ...],
    way: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    read: set[str] = set()

    def watching(reference: SecretRef, where: str, **how: Any) -> Secret:
        read.add(where)
        return resolve_secret(reference, where, **how)

    monkeypatch.setattr(secret_reader, "resolve_secret", watching)
    planted: dict[str, Secret] = {}
    for number, planting in enumerate(plantings):
        statuses = run_commands(scene, plant(scene, planting, way, monkeypatch), capfd, number)
        # a store of somebody else is asked before the target
        elsewhere = any(("vault", "external") in field.modes for field in planting.fields)
        ends = ExitCode.VAULT if elsewhere else ExitCode.SSH_CONNECT
        assert statuses == {
            "check": 0, "show": 0, "render": 0, "install": ends,
        }, scene.said[f"install {number}: standard error"]  # fmt: skip
        for path in planting.canaries:
            assert path in scene.said[f"show {number}: standard output"]
        assert list((scene.root / f"run-{number}").iterdir())
        assert list((scene.root / f"bundle-{number}").iterdir())
        planted |= secrets_of(planting)
    assert scene.leaks(planted) == []
    assert read >= {
        "ssh.passphrase", "ssh.become_password", "vault.passphrase", "tls.key_passphrase",
        "registry.password",
        f"tls.acme.credentials.{LISTED}", "vault.secret_id", "vault.token",
    }  # fmt: skip


def test_the_filter_of_texts_is_not_the_only_defence(
    scene: Scene,
    plantings: tuple[Planting, ...],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """SE-25: with the filter switched off there is still nothing to find."""
    monkeypatch.setattr(Redactor, "redact", lambda _, text: text)
    planting = plantings[0]
    run_commands(scene, plant(scene, planting, "env", monkeypatch), capfd)
    assert scene.leaks(secrets_of(planting)) == []


def test_a_value_that_is_refused_is_not_shown(
    scene: Scene,
    plantings: tuple[Planting, ...],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """SE-24: the refusal names the field and never the value."""
    for number, planting in enumerate(plantings):
        answers = plant(scene, planting, "env", monkeypatch)
        for name in [name for name in os.environ if name.startswith("CANARY_")]:
            monkeypatch.setenv(name, f"{os.environ[name]}\a")
        statuses = run_commands(scene, answers, capfd, number)
        assert statuses["install"] in (ExitCode.ANSWERS_INVALID, ExitCode.TLS)
        refusal = scene.said[f"install {number}: standard error"]
        assert any(secret.path in refusal for secret in planting.fields), refusal
        assert scene.leaks(secrets_of(planting)) == []


def test_a_leak_is_found_wherever_it_is(
    scene: Scene,
    plantings: tuple[Planting, ...],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """SE-28: the same search sees a product that says or writes what it read."""

    def leaking(reference: SecretRef, where: str, **how: Any) -> Secret:
        value = resolve_secret(reference, where, **how)
        print(f"read {where}: {value.reveal()}")
        (scene.root / "home" / ".sh_history").write_bytes(value.reveal().encode().hex().encode())
        return value

    monkeypatch.setattr(secret_reader, "resolve_secret", leaking)
    planting = plantings[0]
    run_commands(scene, plant(scene, planting, "env", monkeypatch), capfd)
    leaks = scene.leaks(secrets_of(planting))
    assert any("(value) in install 0: standard output" in leak for leak in leaks)
    assert any("(hex) in" in leak and ".sh_history" in leak for leak in leaks)
