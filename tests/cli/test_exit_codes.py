"""What the command line answers to bad input: class, status, remedy, and nothing contacted."""

import socket
import subprocess

import pytest
import yaml

from installer.cli import main

GOOD = {
    "version": 1,
    "domain": {"base": "company.com"},
    "ssh": {"host": "192.0.2.1", "user": "ops"},
    "admin": {"email": "ops@company.com"},
    "vault": {"mode": "embedded"},
}


@pytest.fixture
def answers(tmp_path):
    def write(**sections):
        path = tmp_path / "answers.yaml"
        path.write_text(yaml.safe_dump({**GOOD, **sections}))
        return str(path)

    return write


@pytest.fixture
def offline(monkeypatch):
    """Any connection is a failure of the test."""

    def refuse(*args, **kwargs):
        raise AssertionError("something was contacted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def test_an_unknown_option_is_a_usage_error_with_the_way_to_help(capsys, offline):
    assert main(["--nonsense"]) == 2
    assert "--help" in capsys.readouterr().err


def test_an_unknown_command_is_a_usage_error(capsys, offline):
    assert main(["frobnicate"]) == 2
    assert "frobnicate" in capsys.readouterr().err


def test_without_a_terminal_one_line_says_how_to_run_unattended(capsys, offline):
    """F-073."""
    assert main([]) == 21
    err = capsys.readouterr().err
    assert "--unattended" in err
    assert "\x1b" not in err


def test_all_problems_of_the_answers_are_told_with_their_place(answers, capsys, offline):
    """BR-01, BR-05."""
    path = answers(domian={"base": "x"}, sizing={"users": 0}, ssh={"host": "-o", "user": "a;b"})
    assert main(["--unattended", "--answers", path, "--yes"]) == 3
    err = capsys.readouterr().err
    for code in ("file.unknown_key", "size.range", "ssh.host.form", "ssh.user.form"):
        assert f"code: {code}" in err
    assert f"{path}:" in err


def test_missing_answers_are_named(capsys, offline, monkeypatch):
    assert main(["answers", "check"]) == 3
    err = capsys.readouterr().err
    for path in ("domain.base", "ssh.host", "admin.email"):
        assert path in err


def test_an_answers_file_that_is_not_there_is_told(capsys, offline):
    assert main(["answers", "check", "--answers", "no-such.yaml"]) == 20
    assert "no-such.yaml" in capsys.readouterr().err


def test_an_image_without_a_digest_names_the_command_that_makes_the_lock(answers, capsys, offline):
    assert main(["render", "--answers", answers(), "--output", "unused"]) == 3
    assert "images lock" in capsys.readouterr().err


def test_a_host_by_name_needs_the_address_the_edge_listens_on(answers, capsys, offline):
    path = answers(ssh={"host": "platform.company.com", "user": "ops"})
    assert main(["render", "--answers", path, "--output", "unused"]) == 3
    assert "target.address" in capsys.readouterr().err


def test_a_missing_passphrase_is_told_before_anything_is_contacted(
    answers, capsys, offline, tmp_path, monkeypatch
):
    from tests.golden.render import write_lock

    monkeypatch.delenv("DEVPLAT_STORE_PASSPHRASE", raising=False)
    lock = write_lock(tmp_path / "lock.yaml")
    path = answers(images={"lock_file": str(lock)})
    run_dir = tmp_path / "run"
    status = main(["--unattended", "--answers", path, "--run-dir", str(run_dir), "--yes"])
    assert status == 3
    assert "DEVPLAT_STORE_PASSPHRASE" in capsys.readouterr().err


def test_a_certificate_that_is_none_is_a_tls_error_before_anything_is_contacted(
    answers, capsys, offline, tmp_path
):
    from tests.golden.render import write_lock

    key = tmp_path / "key.pem"
    key.write_text("no key")
    key.chmod(0o600)
    (tmp_path / "cert.pem").write_text("no certificate")
    lock = write_lock(tmp_path / "lock.yaml")
    path = answers(
        images={"lock_file": str(lock)},
        tls={"mode": "files", "certificate_file": str(tmp_path / "cert.pem"), "key_file": str(key)},
    )
    assert main(["plan", "--answers", path, "--run-dir", str(tmp_path / "run")]) == 13
    assert "code: tls." in capsys.readouterr().err


def test_a_host_that_refuses_is_told_with_host_and_port(answers, capsys, tmp_path, monkeypatch):
    """F-001."""
    from tests.golden.render import write_lock

    monkeypatch.setenv("DEVPLAT_STORE_PASSPHRASE", "correct horse battery staple 9!")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lock = write_lock(tmp_path / "lock.yaml")
    key = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    ssh = {"host": "127.0.0.1", "port": port, "user": "ops", "agent": False, "key_file": str(key)}
    path = answers(
        images={"lock_file": str(lock)},
        ssh=ssh,
        waivers={"ssh.host.loopback": "a test"},
    )
    assert main(["plan", "--answers", path, "--run-dir", str(tmp_path / "run")]) == 5
    err = capsys.readouterr().err
    assert "127.0.0.1" in err
    assert str(port) in err


def test_a_run_directory_that_cannot_be_made_is_local_io(answers, capsys, offline, tmp_path):
    """F-071."""
    from tests.golden.render import write_lock

    (tmp_path / "file").write_text("in the way")
    lock = write_lock(tmp_path / "lock.yaml")
    path = answers(images={"lock_file": str(lock)})
    assert main(["plan", "--answers", path, "--run-dir", str(tmp_path / "file" / "run")]) == 20
    assert "state directory" in capsys.readouterr().err


def test_render_writes_what_compose_reads_and_refuses_a_full_directory(
    answers, capsys, offline, tmp_path
):
    from tests.golden.render import write_lock

    lock = write_lock(tmp_path / "lock.yaml")
    path = answers(images={"lock_file": str(lock)})
    out = tmp_path / "bundle"
    assert main(["render", "--answers", path, "--output", str(out)]) == 0
    document = yaml.safe_load((out / "compose.yaml").read_text())
    assert document["name"] == "devplat"
    assert main(["render", "--answers", path, "--output", str(out)]) == 2
    assert "not empty" in capsys.readouterr().err


def test_the_skeleton_names_every_section_and_checks_once_filled_in(capsys, offline, tmp_path):
    assert main(["answers", "init"]) == 0
    text = capsys.readouterr().out
    for line, value in (
        ("  base:", "company.com"),
        ("  host:", "192.0.2.1"),
        ("  email:", "a@company.com"),
    ):
        text = text.replace(f"\n{line}\n", f"\n{line} {value}\n", 1)
    path = tmp_path / "answers.yaml"
    path.write_text(text)
    assert main(["answers", "check", "--answers", str(path)]) == 3
    err = capsys.readouterr().err
    decisions = ("vault.plain_shares", "vault.possession_unproven")
    assert all(f"code: {code}" in err for code in decisions)
    waived = [f"--set=waivers.{code}=a test" for code in decisions]
    assert main(["answers", "check", "--answers", str(path), *waived]) == 0


def test_output_to_a_reader_that_has_gone_is_no_error():
    import sys

    done = subprocess.run(
        f"{sys.executable} -m installer answers schema | head -1", shell=True,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "{\n"
    assert "Traceback" not in done.stderr


def test_a_memory_limit_below_what_the_service_needs_is_refused(answers, capsys, offline, tmp_path):
    """HD-10: found by the bundle's own audit, told as an answer."""
    from tests.golden.render import write_lock

    lock = write_lock(tmp_path / "lock.yaml")
    path = answers(images={"lock_file": str(lock)}, sizing={"coder_memory": "40M"})
    assert main(["render", "--answers", path, "--output", str(tmp_path / "out")]) == 3
    err = capsys.readouterr().err
    assert "sizing.coder_memory" in err
    assert not (tmp_path / "out").exists()
