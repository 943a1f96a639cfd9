"""References resolved to secrets; nothing of a value in a message (SE-24)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from installer.adapters.secret_sources import ask_terminal, resolve_secret
from installer.core.errors import (
    AnswersError,
    InstallError,
    LocalIoError,
    Problem,
    Remedy,
    SecretStoreError,
    TerminalError,
)
from installer.core.secretrefs import SecretRef, SecretSource, literal, parse_secret_ref
from installer.core.secrets import Secret

WHERE = "admin.password"


def ref(source: str, location: str = "") -> SecretRef:
    return SecretRef(SecretSource(source), location)


def problem_code(error: pytest.ExceptionInfo[InstallError]) -> str:
    problem = error.value.problems[0]
    assert problem.where == WHERE
    assert problem.remedy.summary
    assert "hunter2" not in repr(problem)
    return problem.code


def file_with(tmp_path: Path, data: bytes, mode: int = 0o600) -> SecretRef:
    path = tmp_path / "a secret"
    path.write_bytes(data)
    path.chmod(mode)
    return ref("file", str(path))


@pytest.mark.parametrize("value", [" blanks ", "pa$$word-${HOME}", "é", "two\nlines", "--x"])
def test_an_environment_variable_is_taken_byte_for_byte(value: str) -> None:
    got = resolve_secret(ref("env", "DB"), WHERE, environment={"DB": value})
    assert got == Secret(value)


def test_the_environment_is_this_process_s_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVPLAT_TEST_SECRET", "v" * 20)
    assert resolve_secret(ref("env", "DEVPLAT_TEST_SECRET"), WHERE) == Secret("v" * 20)


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({}, "secret.env_missing"),
        ({"DB": ""}, "secret.empty"),
        ({"DB": os.fsdecode(b"hunter2\xff")}, "secret.encoding"),
    ],
)
def test_a_variable_that_gives_no_secret_is_refused(environment: dict[str, str], code: str) -> None:
    with pytest.raises(AnswersError) as caught:
        resolve_secret(ref("env", "DB"), WHERE, environment=environment)
    assert problem_code(caught) == code
    assert "DB" in caught.value.problems[0].summary


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"plain", "plain"),
        (b"one line end\n", "one line end"),
        (b"windows\r\n", "windows"),
        (b" kept blanks \n", " kept blanks "),
        (b"only the last\n\n", "only the last\n"),
    ],
)
def test_a_file_loses_its_last_line_end_and_nothing_else(
    tmp_path: Path, data: bytes, value: str
) -> None:
    assert resolve_secret(file_with(tmp_path, data), WHERE) == Secret(value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o666])
def test_a_secret_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(LocalIoError) as caught:
        resolve_secret(file_with(tmp_path, b"hunter2", mode), WHERE)
    assert problem_code(caught) == "secret.file_mode"
    problem = caught.value.problems[0]
    assert f"{mode:04o}" in problem.summary
    assert problem.remedy.commands == (f"chmod 0600 '{tmp_path}/a secret'",)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_secret_file_is_accepted_also_through_a_link(tmp_path: Path, mode: int) -> None:
    reference = file_with(tmp_path, b"hunter2", mode)
    link = tmp_path / "link"
    link.symlink_to(reference.location)
    assert resolve_secret(ref("file", str(link)), WHERE) == Secret("hunter2")


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file_with(tmp_path, b"hunter2")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_secret(ref("file", "~/a secret"), WHERE) == Secret("hunter2")


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/nowhere/at/all", "secret.file_missing"),
        ("/etc/passwd/x", "secret.file_missing"),
        ("/", "secret.file"),
        ("/dev/zero", "secret.file"),
        ("/tmp/a\0b", "secret.file"),
        ("~nobody-of-this-name/x", "secret.file"),
    ],
)
def test_what_is_no_file_is_refused(target: str, code: str) -> None:
    with pytest.raises(LocalIoError) as caught:
        resolve_secret(ref("file", target), WHERE)
    assert problem_code(caught) == code


def test_a_pipe_without_a_writer_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(LocalIoError) as caught:
        resolve_secret(ref("file", str(tmp_path / "pipe")), WHERE)
    assert problem_code(caught) == "secret.file"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "secret.empty"),
        (b"\n", "secret.empty"),
        (b"hunter2\0", "secret.control_char"),
        (b"hunter2\xff", "secret.encoding"),
    ],
)
def test_a_file_that_holds_no_usable_secret_is_refused(
    tmp_path: Path, data: bytes, code: str
) -> None:
    with pytest.raises(AnswersError) as caught:
        resolve_secret(file_with(tmp_path, data), WHERE)
    assert problem_code(caught) == code


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalIoError) as caught:
        resolve_secret(file_with(tmp_path, b"x" * 70_000), WHERE)
    assert problem_code(caught) == "secret.file"


def test_a_person_is_asked_until_there_is_an_answer() -> None:
    answers = iter(["", "hunter2"])
    questions: list[str] = []

    def ask(question: str) -> str:
        questions.append(question)
        return next(answers)

    assert resolve_secret(ref("prompt"), WHERE, ask=ask) == Secret("hunter2")
    assert questions == ["admin.password: "] * 2


def test_three_empty_answers_end_the_question() -> None:
    answers = iter(["", "", ""])
    with pytest.raises(TerminalError) as caught:
        resolve_secret(ref("prompt"), WHERE, ask=lambda _: next(answers))
    assert problem_code(caught) == "secret.no_answer"


def test_prompt_without_anybody_to_ask_says_what_to_give_instead() -> None:
    with pytest.raises(TerminalError) as caught:
        resolve_secret(ref("prompt"), WHERE)
    assert problem_code(caught) == "secret.no_terminal"
    assert "env:NAME" in caught.value.problems[0].remedy.summary


def test_asking_without_a_terminal_never_reads_standard_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_terminal(*_: object) -> int:
        raise OSError(6, "No such device or address")

    monkeypatch.setattr(os, "open", no_terminal)
    with pytest.raises(TerminalError) as caught:
        ask_terminal("admin.password: ")
    assert problem_code(caught) == "secret.no_terminal"


@pytest.mark.parametrize(
    ("scheme", "mode"), [("vault", "external"), ("aws", "aws-secrets-manager")]
)
def test_a_store_that_these_answers_give_no_way_to_is_refused(scheme: str, mode: str) -> None:
    reference = parse_secret_ref(f"{scheme}:path#key")
    assert reference is not None
    other = {SecretSource("aws" if scheme == "vault" else "vault"): lambda *_: Secret("wrong")}
    with pytest.raises(SecretStoreError) as caught:
        resolve_secret(reference, WHERE, stores=other)
    assert problem_code(caught) == f"secret.{scheme}_unavailable"
    assert f"vault.mode: {mode}" in caught.value.problems[0].remedy.summary


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("vault:team/ops#password", ("team/ops", "password")),
        ("aws:prod/db#key", ("prod/db", "key")),
        ("aws:prod/db", ("prod/db", "")),
        ("aws:arn:aws:secretsmanager:eu-west-1:1:secret:x-AbCdEf",
         ("arn:aws:secretsmanager:eu-west-1:1:secret:x-AbCdEf", "")),
    ],
)  # fmt: skip
def test_a_store_is_asked_for_path_and_field(text: str, asked: tuple[str, str]) -> None:
    reference = parse_secret_ref(text)
    assert reference is not None
    heard: list[tuple[str, str]] = []

    def fetch(path: str, key: str) -> Secret:
        heard.append((path, key))
        return Secret(" as it is ")

    stores = {reference.source: fetch}
    assert resolve_secret(reference, WHERE, stores=stores) == Secret(" as it is ")
    assert heard == [asked]


@pytest.mark.parametrize(
    ("value", "code"),
    [("", "secret.empty"), ("hunter2\0", "secret.control_char"), ("\ud800", "secret.encoding")],
)
def test_what_a_store_gives_is_judged_like_any_other_secret(value: str, code: str) -> None:
    reference = parse_secret_ref("vault:team/ops#password")
    assert reference is not None
    stores = {SecretSource.VAULT: lambda path, key: Secret(value)}
    with pytest.raises(AnswersError) as caught:
        resolve_secret(reference, WHERE, stores=stores)
    assert problem_code(caught) == code
    assert "vault:team/ops#password" in caught.value.problems[0].summary


def test_what_a_store_refuses_is_told_as_it_tells_it() -> None:
    reference = parse_secret_ref("vault:team/ops#password")
    assert reference is not None
    refusal = SecretStoreError(Problem("vault.sealed", "sealed", Remedy("unseal it"), where=WHERE))

    def fetch(path: str, key: str) -> Secret:
        raise refusal

    with pytest.raises(SecretStoreError) as caught:
        resolve_secret(reference, WHERE, stores={SecretSource.VAULT: fetch})
    assert caught.value is refusal


def test_generate_names_no_secret_that_exists() -> None:
    with pytest.raises(AnswersError) as caught:
        resolve_secret(ref("generate"), WHERE)
    assert problem_code(caught) == "secret.source"


def test_a_literal_is_what_it_says() -> None:
    assert resolve_secret(literal("${NOT_EXPANDED}"), WHERE) == Secret("${NOT_EXPANDED}")
