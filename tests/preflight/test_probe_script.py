"""The probe script run for real: in every shell there is, beside stand-in tools, cut short."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from installer.adapters.local import LocalHost
from installer.core.facts import PathKind
from installer.core.facts_parse import parse_facts
from installer.core.probe import format_parameters, read_output
from installer.ports import Command
from tests.preflight.looking import environment, leftovers, look, parameters, snapshot, tools

SHELLS = (("sh",), ("dash",), ("bash", "--posix"), ("busybox", "sh"), ("ksh",), ("mksh",))


def installed(shell):
    if shutil.which(shell[0]) is None:
        pytest.skip(f"no {shell[0]} on this machine")
    return shell


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_every_shell_gives_the_same_facts_and_changes_nothing(probe_script, host_tree, shell):
    stdin = parameters(host_tree, ("marker", "postgres/data/PG_VERSION"), ("name", "localhost"))
    env = environment(host_tree)
    before, temporary = snapshot(host_tree), leftovers()
    done, facts = look(probe_script, stdin, env=env, shell=installed(shell))
    assert (done.returncode, done.stderr) == (0, b"")
    assert snapshot(host_tree) == before
    assert leftovers() <= temporary
    assert facts.kernel == "Linux" and facts.cpus and facts.memory
    assert abs(facts.clock.skew_s) < 5
    assert facts.account.uid == os.getuid()
    assert facts.paths["install"].path == f"{host_tree}/host/opt/dev plat"
    assert facts.paths["install"].kind is PathKind.DIRECTORY
    assert set(facts.paths["install"].entries) == {"current", "releases", "secrets", "state"}
    assert facts.paths["data"].available == pytest.approx(
        shutil.disk_usage(host_tree).free, rel=0.1
    )
    assert facts.installation.current == "releases/3f2a"
    assert facts.installation.lock == '{"pid": 1}'
    assert facts.installation.data == {"postgres/data": True, "redis/data": False}
    assert facts.installation.markers == ("postgres/data/PG_VERSION",)
    assert facts.network.listeners is not None
    assert "127.0.0.1" in facts.dns.host["localhost"] or "::1" in facts.dns.host["localhost"]


def test_it_runs_through_a_host(probe_script, host_tree):
    """The way the phase runs it: a command with parameters on standard input."""
    host = LocalHost()
    sent = datetime.now(UTC)
    done = host.run(Command(probe_script, stdin=(parameters(host_tree),)))
    facts = parse_facts(done.text, host.name, sent=sent, received=datetime.now(UTC))
    assert done.status == 0
    assert facts.installation.releases == ("3f2a",)


def test_parameters_end_with_their_own_line_not_with_the_stream(probe_script, host_tree):
    process = subprocess.Popen(
        ["sh", "-c", probe_script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(host_tree),
    )
    process.stdin.write(parameters(host_tree))
    process.stdin.flush()
    output = process.stdout.read()  # ends although the stream of parameters stays open
    process.stdin.close()
    process.stdout.close()
    assert process.wait() == 0
    assert b"@devplat end" in output


def test_a_directory_is_looked_for_up_to_its_nearest_parent(probe_script, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "home").mkdir()
    stdin = format_parameters(
        [("install", f"{tmp_path}/a/b/c"), ("data", f"{tmp_path}/file/below")]
    )
    _, facts = look(probe_script, stdin, env=environment(tmp_path))
    assert (facts.paths["install"].existing, facts.paths["install"].kind) == (
        str(tmp_path),
        PathKind.ABSENT,
    )
    assert (facts.paths["data"].existing, facts.paths["data"].kind) == (
        f"{tmp_path}/file",
        PathKind.OTHER,
    )


def test_it_works_without_timeout_and_stops_what_hangs(probe_script, host_tree):
    directory = tools(host_tree, ss="exit 3", getent="exec sleep 60", timeout="exit 127")
    script = probe_script.replace("within 12 getent", "within 1 getent")
    started = time.monotonic()
    _done, facts = look(
        script,
        parameters(host_tree, ("name", "slow.example")),
        env=environment(host_tree, directory),
    )
    assert time.monotonic() - started < 20
    assert facts.dns.host == {"slow.example": None}
    assert "name slow.example" in facts.unfinished


def test_it_works_without_any_place_to_write(probe_script, host_tree):
    """F-018, F-021: a full or read-only host can still say so."""
    script = re.sub(r"for place in .*; do", "for place in /proc/none; do", probe_script)
    assert script != probe_script
    _, facts = look(script, parameters(host_tree), env=environment(host_tree))
    assert facts.paths["data"].available
    assert facts.installation.current == "releases/3f2a"


def test_one_hanging_probe_costs_itself_only(probe_script, host_tree):
    """The script's own limit: what is late is reported as late, the rest is there."""
    directory = tools(host_tree, ss="trap '' TERM; sleep 30")
    script = probe_script.replace("sleep 45", "sleep 1")
    started = time.monotonic()
    _done, facts = look(script, parameters(host_tree), env=environment(host_tree, directory))
    assert time.monotonic() - started < 15
    assert "listeners" in facts.unfinished
    assert facts.network.listeners is None
    assert facts.memory and facts.installation.current


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_nothing_behind(probe_script, host_tree, number):
    fifo = host_tree / "ready"
    os.mkfifo(fifo)
    directory = tools(host_tree, ss=f"echo ready >{fifo}; sleep 3")
    before = leftovers()
    with subprocess.Popen(
        ["sh", "-c", probe_script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(host_tree, directory),
        restore_signals=True,
    ) as process:
        process.stdin.write(parameters(host_tree))
        process.stdin.close()
        assert fifo.read_text() == "ready\n"
        assert leftovers() - before
        process.send_signal(number)
        process.stdout.read()
        process.wait(timeout=20)
    assert leftovers() <= before


def test_its_directory_is_its_owners_alone(probe_script, host_tree):
    script = probe_script.replace("\nheader() {", '\nstat -c "mode %a" "$work" >&2\nheader() {')
    done, _ = look(script, parameters(host_tree), env=environment(host_tree))
    assert done.stderr == b"mode 700\n"


def test_variables_and_functions_of_the_caller_do_not_matter_f_015(probe_script, host_tree):
    env = {
        **environment(host_tree),
        "LC_ALL": "de_DE.UTF-8",
        "LANG": "tr_TR",
        "CDPATH": "/",
        "POSIXLY_CORRECT": "1",
        "install": "/evil",
        "names": "evil",
        "IFS": "x",
        "ENV": "/dev/null",
        "GREP_OPTIONS": "--color=always",
    }
    done, facts = look(probe_script, parameters(host_tree), env=env)
    assert done.returncode == 0
    assert facts.installation.current == "releases/3f2a"
    assert facts.dns.host == {}


def test_sudo_is_tried_only_when_asked(probe_script, host_tree):
    log = host_tree / "sudo.log"
    directory = tools(host_tree, sudo=f"echo called >>{log}; exit 1")
    env = environment(host_tree, directory)
    _, facts = look(probe_script, parameters(host_tree), env=env)
    assert facts.account.sudo == "present" and not log.exists()
    _, facts = look(probe_script, parameters(host_tree, ("sudo", "yes")), env=env)
    assert facts.account.sudo == "refused" and log.exists()


def test_the_address_of_the_session_is_found_behind_sudo(probe_script, host_tree):
    """sudo clears the variable; a parent process still has it."""
    env = {**environment(host_tree), "SSH_CONNECTION": "198.51.100.7 5000 192.0.2.10 22"}
    inner = host_tree / "probe.sh"
    inner.write_text(probe_script)
    wrapper = f"env -u SSH_CONNECTION sh {inner}; :"
    done = subprocess.run(
        ["sh", "-c", wrapper],
        input=parameters(host_tree),
        capture_output=True,
        env=env,
        timeout=60,
        check=False,
    )
    output = read_output(done.stdout.decode(), "here")
    assert output.get("account").words()["client"].split()[0] == "198.51.100.7"


def test_the_script_is_plain_posix():
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck on this machine")
    script = Path(__file__).parents[2] / "assets" / "probe.sh"
    done = subprocess.run(
        ["shellcheck", "-s", "sh", "-e", "SC2012,SC2016,SC2086,SC2317,SC2329", script],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()
