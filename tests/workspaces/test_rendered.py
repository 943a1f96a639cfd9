"""What is rendered for workspaces on hosts of their own; nothing is left of the other way."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import coder_templates
import pytest
import standin

from installer.auditing import audit_bundle
from installer.core.bundle import Bundle
from installer.core.events import Outcome
from installer.core.unmet import find_unmet
from installer.stacks import load_stacks
from tests.workspaces.conftest import HOSTS, IMAGE, SEPARATE, Render
from tests.workspaces.lab import Authority, serve_engine

FOLDER = "coder/templates/production/"


def template(bundle: Bundle) -> dict[str, str]:
    return {
        path.removeprefix(FOLDER): file.data.decode()
        for path, file in bundle.files.items()
        if path.startswith(FOLDER)
    }


def coder_of(bundle: Bundle) -> dict[str, Any]:
    found: dict[str, Any] = bundle.document["services"]["coder"]
    return found


def test_the_platforms_host_runs_no_workspace_and_lends_its_engine_to_none(
    make_bundle: Render,
) -> None:
    plan, bundle = make_bundle()
    assert "socket-proxy-coder" not in plan.services
    assert not [name for name in bundle.document["networks"] if "socket-proxy-coder" in name]
    environment = coder_of(bundle)["environment"]
    assert environment["DOCKER_HOST"] == HOSTS[0]
    assert environment["DOCKER_TLS_VERIFY"] == "1"
    assert "socket-proxy-coder" not in str(bundle.document)
    stacks = load_stacks()
    failed = [r for r in audit_bundle(plan, bundle, stacks) if r.outcome is Outcome.FAIL]
    assert failed == []
    assert {check.id for check in plan.manifest("coder").checks} >= {"coder-workspace-hosts"}
    assert "coder-engine" not in {check.id for check in plan.manifest("coder").checks}
    titles = [result.title for result in find_unmet(plan)]
    assert not [title for title in titles if "workspaces on hosts of their own" in title]


def test_on_the_same_host_everything_is_as_it_was(make_bundle: Render) -> None:
    plan, bundle = make_bundle({"image": IMAGE})
    assert "socket-proxy-coder" in plan.services
    assert "coder/engines.sh" not in bundle.files
    assert coder_of(bundle)["environment"]["DOCKER_HOST"] == "tcp://socket-proxy-coder:2375"
    assert "DOCKER_CERT_PATH" not in coder_of(bundle)["environment"]
    assert not [file for file in plan.manifest("coder").secret_files if "engine" in file]
    files = template(bundle)
    assert "cert_path" not in files["main.tf"]
    checks = {check.id for check in plan.manifest("coder").checks}
    assert "coder-engine" in checks
    assert "coder-workspace-hosts" not in checks
    assert [r for r in find_unmet(plan) if "workspaces on hosts of their own" in r.title]


def test_the_clients_files_are_secrets_and_no_part_of_the_template_or_the_bundle(
    make_bundle: Render,
) -> None:
    plan, bundle = make_bundle()
    files = plan.manifest("coder").secret_files
    assert {"engine_ca.pem", "engine_cert.pem", "engine_key.pem"} <= files.keys()
    assert plan.manifest("coder").user == "1000:1000"
    given = {spec.name: spec.answer for spec in plan.secrets if spec.answer}
    assert given["workspace-engine-key"] == "workspaces.key"
    text = "\n".join(file.data.decode(errors="replace") for file in bundle.files.values())
    assert "/secure/ws" not in text
    assert "kv/workspaces" not in text
    sources = "\n".join(template(bundle).values())
    assert "key_material" not in sources
    assert "PRIVATE KEY" not in sources
    # the engines' authority vouches for engines, and not for the identity provider
    assert coder_of(bundle)["environment"]["SSL_CERT_DIR"] == "/tmp/roots"


def test_the_template_is_what_the_providers_take_and_asks_for_the_host(make_bundle: Render) -> None:
    files = template(make_bundle()[1])
    coder_templates.check_template(files)
    root = coder_templates.parse(files["main.tf"])
    (provider,) = [b for b in root.all("provider") if b.labels == ("docker",)]
    assert provider.arguments["cert_path"] == '"/tmp/engine"'
    assert provider.arguments["host"] == "data.coder_parameter.workspace_host.value"
    (asked,) = [b for b in root.all("data") if b.labels == ("coder_parameter", "workspace_host")]
    assert asked.arguments["mutable"] == "false"
    assert '"ws2.company.com:2377" = "tcp://ws2.company.com:2377"' in files["variables.tf"]
    for block in root.all("resource"):
        if block.labels[0] in ("docker_container", "docker_volume", "docker_network"):
            labels = {b.arguments["label"]: b.arguments["value"] for b in block.all("labels")}
            assert labels['"devplat.role"'] == '"workspace"'
            assert labels['"devplat.deployment"'] == "var.deployment"


def test_with_one_host_nobody_is_asked(make_bundle: Render) -> None:
    _, bundle = make_bundle({**SEPARATE, "hosts": [HOSTS[0]]})
    files = template(bundle)
    coder_templates.check_template(files)
    assert "workspace_host" not in files["main.tf"]
    assert "host      = var.docker_host" in files["main.tf"]


@pytest.mark.parametrize(
    ("old", "new"),
    [('cert_path = "/tmp', 'certs_path = "/tmp'), ("mutable      = false", "immutable = true")],
)
def test_a_name_that_the_providers_do_not_know_is_refused(
    make_bundle: Render, old: str, new: str
) -> None:
    files = template(make_bundle()[1])
    assert old in files["main.tf"]
    files["main.tf"] = files["main.tf"].replace(old, new)
    with pytest.raises(standin.Refused):
        coder_templates.check_template(files)


def test_the_companys_proxy_is_not_between_coder_and_the_engines(make_bundle: Render) -> None:
    """Go's clients of engines go by NO_PROXY, ports included (golang.org/x/net/http/httpproxy)."""
    _, bundle = make_bundle(network={"https_proxy": "http://proxy.company.com:3128"})
    direct = coder_of(bundle)["environment"]["NO_PROXY"].split(",")
    assert {"ws1.company.com:2376", "ws2.company.com:2377"} <= set(direct)


class Container:
    """Coder's programs with the paths of this machine: secrets, links, and what they see."""

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self.folder = folder
        (folder / "secrets").mkdir()
        for name in ("with-secrets.sh", "engines.sh"):
            text = bundle.files[f"coder/{name}"].data.decode()
            text = text.replace("/tmp/", f"{folder}/")
            text = text.replace("/run/secrets", str(folder / "secrets"))
            (folder / name).write_text(text)

    def run(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", self.folder / name, *words],
            capture_output=True, text=True, check=False, timeout=20,
            env={"PATH": os.environ["PATH"], "https_proxy": "http://127.0.0.1:1"},
        )  # fmt: skip


OURS, OTHER = Authority(), Authority("others")
SERVER = OURS.issue("127.0.0.1")


@pytest.fixture
def ask(tmp_path: Path, make_bundle: Render) -> Any:
    """Runs the start of the container and then its check against an engine on loopback."""

    def asked(port: int, plain: int = 1) -> subprocess.CompletedProcess[str]:
        hosts = [f"tcp://192.0.2.77:{port}"]  # a loopback address is refused as an answer
        plan, bundle = make_bundle({**SEPARATE, "hosts": hosts})
        container = Container(tmp_path, bundle)
        client = OURS.issue()
        values = {"ca": OURS.pem, "cert": client.certificate, "key": client.key}
        for file in plan.manifest("coder").secret_files:
            which = file.removeprefix("engine_").removesuffix(".pem")
            (tmp_path / "secrets" / file).write_text(values.get(which, "x"))
        script = tmp_path / "engines.sh"
        text = script.read_text().replace("192.0.2.77", "127.0.0.1")
        script.write_text(text.replace(":2375/", f":{plain}/"))
        started = container.run("with-secrets.sh", "/bin/sh", "-c", "printenv | grep -c PRIVATE; :")
        assert started.stdout.strip() == "0", started
        return container.run("engines.sh")

    return asked


EXPECTED = "every engine answers to our certificate alone\n"


def test_coder_reaches_the_engines_as_the_provider_does(tmp_path: Path, ask: Any) -> None:
    with serve_engine(tmp_path, SERVER, OURS.pem) as port:
        done = ask(port)
    assert (done.returncode, done.stdout) == (0, EXPECTED), done.stderr


@pytest.mark.parametrize(
    ("server", "clients", "found"),
    [
        (SERVER, "", "answers to anybody, without a certificate"),
        (SERVER, OTHER.pem, "does not answer to our certificate"),
        (OTHER.issue("127.0.0.1"), OURS.pem, "does not answer to our certificate"),
        (OURS.issue("ws9.company.com"), OURS.pem, "does not answer to our certificate"),
        (None, "", "does not answer to our certificate"),
    ],
)
def test_an_engine_with_a_defect_fails_the_check_inside(
    tmp_path: Path, ask: Any, server: Any, clients: str, found: str
) -> None:
    with serve_engine(tmp_path, server, clients) as port:
        done = ask(port)
    assert done.returncode == 1
    assert found in done.stdout


def test_a_second_door_without_tls_fails_the_check_inside(tmp_path: Path, ask: Any) -> None:
    with serve_engine(tmp_path, SERVER, OURS.pem) as port, serve_engine(tmp_path, None) as plain:
        done = ask(port, plain)
    assert done.returncode == 1
    assert "on port 2375 without TLS" in done.stdout
