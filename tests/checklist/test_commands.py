"""The commands over a run directory: what they print, record, refuse, and how they end."""

from __future__ import annotations

import functools
import json
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from installer import checklist_commands, checklist_desk, invocation
from installer.checklist_commands import replace_public
from installer.cli import main
from installer.core.errors import ExitCode, LocalIoError, SshConnectError
from installer.core.events import Outcome
from installer.core.report import Report, build, to_document
from installer.job import Job
from installer.output.textfile import Verdict, format_metrics
from installer.stacks import load_stacks
from tests.checklist.sound import TABLE, everything, failed, report_of, with_results
from tests.golden.render import PROFILES, draw_up, write_lock

SAID = ("--by", "Ada", "--reason", "until the move")
PROFILE = next(path for path in PROFILES if path.stem == "small")


STACKS = functools.cache(load_stacks)


class Operator:
    """Types commands about one run directory."""

    def __init__(self, root: Path, release: str, flags: list[str], about: dict[str, str]) -> None:
        self.root, self.release, self.flags, self.about = root, release, flags, about

    def types(self, *words: str) -> int:
        shared = ["--run-dir", str(self.root), *self.flags]
        return main([words[0], *words[1:], *shared])

    def keeps(self, checks: Any, run: str = "20261124-100000-aaaa", **changes: Any) -> Report:
        """A report of a run, as the product leaves it."""
        report = report_of(checks, release=self.release, run=run, **changes)
        facts = {**report.facts, **self.about}
        report = build(
            facts=facts, exit_code=report.exit_code, steps=report.steps, checks=report.checks,
            problems=(), images=report.images, notes=report.notes,
        )  # fmt: skip
        folder = self.root / "runs" / run
        folder.mkdir(parents=True)
        text = json.dumps(to_document(report), indent=1, ensure_ascii=False)
        (folder / "report.json").write_text(text + "\n")
        return report


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Job]:
    lock = write_lock(tmp_path_factory.mktemp("lock") / "images.lock.yaml")
    return lock, draw_up(PROFILE, lock)


@pytest.fixture
def operator(
    drawing_operator: Operator, drawn: tuple[Path, Job], monkeypatch: pytest.MonkeyPatch
) -> Operator:
    """One whose every command finds the plan drawn up already, as that takes seconds."""
    monkeypatch.setattr(invocation.drawing, "draw_up", lambda *_: drawn[1])
    for module in (invocation, checklist_desk):
        monkeypatch.setattr(module, "load_stacks", STACKS)
    return drawing_operator


@pytest.fixture
def drawing_operator(tmp_path: Path, drawn: tuple[Path, Job]) -> Operator:
    lock, job = drawn
    release = job.bundle.release
    about = {name: job.facts[name] for name in ("deployment", "target")}
    root = tmp_path / "run"
    root.mkdir(mode=0o700)
    flags = ["--unattended", "--answers", str(PROFILE), "--set", f"images.lock_file={lock}"]
    return Operator(root, release, flags, about)


def now() -> datetime:
    return datetime.now(UTC)


def test_show_says_how_each_item_stands_and_what_to_do(
    drawing_operator: Operator, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = drawing_operator
    operator.keeps(with_results(failed("smoke.tls.dates.git", "git")), ended=now())
    assert operator.types("checklist", "show") == ExitCode.VERIFY_FAILED
    told = capsys.readouterr().out
    assert all(item.id in told and item.text in told for item in TABLE.items)
    assert "fail              CK-04" in told
    assert "what to do: Renew or complete the certificates" in told
    assert operator.types("checklist", "show", "ck-03") == ExitCode.OK
    assert operator.types("checklist") == ExitCode.VERIFY_FAILED


def test_nothing_is_contacted_and_nothing_made_by_looking(operator: Operator) -> None:
    assert operator.types("checklist", "show") == ExitCode.VERIFY_FAILED
    assert list(operator.root.iterdir()) == []


def test_a_statement_is_recorded_with_who_and_when_and_for_good(
    operator: Operator, capsys: pytest.CaptureFixture[str]
) -> None:
    operator.keeps(everything(), ended=now())
    words = ("checklist", "attest", "CK-18", "--by", "Ada Lovelace", "--note", "rota in the wiki")
    assert operator.types(*words) == ExitCode.OK
    assert "attested" in capsys.readouterr().out
    [line] = (operator.root / "checklist.jsonl").read_text().splitlines()
    kept = json.loads(line)
    assert (kept["by"], kept["item"], kept["release"]) == (
        "Ada Lovelace",
        "CK-18",
        operator.release,
    )
    assert datetime.fromisoformat(kept["at"]).utcoffset() == timedelta(0)
    assert operator.types("checklist", "show", "CK-56") == ExitCode.OK


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("attest", "CK-04", "--by", "Ada", "--note", "x"), ExitCode.USAGE),
        (("attest", "CK-99", "--by", "Ada", "--note", "x"), ExitCode.USAGE),
        (("attest", "CK-18", "--by", "", "--note", "x"), ExitCode.USAGE),
        (("attest", "CK-18", "--note", "x"), ExitCode.USAGE),
        (("waive", "CK-03", *SAID, "--until", "2027-01-01"), ExitCode.USAGE),
        (("waive", "CK-04", *SAID, "--until", "2020-01-01"), ExitCode.USAGE),
        (("waive", "CK-04", *SAID), ExitCode.USAGE),
        (("show", "CK-99"), ExitCode.USAGE),
        (("forget",), ExitCode.USAGE),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_refused_and_nothing_is_kept(
    operator: Operator, words: tuple[str, ...], status: ExitCode
) -> None:
    operator.keeps(with_results(failed("smoke.tls.dates.git", "git")), ended=now())
    assert operator.types("checklist", *words) == status
    assert not (operator.root / "checklist.jsonl").exists()


def test_a_waiver_is_kept_and_shown_until_its_day(
    operator: Operator, capsys: pytest.CaptureFixture[str]
) -> None:
    operator.keeps(with_results(failed("smoke.tls.dates.git", "git")), ended=now())
    until = (now() + timedelta(days=30)).date().isoformat()
    words = (
        "checklist",
        "waive",
        "CK-04",
        "--by",
        "Grace",
        "--reason",
        "ordered",
        "--until",
        until,
    )
    assert operator.types(*words) == ExitCode.OK
    told = capsys.readouterr().out
    assert "waived" in told
    assert until in told
    assert operator.types("checklist", "show", "CK-04") == ExitCode.OK


def test_an_altered_report_or_statement_is_refused(operator: Operator) -> None:
    operator.keeps(everything(), ended=now())
    path = operator.root / "runs/20261124-100000-aaaa/report.json"
    text = path.read_text()
    path.write_text(
        text.replace('"outcome": "warn"', '"outcome": "pass"', 1).replace("ada@", "eve@")
    )
    assert operator.types("checklist", "show") == ExitCode.INTEGRITY
    path.write_text(text)
    (operator.root / "checklist.jsonl").write_text("{}\n")
    (operator.root / "checklist.jsonl").chmod(0o600)
    assert operator.types("checklist", "show") == ExitCode.INTEGRITY


def test_reports_about_another_target_prove_nothing(operator: Operator) -> None:
    operator.about = {**operator.about, "target": "198.51.100.7"}
    operator.keeps(everything(), ended=now())
    assert operator.types("checklist", "show", "CK-03") == ExitCode.VERIFY_FAILED


def test_the_newest_result_of_each_check_counts_over_many_runs(operator: Operator) -> None:
    ended = now() - timedelta(hours=3)
    drill = [r for r in everything() if r.id.startswith("restore.")]
    operator.keeps(everything(), "20261124-100000-aaaa", ended=ended)
    operator.keeps(drill, "20261124-110000-bbbb", ended=ended, steps=())
    operator.keeps(with_results(failed("PF-DNS")), "20261124-120000-cccc", ended=ended)
    assert operator.types("checklist", "show", "CK-03") == ExitCode.VERIFY_FAILED
    operator.keeps(
        [r for r in everything() if r.id == "PF-DNS"], "20261124-130000-dddd", ended=ended
    )
    assert operator.types("checklist", "show", "CK-03") == ExitCode.OK


def test_a_pack_is_written_signed_and_checked(
    operator: Operator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = Ed25519PrivateKey.generate()
    private, public = tmp_path / "key", tmp_path / "key.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    private.chmod(0o600)
    public.write_bytes(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    assert operator.types("report") == ExitCode.USAGE  # nothing was verified yet
    operator.keeps(everything(), ended=now())
    out = tmp_path / "pack"
    words = ("report", "--output", str(out), "--sign-key", str(private))
    assert operator.types(*words) == ExitCode.VERIFY_FAILED  # items are to be stated
    assert "SHA256:" in capsys.readouterr().out
    assert sorted(p.name for p in out.iterdir()) == [
        "evidence.html", "evidence.json", "evidence.md",
    ]  # fmt: skip
    assert {stat.S_IMODE(p.stat().st_mode) for p in out.iterdir()} == {0o600}
    assert main(["report", "check", str(out), "--key", str(public)]) == ExitCode.OK
    assert capsys.readouterr().out.count("intact") == 3
    for name in ("evidence.json", "evidence.md", "evidence.html"):
        path = out / name
        text = path.read_text()
        path.write_text(text.replace("gitea", "gitee", 1))
        assert main(["report", "check", str(out), "--key", str(public)]) == ExitCode.INTEGRITY
        seen = capsys.readouterr()
        assert f"{path} was altered" in seen.err
        assert seen.out.count("intact") == 2
        path.write_text(text)
    assert operator.types("report", "--output", str(out)) == ExitCode.VERIFY_FAILED
    capsys.readouterr()
    assert main(["report", "check", str(out)]) == ExitCode.OK
    assert "not signed" in capsys.readouterr().out
    assert main(["report", "check", str(out), "--key", str(public)]) == ExitCode.INTEGRITY


def test_forms_of_different_packs_are_told_apart(operator: Operator, tmp_path: Path) -> None:
    operator.keeps(everything(), ended=now())
    operator.types("report", "--output", str(tmp_path / "one"))
    operator.keeps(with_results(failed("HD-05")), "20261124-120000-bbbb", ended=now())
    operator.types("report", "--output", str(tmp_path / "two"))
    files = [str(tmp_path / "one/evidence.json"), str(tmp_path / "two/evidence.html")]
    assert main(["report", "check", *files]) == ExitCode.INTEGRITY
    assert main(["report", "check", files[0]]) == ExitCode.OK


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_a_file_that_is_not_there_is_a_matter_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", "check", name]) == ExitCode.LOCAL_IO
    (tmp_path / "evidence.pdf").write_text("x")
    assert main(["report", "check", "evidence.pdf"]) == ExitCode.USAGE


VERDICT = Verdict(
    deployment='dev"plat\\\n', release="r", product="0.1.0", exit_code=ExitCode.VERIFY_FAILED,
    checks=with_results(failed("HD-05"), failed("HD-06"), failed("SA-04")),
    ended=1795600000.5, took=12.25,
)  # fmt: skip


def test_metrics_count_outcomes_and_failures_by_area() -> None:
    lines = format_metrics(VERDICT, TABLE).splitlines()
    label = 'deployment="dev\\"plat\\\\\\n"'
    assert f"devplat_verify_timestamp_seconds{{{label}}} 1795600000.5" in lines
    assert f"devplat_verify_duration_seconds{{{label}}} 12.25" in lines
    assert f"devplat_verify_exit_status{{{label}}} 16" in lines
    assert f'devplat_verify_checks{{{label},outcome="fail"}} 3' in lines
    assert f'devplat_verify_failures{{{label},area="Hardening of containers"}} 2' in lines
    assert f'devplat_verify_failures{{{label},area="Segmentation"}} 1' in lines
    assert f'devplat_verify_failures{{{label},area="Ports"}} 0' in lines
    names = [line.split("{")[0] for line in lines if not line.startswith("#")]
    assert {f"# TYPE {name} gauge" for name in names} <= set(lines)


def test_a_verification_that_could_not_begin_has_a_status_and_no_counts() -> None:
    lines = format_metrics(replace(VERDICT, checks=(), exit_code=ExitCode.SSH_CONNECT), TABLE)
    assert "exit_status" in lines
    assert "devplat_verify_checks" not in lines


def test_the_textfile_is_replaced_in_one_step_and_can_be_read_by_the_exporter(
    tmp_path: Path,
) -> None:
    path = tmp_path / "devplat.prom"
    path.write_text("old")
    replace_public(path, "new\n")
    assert path.read_text() == "new\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(LocalIoError):
        replace_public(tmp_path / "nowhere/devplat.prom", "x")


def test_a_host_that_cannot_be_reached_leaves_metrics_too(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from installer.core.errors import Problem, Remedy

    def refuse(*_: object) -> None:
        raise SshConnectError(Problem("ssh.refused", "no answer", Remedy("look")))

    monkeypatch.setattr(checklist_commands.Invocation, "open_ports", refuse)
    path = tmp_path / "devplat.prom"
    assert operator.types("verify", "--textfile", str(path)) == ExitCode.SSH_CONNECT
    assert f"}} {int(ExitCode.SSH_CONNECT)}\n" in path.read_text()


def test_outcomes_are_all_counted() -> None:
    text = format_metrics(VERDICT, TABLE)
    assert all(f'outcome="{outcome}"' in text for outcome in Outcome)
