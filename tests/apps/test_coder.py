"""The programs that make Coder's first owner and push its template, against a served stand-in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import coder
import coder_templates
import pytest
import standin

STANDINS = Path(coder.__file__).parent
PASSWORD = 'kite "and\\ barrel 97'


class Bench:
    """A served Coder, and the rendered programs with the paths of this machine."""

    def __init__(self, folder: Path, users: coder.Users, make_bundle: Callable) -> None:
        self.folder, self.users, self.make_bundle = folder, users, make_bundle
        self.server = standin.serve(
            coder.make_app({"CODER_ACCESS_URL": "https://coder.company.com"}, users), "127.0.0.1:0"
        )
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.render()

    def render(self, **answers: object) -> None:
        _, bundle = self.make_bundle(**answers)
        shutil.rmtree(self.folder / "coder", ignore_errors=True)
        for path, file in bundle.files.items():
            if path.startswith("coder/"):
                target = self.folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                text = file.data.decode()
                text = text.replace("http://127.0.0.1:7080", self.url)
                text = text.replace("/opt/devplat/templates", str(self.folder / "coder/templates"))
                text = text.replace("/tmp/owner", str(self.folder / "owner"))
                text = text.replace("/opt/coder", str(self.folder / "cli"))
                target.write_text(text)
        cli = self.folder / "cli"
        cli.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(STANDINS)!r})\n"
            "import coder\nsys.exit(coder.main(sys.argv))\n"
        )
        cli.chmod(0o755)

    def run(
        self, program: str, *words: str, password: str = PASSWORD
    ) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["/bin/sh", self.folder / "coder" / program, *words],
            input=f"{password}\n", capture_output=True, text=True, check=False,
            env={"PATH": os.environ["PATH"]},
        )  # fmt: skip

    def sessions(self) -> int:
        return self.users.query("SELECT count(*) FROM users WHERE token IS NOT NULL")[0][0]

    def active(self) -> str | None:
        return coder_templates.Templates(self.users.query).active("production")


@pytest.fixture
def bench(tmp_path, database, make_bundle) -> Iterator[Bench]:
    made = Bench(tmp_path, coder.Users(database), make_bundle)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_the_first_owner_is_made_once_whatever_the_password_has_in_it(bench):
    """SE-14: the setup page has nothing left to do."""
    assert bench.run("owner.sh", "check").returncode != 0
    made = bench.run("owner.sh")
    assert (made.returncode, made.stderr) == (0, "")
    assert bench.users.login("coder-emergency@company.com", PASSWORD)
    assert not bench.users.login("admin@company.com", PASSWORD), "free for single sign-on"
    assert bench.run("owner.sh", "check").returncode == 0
    again = bench.run("owner.sh")
    assert again.returncode == 1
    assert "already been created" in again.stderr


def test_the_page_for_the_first_owner_is_closed_at_the_edge(make_bundle):
    """SE-14: nobody can be quicker than the installer."""
    plan, bundle = make_bundle()
    (route,) = [route for route in plan.routes if route.service == "coder"]
    assert "/setup" in route.deny
    text = bundle.files["traefik/dynamic/routes.yml"].data.decode()
    (rule,) = [line for line in text.splitlines() if "/api/v2/users/first" in line]
    assert "!Method(`GET`) && !Method(`HEAD`)" in rule
    assert "Host(`coder.company.com`)" in rule


def test_the_template_is_pushed_once_and_again_when_it_changes(bench):
    bench.run("owner.sh")
    assert bench.run("template.sh", "check").returncode == 1
    pushed = bench.run("template.sh")
    assert (pushed.returncode, pushed.stderr) == (0, "")
    assert bench.run("template.sh", "check").returncode == 0
    first = bench.active()
    assert first
    assert bench.sessions() == 0, "the token is removed"

    bench.render(workspaces={"image": "docker.io/codercom/enterprise-base@sha256:" + "2" * 64})
    assert bench.run("template.sh", "check").returncode == 1
    assert bench.run("template.sh").returncode == 0
    assert bench.run("template.sh", "check").returncode == 0
    assert bench.active() != first
    assert bench.sessions() == 0


def test_a_version_that_is_there_is_made_active_again(bench):
    bench.run("owner.sh")
    bench.run("template.sh")
    templates = coder_templates.Templates(bench.users.query)
    first = templates.active("production")
    bench.users.query("INSERT INTO template_versions VALUES ('production', 'other', 0)")
    templates.activate("production", "other")
    assert bench.run("template.sh", "check").returncode == 1
    assert bench.run("template.sh").returncode == 0
    assert bench.active() == first


def test_a_changed_password_is_told_with_the_way_out(bench):
    bench.run("owner.sh")
    refused = bench.run("template.sh", password="something else entirely")
    assert refused.returncode == 1
    assert "admin.password" in refused.stderr
    assert "workspaces.template" in refused.stderr
    assert "something else" not in refused.stderr


@pytest.mark.parametrize("workspaces", [{}, {"template": False}])
def test_without_an_image_or_by_answer_no_template_is_pushed(bench, workspaces):
    bench.render(workspaces=workspaces)
    bench.run("owner.sh")
    assert bench.run("template.sh", "check").returncode == 0
    assert bench.active() is None


def template(make_bundle, **answers) -> dict[str, str]:
    _, bundle = make_bundle(**answers)
    folder = "coder/templates/production/"
    return {
        path.removeprefix(folder): file.data.decode()
        for path, file in bundle.files.items()
        if path.startswith(folder)
    }


def test_the_template_is_what_the_providers_take(make_bundle):
    """Guide 6.2 with the units and names of the providers."""
    files = template(make_bundle)
    coder_templates.check_template(files)
    root = coder_templates.parse(files["main.tf"])
    agent = next(b for b in root.all("resource") if b.labels[0] == "coder_agent")
    (apps,) = agent.all("display_apps")
    assert {name for name, value in apps.arguments.items() if value == "true"} == {"web_terminal"}
    (container,) = [b for b in root.all("resource") if b.labels[0] == "docker_container"]
    assert container.arguments["memory"] == container.arguments["memory_swap"]
    assert "docker.sock" not in files["main.tf"]
    assert {b.labels for b in container.all("labels")} == {()}


def test_the_template_has_the_limits_of_the_answers(make_bundle):
    proxies = {"https_proxy": "http://proxy.company.com:3128", "no_proxy": ["10.0.0.0/8"]}
    files = template(
        make_bundle,
        workspaces={"image": "registry.company.com/dev@sha256:" + "3" * 64, "max_memory_gb": 24},
        network=proxies,
    )
    variables = {
        b.labels[0]: b.arguments["default"]
        for b in coder_templates.parse(files["variables.tf"]).all("variable")
    }
    assert variables["max_memory_gb"] == "24"
    assert variables["image"] == f'"registry.company.com/dev@sha256:{"3" * 64}"'
    assert "HTTPS_PROXY=http://proxy.company.com:3128" in variables["environment"]
    assert "10.0.0.0/8" in variables["environment"]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("memory_gb.value * 1024\n", "memory_gb.value * 1024 * 1024 * 1024\n", "is in MB"),
        ("  cpus        = tostring", "  cpu_shares  = tostring", "cpu_shares limit nothing"),
        ("nosuid,nodev,exec", "nosuid,nodev", "noexec"),
        ('["ALL"]', "[]", "not dropped"),
        ("read_only     = true", "read_only     = false", "writable"),
        ('"no-new-privileges:true"', "", "no-new-privileges"),
        ("init          = true", "pids_limit    = 100", "pids_limit"),
        ("vscode_insiders", "vscode_nightly", "vscode_nightly"),
        ("var.arch", "var.architecture", "architecture"),
        ("docker_network.workspace.name", "docker_network.other.name", "docker_network.other"),
        ('resource "docker_volume" "home" {', 'resource "docker_volume" "home" {{', "unexpected"),
    ],
)
def test_a_template_that_would_not_limit_or_not_build_is_refused(make_bundle, old, new, found):
    files = template(make_bundle)
    assert old in files["main.tf"]
    files["main.tf"] = files["main.tf"].replace(old, new)
    with pytest.raises(standin.Refused, match=found):
        coder_templates.check_template(files)
