"""The stand-in for authentik with the blueprints that the product renders, applied."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from installer.core.bundle import Bundle
from installer.core.plan import Plan
from installer.core.rendering import render
from installer.stacks import load_templates
from tests.stacks.builders import ROOT, load, make, make_plan_for

sys.path.insert(0, str(ROOT / "tests" / "standins"))
sys.path.insert(0, str(ROOT / "tests" / "standin_tests"))

import authentik
from authentik_blueprint import Blueprints
from authentik_store import Store
from authentik_totp import totp_code
from standin import App, Postgres, Request

PASSWORD = "correct-horse-battery-staple"


def bundle_with(**more: Any) -> tuple[Plan, Bundle]:
    """Plan and bundle of the answers of the tests with more."""
    if not more:
        return make("everything")
    catalog = load()
    plan = make_plan_for(catalog, "everything", more)
    return plan, render(plan, load_templates(ROOT, catalog))


def blueprints_of(bundle: Bundle) -> dict[str, str]:
    """File name → text of every blueprint."""
    prefix = "authentik-worker/blueprints/"
    return {
        path.removeprefix(prefix): file.data.decode()
        for path, file in bundle.files.items()
        if path.startswith(prefix)
    }


def write_blueprints(bundle: Bundle, folder: Path) -> Path:
    """The blueprints below `folder/devplat`, with secrets in `folder`; gives the folder."""
    (folder / "devplat").mkdir(parents=True)
    for name, text in blueprints_of(bundle).items():
        for word in text.split():
            if word.startswith("/run/secrets/"):
                secret = PASSWORD if word.endswith("admin_password") else "s-" + word.split("_")[-1]
                (folder / Path(word).name).write_text(secret)
        (folder / "devplat" / name).write_text(text.replace("/run/secrets/", f"{folder}/"))
    return folder


class Browser:
    """Somebody with a browser: cookies are kept, flows are walked."""

    def __init__(self, app: App, clock: Callable[[], float]) -> None:
        self.app = app
        self.clock = clock
        self.cookie = ""

    def ask(self, method: str, url: str, body: bytes = b"", **headers: str) -> Any:
        path, _, query = url.partition("?")
        import urllib.parse

        pairs = dict(urllib.parse.parse_qsl(query))
        lower = {name.lower().replace("_", "-"): value for name, value in headers.items()}
        given = {
            "cookie": self.cookie,
            "x-forwarded-proto": "https",
            "x-forwarded-host": "auth.company.com",
        }
        answer = self.app.answer(Request(method, path, pairs, {**given, **lower}, body))
        if "Set-Cookie" in answer.headers:
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        return answer

    def step(self, slug: str = "default-authentication-flow", **fields: Any) -> Any:
        import json

        method = "POST" if fields else "GET"
        body = json.dumps(fields).encode() if fields else b""
        return self.ask(method, f"/api/v3/flows/executor/{slug}/", body).body

    def password(self, user: str = "platform-admin", password: str = PASSWORD) -> Any:
        """Identification and password; gives what comes then."""
        self.step()
        self.step(uid_field=user)
        return self.step(password=password)

    def enrol(self, challenge: Any) -> str:
        """Choose TOTP, enrol it, take the recovery codes; gives the key."""
        if "configuration_stages" in challenge:
            chosen = next(c for c in challenge["configuration_stages"] if c["kind"] == "totp")
            challenge = self.step(selected_stage=chosen["pk"])
        key = str(challenge["config_url"].partition("secret=")[2])
        codes = self.step(code=totp_code(key, self.clock()))
        if "codes" in codes:
            self.codes = codes["codes"]
            self.step(kept=True)
        return key

    def is_in(self) -> bool:
        """Whether the provider of identities takes the session for a login."""
        client = "client_id=coder&response_type=code&state=s&scope=openid"
        to = "&redirect_uri=https://coder.company.com/api/v2/users/oidc/callback"
        answer = self.ask("GET", f"/application/o/authorize/?{client}{to}")
        return "code=" in str(answer.headers.get("Location"))


class World:
    """A stand-in with blueprints applied; `now` is its clock. What was applied is remembered."""

    applied: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, database: Postgres, folder: Path, bundle: Bundle) -> None:
        self.now = 1_800_000_000.0
        self.store: Store = authentik.migrate(database, {"bootstrap_password": "random"})
        self.blueprints = Blueprints(self.store, write_blueprints(bundle, folder))
        if bundle.release not in self.applied:
            self.blueprints.apply_all()
            self.applied[bundle.release] = self.store.read()
        for body in self.store.read().values():
            self.store.delete(body["pk"])
        for body in self.applied[bundle.release].values():
            self.store.write(body)
        self.app = authentik.make_app(database, {"reputation.expiry": "900"}, lambda: self.now)

    def browser(self) -> Browser:
        return Browser(self.app, lambda: self.now)

    def status(self) -> dict[str, str]:
        found = self.store.find("authentik_blueprints.blueprintinstance")
        return {str(i["path"]): str(i["status"]) for i in found}

    def change(self, model: str, where: dict[str, Any], **values: Any) -> None:
        """A defect, seeded into the running server."""
        body = self.store.first(model, **where)
        assert body is not None, where
        self.store.write({**body, **values})

    def pk(self, model: str, **where: Any) -> str:
        body = self.store.first(model, **where)
        assert body is not None, where
        return str(body["pk"])


@pytest.fixture
def database() -> Iterator[Postgres]:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("standin_conftest", ROOT / "tests/standin_tests/conftest.py")
    assert spec and spec.loader
    module: types.ModuleType = module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.Database()
    yield Postgres(lambda: made, (ConnectionError,))
    made.connection.close()


@pytest.fixture
def make_world(database: Postgres, tmp_path: Path) -> Callable[..., World]:
    """A world for some answers."""

    def build(**more: Any) -> World:
        return World(database, tmp_path / "blueprints", bundle_with(**more)[1])

    return build


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()
