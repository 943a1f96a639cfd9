"""Layers, precedence, messages, and the files the product writes: dump, skeleton, schema."""

from __future__ import annotations

import subprocess
import sys
from itertools import permutations

import pytest

from installer.core import draft
from installer.core.answers import answers_model
from installer.core.answers_shape import read_form
from installer.core.draft import Source
from installer.core.errors import ExitCode, TlsError
from installer.core.fields import FieldError
from tests.answers import cases
from tests.answers.loading import CATALOG, load, problems_of, read, valid

# precedence


LAYERS = (
    valid(ssh={"host": "10.0.0.5", "port": 1}),
    draft.from_environment({"DEVPLAT_SSH__PORT": "2"}),
    draft.from_flags(["ssh.port=3"]),
    draft.Draft().set("ssh.port", 4),
)


@pytest.mark.parametrize("count", range(1, 5))
def test_the_strongest_source_wins_whatever_the_order_of_merging(count) -> None:
    for order in permutations(LAYERS[:count]):
        merged = draft.merge(*order)
        assert load(merged).ssh.port == count
        assert merged.source_of("ssh.port") is list(Source)[count]


def test_a_later_flag_wins_over_an_earlier_one() -> None:
    assert load(draft.merge(valid(), draft.from_flags(["ssh.port=3", "ssh.port=4"]))).ssh.port == 4


def test_show_names_value_and_source_of_every_answer() -> None:
    rows = {row.path: row for row in draft.show(draft.merge(*LAYERS), load(draft.merge(*LAYERS)))}
    assert (rows["ssh.port"].value, str(rows["ssh.port"].source)) == ("4", "typed")
    assert (rows["ssh.host"].value, str(rows["ssh.host"].source)) == ("10.0.0.5", "file")
    assert (rows["ssh.user"].value, str(rows["ssh.user"].source)) == ("root", "default")
    assert rows["domain.hosts.git"].value == "git.company.com"
    assert rows["admin.password"].value == "generate"


def test_deeper_levels_of_the_environment_reach_deeper_fields() -> None:
    environment = draft.from_environment(
        {
            "DEVPLAT_TLS__MODE": "acme",
            "DEVPLAT_TLS__ACME__EMAIL": "ops@company.com",
            "DEVPLAT_TLS__ACME__DNS_PROVIDER": "route53",
            "DEVPLAT_TLS__ACME__CREDENTIALS__AWS_ACCESS_KEY_ID": "env:AWS_ID",
            "DEVPLAT_LABELS__COM__COMPANY__TEAM": "tools",
            "DEVPLAT_TIMEZONE": "Europe/Berlin",
            "DEVPLAT_STORE_PASSPHRASE": "not an answer",
            "PATH": "/bin",
        }
    )
    answers = load(draft.merge(valid(), environment))
    assert answers.tls.acme.email == "ops@company.com"
    assert str(answers.tls.acme.credentials["AWS_ACCESS_KEY_ID"]) == "env:AWS_ID"
    assert answers.labels == {"com.company.team": "tools"}
    assert answers.timezone == "Europe/Berlin"


def test_lists_are_given_as_lists_or_with_commas() -> None:
    written = valid(network={"trusted_cidr": ["10.0.0.0/24", "10.0.1.0/24"]})
    typed = draft.merge(
        valid(), draft.from_flags(["network.trusted_cidr=10.0.0.0/24, 10.0.1.0/24"])
    )
    assert load(written).network.trusted_cidr == load(typed).network.trusted_cidr
    assert load(typed).network.trusted_cidr == ("10.0.0.0/24", "10.0.1.0/24")


@pytest.mark.parametrize(
    "labels",
    [
        "{com.company.team: tools}",
        "{com: {company: {team: tools}}}",
        "{com.company: {team: tools}}",
    ],
)
def test_labels_are_written_flat_or_nested(labels) -> None:
    assert load(read(cases.write(cases.VALID) + f"labels: {labels}\n")).labels == {
        "com.company.team": "tools"
    }


def test_a_label_written_twice_is_a_duplicate() -> None:
    text = cases.write(cases.VALID) + "labels: {a.b: x, a: {b: y}}\n"
    assert "file.duplicate_key" in problems_of(read(text))


# messages


@pytest.mark.parametrize(
    ("line", "where", "near"),
    [
        ("domian: {base: a.com}", "domian", "domain"),
        ("ssh: {host: 10.0.0.5, prot: 1}", "ssh.prot", "ssh.port"),
        ("base: company.com", "base", "domain.base"),
        ("target: {adress: all}", "target.adress", "target.address"),
        ("sizing: {codr_memory: 4G}", "sizing.codr_memory", "sizing.coder_memory"),
        ("acme: {email: a@company.com}", "acme", "tls.acme"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_one(line, where, near) -> None:
    kept = {k: v for k, v in cases.VALID.items() if not line.startswith(f"{k}:")}
    problem = problems_of(read(cases.write(kept) + line + "\n"))["file.unknown_key"]
    assert problem.where == where
    assert near in problem.remedy.summary


def test_a_key_of_another_alternative_names_the_choice_it_needs() -> None:
    problem = problems_of(valid(tls={"mode": "private-ca", "key_file": "k.pem"}))[
        "file.unknown_key"
    ]
    assert "tls.mode: files" in problem.remedy.summary


def test_a_mode_that_does_not_exist_is_refused_with_the_ones_that_do() -> None:
    problem = problems_of(valid(tls={"mode": "akme"}))["choice.unknown"]
    assert problem.where == "tls.mode"
    assert "acme" in problem.remedy.summary


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("version: 1\ndomain: company.com\n", "file.type", "2:9"),
        ("version: 1\nssh:\n  host: {a: b}\n", "file.type", "3:10"),
        ("version: 1\nssh:\n  host: [a]\n", "file.type", "3:9"),
        ("version: 1\ndomain:\n  base:\n", "file.null", "3:8"),
        ("version: 1\nssh: {port: ~}\n", "file.null", "2:13"),
        ("version: 1\nlabels: [a]\n", "file.type", "2:9"),
        ("version: 1\nlabels: {a: [b]}\n", "file.type", "2:13"),
        ("version: 1\nssh: {host: a, jump: [{a: b}]}\n", "file.type", "2:22"),
        ("version: 1\nssh:\n\thost: a\n", "file.tab", "3:1"),
        ("version: 1\nssh: {a:\tb}\n", "file.tab", "2:9"),
        ("version: 1\nssh: {host: 'a}\n", "file.syntax", "3:1"),
        ("version: 1\n? [a, b]\n: 1\n", "file.key", "2:3"),
        ("version: 1\nx: !!str y\n", "file.tag", "2:4"),
        ("%TAG ! tag:evil.com,2026:\n---\nversion: 1\n", "file.tag", "1:1"),
        ("version: 1\nx: a\x1bb\n", "file.control_char", "2:5"),
        ("version: 1\nx: a\u2028b\n", "file.control_char", "2:5"),
        ("version: true\n", "file.version", "1:10"),
        ("version: 1.0\n", "file.version", "1:10"),
        ("domain: {base: a.com}\n", "file.version", "1:1"),
        ("hello\n", "file.not_mapping", "1:1"),
        ("---\n...\n", "file.empty", "1:1"),
        ("version: 1\n...\nversion: 1\n", "file.multiple", "3:1"),
    ],
)
def test_a_problem_of_a_file_has_its_line_and_column(text, code, place) -> None:
    outcome = cases.judge_file(text.encode(), CATALOG)
    marks = {p.code: str(p.mark) for p in outcome.problems}
    assert marks[code] == f"answers.yaml:{place}"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("version: 1".encode("utf-16"), "file.encoding"),
        (b"version: 1\nx: \xe9\n", "file.encoding"),
        (b"PK\x03\x04", "file.binary"),
        (b"\x1f\x8b\x08", "file.binary"),
        (b"\xef\xbb\xbf", "file.empty"),
        (b" \r\n \r\n", "file.empty"),
        (b"x" * 1_000_000, "file.too_big"),
        (b"version: 1\nx: " + b"[" * 21 + b"]" * 21, "file.too_deep"),
    ],
)
def test_a_file_that_is_no_answers_file_is_refused(data, code) -> None:
    assert code in cases.judge_file(data, CATALOG).codes


def test_a_warning_without_a_waiver_shows_the_line_that_accepts_it() -> None:
    given_draft = valid(domain={"base": "company.test"})
    remedy = problems_of(given_draft)["domain.not_public"].remedy.summary
    line = remedy.split("in the answers: ")[1]
    text = cases.write({**cases.VALID, "domain": {"base": "company.test"}}) + line + "\n"
    validated = draft.validate(read(text), CATALOG)
    assert [warning.code for warning in validated.warnings] == ["domain.not_public"]
    assert validated.answers.waivers == {"domain.not_public": "your reason"}


def test_a_waiver_does_not_lift_a_refusal() -> None:
    given_draft = valid(waivers={"port.range": "please"}, ssh={"host": "a.com", "port": 0})
    assert "port.range" in problems_of(given_draft)


def test_f_048_a_wildcard_with_the_http_challenge_is_a_matter_of_tls() -> None:
    acme = {"email": "ops@company.com", "challenge": "http-01"}
    with pytest.raises(TlsError) as caught:
        load(valid(tls={"mode": "acme", "acme": acme}))
    assert caught.value.exit_code is ExitCode.TLS
    assert "DNS challenge" in caught.value.problems[0].remedy.summary
    good = {**acme, "challenge": "dns-01", "dns_provider": "route53"}
    assert load(valid(tls={"mode": "acme", "acme": good})).tls.acme.challenge == "dns-01"


# screens


def test_a_field_is_judged_in_an_otherwise_empty_draft() -> None:
    verdict = draft.check_field(draft.Draft(), CATALOG, "ssh.port", "22")
    assert (verdict.verdict, verdict.value) == ("accept", 22)


def test_a_field_hears_of_what_does_not_fit_with_others() -> None:
    given_draft = draft.Draft().set("sizing.concurrent_workspaces", "40")
    verdict = draft.check_field(given_draft, CATALOG, "sizing.users", "30")
    assert [problem.code for problem in verdict.problems] == ["size.inconsistent"]


def test_what_is_typed_can_be_taken_back() -> None:
    given_draft = valid().set("ssh.port", "2222")
    assert load(given_draft).ssh.port == 2222
    assert load(given_draft.unset("ssh.port")).ssh.port == 22


# the model


def test_answers_offer_what_the_plan_needs() -> None:
    digest = "sha256:" + "a" * 64
    answers = load(
        valid(
            sizing={"coder_memory": "4G", "authentik_server_cpus": 1.5, "users": 30},
            images={"coder": f"ghcr.io/coder/coder:v2@{digest}"},
            ai_gateway={"enabled": False, "max_body_mb": 5},
            domain={"base": "Company.com", "hosts": {"git": "code.company.com"}},
        )
    )
    assert answers.domain.hosts["git"] == "code.company.com"
    assert answers.domain.hosts["auth"] == "auth.company.com"
    assert answers.domain.wildcard == "*.coder.company.com"
    assert answers.memory_of("coder") == 4096
    assert answers.memory_of("gitea") is None
    assert answers.cpus_of("authentik-server") == 1.5
    assert answers.image_of("coder").endswith(digest)
    assert answers.options_of("ai-gateway")["enabled"] is False
    assert answers.options_of("ai-gateway")["max_body_mb"] == 5
    assert answers.sizing.concurrent_workspaces == 20
    assert answers.target.address == "10.0.0.5"
    with pytest.raises(Exception, match="frozen"):
        answers.ssh.port = 1


def test_defaults_follow_what_they_depend_on() -> None:
    medium = {"sizing": {"profile": "medium"}, "waivers": {"size.beyond_compose": "agreed"}}
    answers = load(valid(**medium, vault={"mode": "embedded", "key_shares": 3}))
    assert (answers.sizing.users, answers.sizing.concurrent_workspaces) == (200, 50)
    assert answers.vault.key_threshold == 2
    assert load(valid(ssh={"host": "h.company.com"})).target.address is None
    assert "size.beyond_compose" in problems_of(valid(sizing={"profile": "medium"}))


def test_the_wildcard_follows_the_host_it_belongs_to() -> None:
    answers = load(valid(domain={"base": "company.com", "hosts": {"coder": "dev.company.com"}}))
    assert answers.domain.wildcard == "*.dev.company.com"


def test_the_model_itself_applies_the_checks() -> None:
    model = answers_model(CATALOG)
    with pytest.raises(ValueError, match="out of range"):
        model.model_validate({**cases.VALID, "ssh": {"host": "a.com", "port": 0}})
    with pytest.raises(ValueError, match="Extra inputs"):
        model.model_validate({**cases.VALID, "sssh": {}})
    assert answers_model(CATALOG) is model


def test_every_question_has_a_title_and_a_help() -> None:
    for path, question in read_form(CATALOG).questions.items():
        assert question.title, path
        assert question.help, path


def test_help_needs_no_model_of_the_answers() -> None:
    code = (
        "import sys, installer.cli; installer.cli.make_parser().format_help();"
        "print([m for m in sys.modules if m.startswith(('pydantic', 'yaml', 'idna'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_field_error_carries_its_concerns() -> None:
    question = read_form(CATALOG).questions["ssh.port"]
    with pytest.raises(FieldError) as caught:
        question.rule.judge("0")
    assert caught.value.concerns[0].code == "port.range"
