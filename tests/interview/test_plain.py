"""The conversation as numbered lines: what is asked, typed, refused, taken back, accepted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from installer.core import draft
from installer.core.interview import STEPS, Interview
from installer.plain import Dialogue
from tests.stacks.builders import load

CATALOG = load()
GIVEN = {
    "Base domain": ["company.com"],
    "Host": ["10.0.0.5"],
    "E-mail": ["ops@company.com"],
    "Reason for accepting it": ["no custodians yet"],
}


class Typist:
    """Types what was prepared for a question's title, and Enter otherwise."""

    def __init__(self, given: dict[str, list[str]]) -> None:
        self.given = {title: list(lines) for title, lines in given.items()}
        self.prompts: list[str] = []

    def __call__(self, prompt: str) -> str:
        self.prompts.append(prompt)
        assert len(self.prompts) < 1000, "the dialogue does not end"
        numbered = prompt[0].isdigit()
        title = prompt.partition(" [" if numbered else " (")[0]
        title = title.partition(" ")[2] if numbered else title
        lines = self.given.get(title)
        return lines.pop(0) if lines else ""


Hold = Callable[..., tuple[Interview, list[str], Typist]]


@pytest.fixture
def hold() -> Hold:
    def run(**typed: list[str]) -> tuple[Interview, list[str], Typist]:
        titles = {title.replace("_", " "): lines for title, lines in typed.items()}
        typist, told = Typist({**GIVEN, **titles}), []
        dialogue = Dialogue(
            Interview(draft.Draft(), CATALOG),
            ask=typist,
            tell=told.append,
            keep=lambda interview: None,
        )
        return dialogue.hold(), told, typist

    return run


def test_it_asks_what_is_asked_in_the_order_of_the_steps(hold: Hold) -> None:
    interview, told, typist = hold()
    expected = [
        item.question.title
        for step in STEPS
        for item in interview.items(step)
        if not item.question.is_detail
    ]
    numbered = [p for p in typist.prompts if p[0].isdigit()]
    assert [p.split(" [")[0].partition(" ")[2] for p in numbered] == expected
    assert [line for line in told if line.startswith("Step ")] == [
        f"Step {n} of {len(STEPS)}: {step.title}" for n, step in enumerate(STEPS, start=1)
    ]


def test_its_answers_are_those_of_a_file(hold: Hold) -> None:
    interview, _, _ = hold()
    flags = ["domain.base=company.com", "ssh.host=10.0.0.5", "admin.email=ops@company.com"]
    flags.append("waivers.vault.plain_shares=no custodians yet")
    by_file = draft.validate(draft.from_flags(flags), CATALOG, attended=True)
    assert draft.dump(interview.validate(attended=True).answers) == draft.dump(by_file.answers)


def test_a_refused_answer_is_asked_again_with_what_to_do(hold: Hold) -> None:
    interview, told, typist = hold(Base_domain=["no name", "company.com"])
    assert interview.found.values["domain.base"] == "company.com"
    assert any("refused:" in line for line in told)
    assert any("What to do" in line for line in told)
    assert sum("Base domain" in prompt for prompt in typist.prompts) == 2


def test_a_mode_brings_its_questions_and_going_back_takes_them_away(hold: Hold) -> None:
    interview, _, typist = hold(
        Mode=["files", "", "<"],
        Certificate=["<", "certs/a.pem"],
        Key=["certs/a.key"],
    )
    asked = [p.split(" [")[0].partition(" ")[2] for p in typist.prompts if p[0].isdigit()]
    assert asked.index("Certificate") > asked.index("Mode")
    assert interview.found.modes[("tls",)] == "files"


def test_help_tells_path_choices_and_source_and_asks_again(hold: Hold) -> None:
    _, told, typist = hold(TLS_profile=["?", "modern"])
    text = " ".join(line.strip() for line in told)
    assert "In the answers file: tls.profile." in text
    assert "One of: intermediate, modern." in text
    assert sum("TLS profile" in prompt for prompt in typist.prompts) == 2


def test_an_answer_can_be_taken_back(hold: Hold) -> None:
    interview, _, _ = hold(User_name=["somebody", "<"], E_mail=["<"])
    assert interview.item("admin.username").text == "somebody"
    interview, _, _ = hold(TLS_profile=["modern", "<"], Wildcard=["-"])
    assert interview.item("domain.wildcard").text == ""


def test_a_warning_wants_a_reason_which_becomes_a_waiver(hold: Hold) -> None:
    interview, told, _ = hold()
    assert interview.found.values["waivers"] == {"vault.plain_shares": "no custodians yet"}
    assert any("warning:" in line for line in told)


def test_settings_of_single_services_are_asked_for_only_when_wanted(hold: Hold) -> None:
    _, _, typist = hold()
    assert not any("Memory of" in prompt for prompt in typist.prompts)
    interview, _, typist = hold(**{"Also the": []})
    offers = [p for p in typist.prompts if p.startswith("Also the")]
    assert len(offers) == 2
    detail = next(i for i in interview.items(STEPS[5]) if i.question.is_detail)
    wanted = {offers[0].split(" (")[0]: ["y"]}
    interview, _, typist = hold(**wanted, **{detail.question.title: ["3G"]})
    assert interview.item(detail.path).text == "3G"


def test_no_line_is_wider_than_a_narrow_terminal(hold: Hold) -> None:
    _, told, _ = hold(TLS_profile=["?"])
    assert max(map(len, told)) <= 80
    assert all(line.isprintable() for line in told)
