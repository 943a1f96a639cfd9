"""The runbook: what it says of each flavor, that its commands are real, that it holds no secret.

`python -m tests.output.test_runbook` accepts the texts as they are; review the diff.
"""

import re
import shlex
from pathlib import Path
from tempfile import TemporaryDirectory

import jinja2
import pytest
import yaml

from installer.cli import make_parser
from installer.commands import _finish
from installer.core.errors import ExitCode, StackError
from installer.core.redaction import Redactor, find_secrets
from installer.core.report import build
from installer.core.secrets import Secret, share_fingerprint
from installer.output.runbook import format_runbook
from installer.ports import HandedShare, RoleKey
from installer.stacks import load_stacks, load_templates
from installer.workspace import Workspace
from tests.golden.render import draw_up, write_lock

PROFILES = Path(__file__).parent.parent / "golden" / "profiles"
EXPECTED = Path(__file__).parent / "expected"
BUNDLED = ("core_services_only", "medium_acme_behind_balancer")
SHARES = tuple(Secret(f"canary-of-share-{number}-3f9ab2c4d5e6f708") for number in range(5))
ENDINGS = ("age", "age", "asc", "age", "age")


def load_environment():
    stacks = load_stacks()
    return load_templates(stacks.root, stacks.catalog).environment


@pytest.fixture(scope="module")
def environment():
    return load_environment()


@pytest.fixture(scope="module")
def draw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    lock = write_lock(folder / "images.lock.yaml")

    def make(profile, waivers=(), **vault):
        answers = yaml.safe_load((PROFILES / f"{profile}.yaml").read_text())
        answers["vault"] = {**answers.get("vault", {}), **vault}
        answers.setdefault("waivers", {}).update(dict.fromkeys(waivers, "a test"))
        (folder / "answers.yaml").write_text(yaml.safe_dump(answers))
        return draw_up(folder / "answers.yaml", lock).plan

    return make


def handed(plan, endings=ENDINGS):
    """Shares as custody hands them over."""
    names = list(plan.answers.vault.custodians) or ["plain"] * plan.answers.vault.key_shares
    return tuple(
        HandedShare(at + 1, name, f"key-of-{name}", f"/runs/custody/{at + 1}-{name}.{endings[at]}",
                    share_fingerprint(SHARES[at]))
        for at, name in enumerate(names)
    )  # fmt: skip


def write(plan, environment, shares=None, run_dir="/home/ops/the runs"):
    return format_runbook(plan, handed(plan) if shares is None else shares, run_dir, environment)


def commands_of(text):
    """What a reader copies: lines of fenced blocks, and code inside sentences."""
    fenced = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```sh\n.*?^```$", "", text, flags=re.M | re.S))
    return [*(line for block in fenced for line in block.splitlines()), *inline]


@pytest.mark.parametrize("profile", BUNDLED)
def test_the_runbook_is_the_reviewed_one(draw, environment, profile):
    text = write(draw(profile), environment)
    expected = EXPECTED / f"runbook-{profile}.md"
    assert text == expected.read_text()
    assert text == write(draw(profile), environment)


@pytest.mark.parametrize("threshold", [3, 4])
@pytest.mark.parametrize("run_dir", ["/runs/devplat", "/home/o'neil/runs; rm -rf /"])
def test_every_command_of_ours_is_one_that_the_command_line_takes(
    draw, environment, threshold, run_dir
):
    plan = draw("medium_acme_behind_balancer", key_threshold=threshold)
    text = write(plan, environment, run_dir=run_dir)
    ours = [c for c in commands_of(text) if re.match("devplat-install .*--", c)]
    parsed = [make_parser().parse_args(shlex.split(command)[1:]) for command in ours]
    assert {args.command for args in parsed} == {"apply", "unseal", "verify"}
    kept = [args for args in parsed if "NEW-DIRECTORY" not in args.run_dir]
    assert {args.run_dir for args in kept} == {run_dir}
    assert {args.answers for args in kept} == {f"{run_dir}/answers.yaml"}
    by_reference = next(args for args in parsed if args.unattended)
    assert by_reference.settings[0].count("file:/run/keys/share-") == threshold
    with pytest.raises(Exception, match="unrecognized"):
        make_parser().parse_args(["unseal", "--no-such-flag"])


def test_the_shares_are_named_by_fingerprint_and_none_is_shown(draw, environment):
    """SE-18: the runbook has fingerprints only."""
    plan = draw("medium_acme_behind_balancer")
    text = write(plan, environment)
    values = {f"share {n}": share for n, share in enumerate(SHARES)}
    assert [str(hit) for hit in find_secrets(text.encode(), values)] == []
    assert find_secrets(text.encode() + SHARES[2].reveal().encode(), values)
    for share in handed(plan):
        assert f"| {share.number} | {share.custodian} | `{share.recipient}` |" in text
        assert share.fingerprint in text and share.place in text
    assert "age --decrypt" in text and "gpg --decrypt" in text


def test_no_secret_is_ever_an_argument_of_a_command(draw, environment):
    """SE-07: commands to copy hold no secret; one that needs a secret asks for it or reads it."""
    for profile in BUNDLED:
        for command in commands_of(write(draw(profile), environment)):
            assert not re.search(r"VAULT_TOKEN=[^$ ]| --?token[= ]|-otp=[^\"]|key=[^-]\S", command)
    assert re.search(r"VAULT_TOKEN=[^$ ]", "VAULT_TOKEN=s.abc vault token lookup")


def test_plain_shares_are_told_to_be_in_clear(draw, environment):
    plan = draw("medium_acme_behind_balancer", ("vault.plain_shares",), custodians={})
    text = write(plan, environment, handed(plan, ("txt",) * 5))
    assert "in clear" in text and "age --decrypt" not in text


def test_a_run_directory_that_handed_nothing_over_says_where_to_look(draw, environment):
    text = write(draw("core_services_only"), environment, ())
    assert "Not known in this run directory" in text and "| share |" not in text


@pytest.mark.parametrize(
    ("seal", "there"),
    [
        (
            {"seal": "transit", "seal_address": "https://kms.company.com:8200",
             "seal_token": "env:T", "seal_key": "unseal"},
            "VAULT_TOKEN=$(cat /openbao/seal/token) exec vault server",
        ),
        (
            {"seal": "awskms", "seal_region": "eu-west-1", "flavor": "vault",
             "seal_key": "alias/unseal"},
            "exec vault server",
        ),
    ],
)  # fmt: skip
def test_a_server_that_a_key_service_opens_has_recovery_shares(draw, environment, seal, there):
    plan = draw("medium_acme_behind_balancer", ("vault.auto_unseal",), **seal)
    text = write(plan, environment)
    assert there in text
    assert "-target=recovery" in text and "-recovery-shares=1" in text
    assert "vault operator unseal" not in text


def test_a_template_at_fault_is_a_defect_of_the_stack(draw):
    broken = jinja2.Environment(
        loader=jinja2.DictLoader({"vault/runbook.md.j2": "{{ nothing_of_the_kind }}"}),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown
    )
    with pytest.raises(StackError) as caught:
        format_runbook(draw("core_services_only"), (), "/runs", broken)
    assert "vault/runbook.md.j2" in caught.value.problems[0].summary


class Told:
    """An invocation that was run, as far as its end is concerned."""

    def __init__(self, plan, root):
        self.workspace = Workspace(root, "run-1")
        self.workspace.prepare()
        self.job = type("Job", (), {"plan": plan})
        self.redactor = Redactor()
        self.lines = []

    def tell(self, lines):
        self.lines += lines


class Keys:
    """A custody with or without a login of ours."""

    def __init__(self, shares, is_set_up=True):
        self.handed_over = lambda: shares
        self.access = lambda: RoleKey("role", Secret("id")) if is_set_up else None


def report():
    facts = {"deployment": "devplat", "target": "192.0.2.10", "release": "x"}
    return build(facts=facts, exit_code=ExitCode.OK, steps=(), checks=(), problems=(), images={},
                 notes=())  # fmt: skip


@pytest.mark.parametrize("is_set_up", [True, False])
def test_a_run_ends_with_the_place_of_the_runbook_once_the_server_is_set_up(
    draw, tmp_path, is_set_up
):
    plan = draw("core_services_only")
    told = Told(plan, tmp_path / "run")
    server = type("Server", (), {"custody": Keys(handed(plan), is_set_up)})
    assert _finish(told, report(), server) is ExitCode.OK
    path = tmp_path / "run" / "runbook.md"
    assert path.exists() == is_set_up
    assert (f"runbook     {path}" in told.lines) == is_set_up
    if is_set_up:
        assert path.stat().st_mode & 0o777 == 0o600
        assert f"--run-dir {tmp_path / 'run'}" in path.read_text()


def test_a_platform_without_a_server_of_its_own_has_no_runbook(draw, tmp_path):
    told = Told(draw("core_services_only"), tmp_path / "run")
    _finish(told, report(), None)
    assert not (tmp_path / "run" / "runbook.md").exists()
    assert not any("runbook" in line for line in told.lines)


def main():
    """Write the expected texts."""
    with TemporaryDirectory() as folder:
        lock = write_lock(Path(folder, "images.lock.yaml"))
        for profile in BUNDLED:
            plan = draw_up(PROFILES / f"{profile}.yaml", lock).plan
            (EXPECTED / f"runbook-{profile}.md").write_text(write(plan, load_environment()))


if __name__ == "__main__":
    main()
