"""The phase: one exec, events in order, nothing hidden by a refusal."""

from __future__ import annotations

import pytest

from installer.core.errors import (
    DnsError,
    InstallError,
    PreflightError,
    PrivilegeError,
    Problem,
    Remedy,
    SshConnectError,
)
from installer.core.events import CheckFinished, Outcome, StepFinished, StepProgress, StepStarted
from installer.phases.preflight import preflight
from tests.preflight.builders import (
    FakeClock,
    FakeHost,
    FakeResolver,
    fake_ports,
    sound_needs,
)

START = 1795000000.0
SCRIPT = "echo examine"
REFUSED = PrivilegeError(
    Problem("privilege.sudo", "sudo asks for a password", Remedy("give ssh.become_password"))
)
LOST = SshConnectError(Problem("ssh.lost", "the connection is lost", Remedy("run again")))


def needs(**changes):
    """What the recorded Ubuntu host offers."""
    sound = {
        "names": ("coder.company.com",),
        "wildcards": (),
        "base_domain": "",
        "addresses": ("192.0.2.10", "2001:db8::10"),
        "images": ("postgres:17",),
        "pool": "172.30.0.0/16",
        "ports": (443,),
        "data_dir": "/srv/dev data",
        "disk_gib_data": 1,
        "disk_gib_images": 1,
        "service_memory_mib": {},
        "buckets": (),
    }
    return sound_needs(**{**sound, **changes})


def sound_text(recorded):
    """The recorded host, without the faults that its other tests are about."""
    text = (
        recorded("ubuntu-24.04")
        .replace("xfs ro,", "xfs rw,")
        .replace("172.30.5.0/24", "10.7.0.0/24")
    )
    return text.replace("|writable no", "|writable yes")


def watch(run):
    """Drain a run: its events, and what it returned or raised."""
    events = []
    while True:
        try:
            events.append(next(run))
        except StopIteration as stop:
            return events, stop.value
        except InstallError as error:
            return events, error


def ports_for(answer, names=None):
    host = FakeHost(answer)
    resolver = FakeResolver({"coder.company.com": ("192.0.2.10",)} if names is None else names)
    return host, resolver, fake_ports(host, resolver, FakeClock(START))


def test_a_sound_host_is_examined_in_one_exec(recorded):
    host, resolver, ports = ports_for(lambda _: sound_text(recorded))
    events, facts = watch(preflight(needs(), ports, SCRIPT))
    assert facts.dns.bastion["coder.company.com"] == ("192.0.2.10",)
    assert facts.os.id == "ubuntu"
    [command] = host.commands
    assert (command.script, command.privileged) == (SCRIPT, True)
    assert resolver.asked[0] == "coder.company.com"
    assert not [
        e for e in events if isinstance(e, CheckFinished) and e.result.outcome is Outcome.FAIL
    ]


def test_the_probe_is_told_what_to_look_at(recorded):
    host, _, ports = ports_for(lambda _: sound_text(recorded))
    wanted = needs(
        markers=("postgres/data/PG_VERSION",),
        wildcards=("*.coder.company.com",),
        base_domain="company.com",
        probe_label="",
        images=("a:1", "a:1", "b:2"),
    )
    watch(preflight(wanted, ports, SCRIPT))
    lines = b"".join(host.commands[0].stdin).decode().splitlines()
    label = f"probe-{int(START * 1e6):x}"
    assert lines == [
        "install /opt/devplat",
        "data /srv/dev data",
        "marker postgres/data/PG_VERSION",
        "name coder.company.com",
        f"name {label}.coder.company.com",
        f"name {label}.company.com",
        "image a:1",
        "image b:2",
        "sysctl fs.inotify.max_user_instances",
        "sysctl vm.overcommit_memory",
        "database db.company.com/5432",
        "container-dns yes",
        "end",
    ]


def test_every_step_that_starts_is_finished_and_none_changes_anything(recorded):
    _, _, ports = ports_for(lambda _: sound_text(recorded))
    events, _ = watch(preflight(needs(), ports, SCRIPT))
    started = [e.step for e in events if isinstance(e, StepStarted)]
    finished = [e for e in events if isinstance(e, StepFinished)]
    assert started == ["preflight", "preflight.facts", "preflight.names", "preflight.checks"]
    assert sorted(e.step for e in finished) == sorted(started)
    assert not any(e.changed for e in finished)
    assert any(isinstance(e, StepProgress) for e in events)


def test_all_checks_are_told_before_the_failure_is_raised(recorded):
    _, _, ports = ports_for(lambda _: sound_text(recorded), names={})
    events, error = watch(preflight(needs(cpus=64), ports, SCRIPT))
    assert isinstance(error, PreflightError)
    assert [p.code for p in error.problems] == ["host.cpus", "dns.missing"]
    failed = [
        e.result.problem.code
        for e in events
        if isinstance(e, CheckFinished) and e.result.outcome is Outcome.FAIL
    ]
    assert sorted(failed) == ["dns.missing", "host.cpus"]
    last = events[-1]
    assert (last.step, last.outcome, last.problem.code) == ("preflight", Outcome.FAIL, "host.cpus")


def test_a_name_missing_here_is_a_dns_error_f_036(recorded):
    _, _, ports = ports_for(lambda _: sound_text(recorded), names={})
    _, error = watch(preflight(needs(), ports, SCRIPT))
    assert isinstance(error, DnsError)


def test_the_clock_is_compared_with_this_machine_f_023(recorded):
    host = FakeHost(lambda _: sound_text(recorded))
    ports = fake_ports(
        host, FakeResolver({"coder.company.com": ("192.0.2.10",)}), FakeClock(START + 600)
    )
    _, error = watch(preflight(needs(), ports, SCRIPT))
    assert [p.code for p in error.problems] == ["host.clock"]
    assert "10 min behind" in error.problems[0].summary


def test_a_refused_root_is_explained_by_a_second_look_f_016(recorded):
    def answer(command):
        return REFUSED if command.privileged else recorded("rhel-9")

    host, _, ports = ports_for(answer)
    events, error = watch(preflight(needs(), ports, SCRIPT))
    assert isinstance(error, PrivilegeError)
    assert [p.code for p in error.problems] == ["privilege.sudo", "privilege.no_root"]
    assert "ops ALL=(root) NOPASSWD: /bin/sh" in error.problems[1].remedy.summary
    assert [c.privileged for c in host.commands] == [True, False]
    assert b"sudo yes" in b"".join(host.commands[1].stdin)
    assert events[-1].outcome is Outcome.FAIL


def test_a_refused_root_stays_the_news_when_no_second_look_is_possible():
    _, _, ports = ports_for(lambda command: REFUSED if command.privileged else LOST)
    _, error = watch(preflight(needs(), ports, SCRIPT))
    assert [p.code for p in error.problems] == ["privilege.sudo"]


def test_without_root_the_account_looks_with_its_own_rights(recorded):
    host, _, ports = ports_for(lambda _: sound_text(recorded))
    watch(preflight(needs(privileged=False), ports, SCRIPT))
    assert [c.privileged for c in host.commands] == [False]
    assert b"sudo yes" not in b"".join(host.commands[0].stdin)


def test_a_lost_connection_passes_through():
    _, _, ports = ports_for(lambda _: LOST)
    _, error = watch(preflight(needs(), ports, SCRIPT))
    assert error is LOST


def test_an_unreadable_answer_is_an_error_that_shows_it():
    _, _, ports = ports_for(lambda _: "fish: Unknown command\n")
    _, error = watch(preflight(needs(), ports, SCRIPT))
    assert isinstance(error, PreflightError)
    assert "fish" in error.problems[0].detail


@pytest.mark.parametrize("after", range(1, 9))
def test_a_run_can_be_closed_after_any_event(recorded, after):
    _, _, ports = ports_for(lambda _: sound_text(recorded))
    run = preflight(needs(), ports, SCRIPT)
    for _ in range(after):
        next(run)
    run.close()
    with pytest.raises(StopIteration):
        next(run)
