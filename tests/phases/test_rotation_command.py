"""SE-20: `rotate` without consent: what it shows, the command to repeat, and its refusals."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from installer.cli import main, make_parser
from tests.golden.render import write_lock
from tests.stacks.builders import BASE

NAMES = ("gitea-database-password", "gitea-redis-password")


@pytest.fixture
def rotate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """`rotate("NAME", "--all", …)` → status, standard output, standard error."""
    lock = write_lock(tmp_path / "images.lock.yaml")
    path = tmp_path / "answers of ours.yaml"
    path.write_text(yaml.safe_dump({**BASE, "vault": {"mode": "embedded"}}))
    shared = ["--answers", str(path), "--run-dir", str(tmp_path / "run")]

    def run(*argv: str) -> tuple[int, str, str]:
        status = main(["rotate", *shared, "--set", f"images.lock_file={lock}", *argv])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def command_in(err: str) -> list[str]:
    [line] = [line for line in err.splitlines() if line.strip().startswith("$ ")]
    return shlex.split(line.strip().removeprefix("$ "))


def test_without_consent_it_shows_what_is_restarted_and_how_to_say_it_again(rotate: Any) -> None:
    status, out, err = rotate("--unattended", *NAMES)
    assert status == 24
    assert out.index("restart  1. redis") < out.index("restart  2. gitea")
    assert all(f"~ secret  {name}" in out for name in NAMES)
    assert "~ logins  gitea in postgres" in out
    assert "nothing was changed" in err
    words = command_in(err)
    again = vars(make_parser().parse_args(words[1:]))
    assert words[:2] == ["devplat-install", "rotate"]
    assert (again["names"], again["yes"], again["unattended"]) == (list(NAMES), True, True)
    assert again["answers"].endswith("answers of ours.yaml")
    assert again["run_dir"].endswith("run")
    assert [s.partition("=")[0] for s in again["settings"]] == ["images.lock_file"]


def test_all_is_said_again_as_all_and_tells_what_keeps_its_value(rotate: Any) -> None:
    status, out, err = rotate("--all", "--take-over")
    assert status == 24
    again = vars(make_parser().parse_args(command_in(err)[1:]))
    assert (again["all"], again["names"], again["take_over"]) == (True, [], True)
    assert again["unattended"] is False
    assert "gitea-secret-key keeps its value: Gitea encrypts" in out
    assert "~ secret  gitea-secret-key" not in out


@pytest.mark.parametrize(
    ("argv", "status", "told"),
    [
        ([], 2, "say --all"),
        (["gitea-redis-pasword"], 2, "did you mean 'gitea-redis-password'?"),
        (["gitea-secret-key", "--yes"], 18, "cannot be replaced by a new value: Gitea encrypts"),
        (["edge.tls_key.pem", "--yes"], 18, "renewed by itself and not rotated"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_contacted(
    rotate: Any, argv: list[str], status: int, told: str
) -> None:
    code, out, err = rotate(*argv)
    assert (code, out) == (status, "")
    assert told in err
