"""The command line of secrets: what `answers show --vault-policy` prints, and what is parsed."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import yaml

from installer import reading
from installer.cli import main, make_parser
from installer.core import draft
from installer.core.errors import AnswersError, UsageError
from installer.stacks import load_stacks

BARE = {
    "version": 1,
    "domain": {"base": "company.com"},
    "ssh": {"host": "192.0.2.1", "user": "ops"},
    "admin": {"email": "ops@company.com"},
}
AGE = "age189wkvqdpjx6fqt433urhr99x88tns3ss7nt9ycezkgz24t25gycsgfjgwh"
BUNDLED = {"key_shares": 1, "custodians": {"anna": AGE}}


@pytest.fixture
def answers(tmp_path):
    def write(vault, **waivers):
        path = tmp_path / "answers.yaml"
        path.write_text(yaml.safe_dump({**BARE, "vault": vault, "waivers": waivers}))
        return str(path)

    return write


def show(path, capsys):
    status = main(["answers", "show", "--answers", path, "--vault-policy"])
    return status, capsys.readouterr().out


def test_the_policy_of_an_external_store_is_printed_alone(answers, capsys):
    vault = {"mode": "external", "addr": "https://vault.company.com", "token": "env:NOT_SET"}
    status, out = show(answers({**vault, "mount": "team/kv", "prefix": "platform/prod"}), capsys)
    assert status == 0
    assert 'path "team/kv/data/platform/prod/*" {' in out
    assert "auth/token/revoke-self" in out
    assert "domain.base" not in out


def test_the_policy_of_aws_is_a_document_of_iam(answers, capsys):
    status, out = show(answers({"mode": "aws-secrets-manager", "region": "eu-west-1"}), capsys)
    assert status == 0
    assert json.loads(out)["Statement"][0]["Resource"].endswith(":secret:devplat/devplat/*")


def test_other_stores_need_no_grant(answers, capsys):
    status, out = show(answers({"mode": "embedded"}), capsys)
    assert (status, out.count("\n"), "nothing to grant" in out) == (0, 1, True)


def test_without_the_flag_the_values_are_shown(answers, capsys):
    assert main(["answers", "show", "--answers", answers({"mode": "embedded"})]) == 0
    assert "vault.mode = embedded  (file)" in capsys.readouterr().out


def test_answers_that_are_not_acceptable_have_no_policy(answers, capsys):
    path = answers({"mode": "external", "addr": "http://vault.company.com:8200"})
    assert main(["answers", "show", "--answers", path, "--vault-policy"]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "code: vault.addr.plain" in captured.err


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["unseal"], {"command": "unseal", "yes": False, "take_over": False}),
        (["unseal", "--take-over", "--answers", "a"], {"take_over": True, "answers": "a"}),
        (["rotate", "app-db"], {"names": ["app-db"], "all": False, "yes": False}),
        (["rotate", "app-db", "app-key", "--yes"], {"names": ["app-db", "app-key"], "yes": True}),
        (["rotate", "--all", "--take-over"], {"names": [], "all": True, "take_over": True}),
        (["--yes", "rotate", "--all"], {"all": True, "yes": True}),
        (["rotate"], {"names": [], "all": False}),
    ],
)
def test_commands_of_secrets_take_the_shared_flags(argv, expected):
    args = vars(make_parser().parse_args(argv))
    assert {key: args[key] for key in expected} == expected


def test_all_secrets_and_some_of_them_is_a_contradiction():
    with pytest.raises(UsageError):
        make_parser().parse_args(["rotate", "app-db", "--all"])


# who is there to type a share back


def judge(path, command, *, terminal, monkeypatch, unattended=False):
    monkeypatch.setattr(sys, "stdin", Namespace(isatty=lambda: terminal))
    given = {"answers": path, "settings": (), "draft": None, "ask_socket": None}
    args = Namespace(**given, command=command, unattended=unattended)
    catalog = load_stacks().catalog
    try:
        reading.validate(args, reading.read_draft(args), catalog)
    except AnswersError as error:
        return [problem.code for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("command", "terminal", "unattended", "codes"),
    [
        ("apply", True, False, []),
        ("apply", True, True, ["vault.possession_unproven"]),
        ("apply", False, False, ["vault.possession_unproven"]),
        (None, False, True, ["vault.possession_unproven"]),
        ("plan", False, False, ["vault.possession_unproven"]),
        ("answers", False, False, ["vault.possession_unproven"]),
        ("answers", True, False, []),
        ("verify", False, True, []),
        ("status", False, False, []),
        ("rotate", False, True, []),
        ("unseal", False, True, []),
    ],
)
def test_possession_is_a_decision_where_an_installation_is_unattended(
    answers, monkeypatch, command, terminal, unattended, codes
):
    path = answers(BUNDLED, **{"vault.single_share": "a test"})
    found = judge(path, command, terminal=terminal, monkeypatch=monkeypatch, unattended=unattended)
    assert found == codes


def test_a_check_at_a_terminal_says_what_will_be_asked(answers, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Namespace(isatty=lambda: True))
    path = answers(BUNDLED, **{"vault.single_share": "a test"})
    assert main(["answers", "check", "--answers", path]) == 0
    captured = capsys.readouterr()
    assert "note: vault.mode: a custodian is asked" in captured.err
    assert "warning: vault.key_shares" in captured.err


def test_the_drafts_own_door_takes_nobody_to_be_there(answers):
    path = answers(BUNDLED, **{"vault.single_share": "a test"})
    data = Path(path).read_bytes()
    with pytest.raises(AnswersError):
        draft.validate(draft.from_file(data, path, 0o600), load_stacks().catalog)
