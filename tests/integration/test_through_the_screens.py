"""From the first screen to the verification screen at a terminal, against a real host."""

from __future__ import annotations

import pytest

from tests.integration.operator import CORE_ONLY, make_operator
from tests.integration.tmux import Tmux

pytestmark = pytest.mark.engine
WIDE, NARROW = (160, 48), (80, 24)
INSTALL_S = 600


@pytest.fixture(scope="module")
def operator(tmp_path_factory, module_host, testbed):
    """Nobody has spoken to this host before, and the base domain is still to be typed."""
    made = make_operator(
        tmp_path_factory.mktemp("operator"), module_host, testbed.lock_file, **CORE_ONLY
    )
    nobody = made.folder / "known_hosts"
    nobody.write_text("")
    made.answers["ssh"]["known_hosts_file"] = str(nobody)
    del made.answers["domain"]
    return made


@pytest.fixture(scope="module")
def terminal(tmp_path_factory):
    made = Tmux(tmp_path_factory.mktemp("tmux") / "server")
    yield made
    made.close()


def start(terminal: Tmux, operator, *arguments: str, size=WIDE) -> None:
    terminal.open(operator.argv(*arguments), {**operator.env(), "TERM": "screen-256color"}, size)


def test_the_questions_lead_to_consent_after_the_host_key_was_confirmed(
    operator, terminal, module_host
):
    start(terminal, operator)
    terminal.see("Begin")
    terminal.press("Enter")
    terminal.see("step 1 of")
    terminal.press("F5")
    shown = terminal.see("They agree")
    assert "SHA256:" in shown
    terminal.press("Tab", "Enter")  # and it is looked at again
    terminal.see("container engine: running")
    terminal.press("F2")
    terminal.see("step 2 of")
    terminal.type("trial.test")
    for step in range(3, 11):
        terminal.press("F2")
        terminal.see(f"step {step} of 10")
    terminal.press("F2")
    terminal.see("Type trial to carry this out", INSTALL_S)
    terminal.see("is added", 20)
    assert module_host.ssh("docker ps -aq --filter label=devplat.deployment=trial").strip() == ""


def test_a_closed_terminal_does_not_stop_the_work_and_coming_back_shows_it(operator, terminal):
    """F-067."""
    terminal.type("trial")
    terminal.press("Enter")
    terminal.see("apply")
    terminal.close()
    start(terminal, operator, size=NARROW)
    terminal.see("Watch the run under way (apply)")
    terminal.press("Enter")
    terminal.resize(*WIDE)
    shown = terminal.see("Verification", INSTALL_S)
    assert "signed off by every check" in terminal.see("signed off", 10), shown
    terminal.press("q")
    terminal.see("status: 0")


def test_the_screen_opens_again_at_any_later_time(operator, terminal):
    """Read-only: what runs is the same afterwards."""
    terminal.close()
    start(terminal, operator)
    terminal.see("Verify the platform")
    terminal.press("Tab", "Enter")
    assert "signed off by every check" in terminal.see("signed off", INSTALL_S)
    terminal.press("q")
    terminal.see("status: 0")
