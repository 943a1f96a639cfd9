"""Looks at a host while questions about it are still being answered: who it is, what it has.

Read-only, and of the answers only those about reaching it are needed. Judging what is seen is
preflight's; this shows it early.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from installer.adapters.clock import SystemClock
from installer.adapters.ssh import SshHost
from installer.core.answers_sections import Ssh
from installer.core.errors import AnswersError
from installer.core.facts import HostFacts
from installer.core.facts_parse import parse_facts
from installer.core.interview import Interview
from installer.core.probe import format_parameters
from installer.core.redaction import Redactor
from installer.ports import Command
from installer.secret_reader import SecretReader
from installer.wiring import ssh_target

SECTION = "ssh"
TIME_LIMIT_S = 60.0


def look_at_host(interview: Interview, probe: str) -> tuple[str, ...]:
    """Connect as the answers say and ask the host about itself.

    Args:
        interview: Its answers about SSH are used.
        probe: Text of the probe script.

    Raises:
        AnswersError: they do not stand yet.
        InstallError: the host cannot be reached, its key is not known, or it lets nobody in.
    """
    questions = [path for path in interview.form.questions if path.startswith(f"{SECTION}.")]
    if refused := [problem for path in questions for problem in interview.item(path).refusals]:
        raise AnswersError(*refused)
    values = {path.partition(".")[2]: interview.found.values[path] for path in questions}
    # nobody can be asked behind the screen; a run asks when it needs to
    target = ssh_target(Ssh.model_construct(**values), SecretReader(Redactor(), None))
    data = interview.found.values["target.data_dir"]
    parameters = format_parameters([("install", data), ("data", data)])
    clock = SystemClock()
    with SshHost(target) as host:
        sent = clock.now()
        done = host.run(Command(probe, stdin=(parameters,), timeout_s=TIME_LIMIT_S))
        facts = parse_facts(done.text, host.name, sent=sent, received=clock.now())
    return tuple(describe(facts, str(data)))


def describe(facts: HostFacts, data_dir: str) -> Iterator[str]:
    """What an operator compares with what they meant to reach; a line for each."""
    yield f"{facts.os.title}, kernel {facts.release}, {facts.machine}"
    memory = f"{facts.memory.total_mib / 1024:.1f} GiB memory" if facts.memory else "memory unknown"
    yield f"{facts.cpus or '?'} CPUs, {memory}"
    place = facts.paths.get(data_dir)
    if place is not None and place.available is not None:
        yield f"{place.available / 2**30:.0f} GiB free for {data_dir} ({place.fs_type})"
    engine = facts.engine
    version = f" {engine.version}, Compose {engine.compose or 'absent'}" if engine.version else ""
    yield f"container engine: {engine.state}{version}"
    yield f"logged in as {facts.account.user}"
    if facts.installation.current:
        yield f"installed: release {facts.installation.current}"


def shell_words(ssh: Ssh) -> tuple[str, ...] | None:
    """The command that opens a shell on the target with OpenSSH; None where it is not installed.

    Host keys stay verified: a key that is only pinned in the answers has to be confirmed there.
    """
    program = shutil.which("ssh")
    if program is None:
        return None
    words = [
        program,
        "-p",
        str(ssh.port),
        "-o",
        f"UserKnownHostsFile={_home(ssh.known_hosts_file)}",
    ]
    words += ["-i", _home(ssh.key_file)] if ssh.key_file else []
    words += ["-J", ",".join(ssh.jump)] if ssh.jump else []
    return (*words, "-l", ssh.user, "--", ssh.host)


def _home(path: str) -> str:
    return str(Path(path).expanduser())
