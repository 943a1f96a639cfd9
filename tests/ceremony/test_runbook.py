"""The runbook's procedures, carried out on a real server by the very lines that it shows.

What the lines do by way of the engine is left out here: paths and ports are those of this machine.
The stand-in has no such commands, so all of it skips without `DEVPLAT_TEST_VAULT_BIN`.
"""

import os
import pty
import re
import subprocess
import termios
from dataclasses import replace

import pytest

from installer.core.secrets import Secret
from installer.output.runbook import format_runbook
from installer.phases import ceremony
from installer.phases.steps import run_steps
from installer.stacks import load_stacks, load_templates
from tests.ceremony.rehearsal import perform, set_up
from tests.ceremony.test_ceremony import plain_shares
from tests.ceremony.test_snapshots import take, values_of
from tests.contract.vault.servers import free_port, wait_until
from tests.phases.test_steps import Journal

STTY = "stty() { :; }\n"
"""There is no terminal where shares are given from a file."""


@pytest.fixture
def installed(rehearse):
    """A rehearsal after its ceremony, on a real server of the flavor that is the default."""
    rehearsal = rehearse()
    if rehearsal.server.kind != "real" or rehearsal.server.flavour != "openbao":
        pytest.skip("needs the real OpenBao: DEVPLAT_TEST_VAULT_BIN")
    perform(set_up(rehearsal))
    return rehearsal


def blocks_of(rehearsal, title):
    """The fenced blocks of one section."""
    stacks = load_stacks()
    environment = load_templates(stacks.root, stacks.catalog).environment
    stage = set_up(rehearsal)
    text = format_runbook(stage.job.plan, stage.custody.handed_over(), "/runs", environment)
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert section, title
    return re.findall(r"^```sh\n(.*?)^```$", section[1], re.MULTILINE | re.DOTALL)


def environment_of(rehearsal, **more):
    """As in the container: one address, one authority, no token."""
    kept = {k: v for k, v in rehearsal.environment().items() if not k.startswith("BAO_")}
    return {**kept, **more}


def run(rehearsal, script, stdin="", **more):
    done = subprocess.run(
        ["/bin/sh", "-euc", script], input=stdin, capture_output=True, text=True, check=False,
        env=environment_of(rehearsal, **more), timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def type_into(rehearsal, command, answer, **more):
    """Run a command on a terminal and answer it unseen; returns all that the terminal shows."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["/bin/sh", "-c", f"exec {command}"], stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True, env=environment_of(rehearsal, **more),
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while b"hidden" not in shown:
            shown += os.read(ours, 4096)
        wait_until(lambda: not termios.tcgetattr(ours)[3] & termios.ECHO, lambda: "it is shown")
        os.write(ours, answer.encode() + b"\n")
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:
        pass  # Linux: the other end was closed
    os.close(ours)
    assert process.wait(30) == 0, shown
    return shown.decode()


def command_of(line):
    """A line without what the engine adds and without its remark."""
    return re.sub(r"docker exec -it? (-e \w+ )?\S+ ", "", line.partition("#")[0]).strip()


def break_glass(rehearsal):
    """A root token by the runbook; the server is closed again and open with the same shares."""
    server, shares = rehearsal.server, [s.reveal() for s in plain_shares(rehearsal)]
    server.shares, server.threshold, before = shares, 3, server.options
    outside, inside, _ = blocks_of(rehearsal, "Break glass: a new root token")
    port = free_port()
    hcl = re.search(r"<<'END'\n(.*?)^END$", outside, re.MULTILINE | re.DOTALL)[1]
    for old, new in {
        "/openbao/tls/server.pem": str(server.authority.certificate),
        "/openbao/tls/server.key": str(server.authority.key),
        "127.0.0.1:8300": f"127.0.0.1:{port}",
        "127.0.0.1:8301": f"127.0.0.1:{port + 1}",
    }.items():
        assert old in hcl
        hcl = hcl.replace(old, new)
    server.options = replace(before, extra=hcl)
    server.restart()
    (unseal,) = (line for line in outside.splitlines() if "operator unseal" in line)
    for share in shares[:3]:
        assert share not in type_into(rehearsal, command_of(unseal), share)
    lines = inside.replace("127.0.0.1:8300", f"127.0.0.1:{port}").splitlines()
    script = "\n".join(line for line in lines for _ in range(3 if line.startswith("give ") else 1))
    given = "".join(f"{share}\n" for share in shares[2:])
    token = run(rehearsal, STTY + script, given).splitlines()[-1]
    server.options = before
    server.restart()
    server.unseal()
    return token


def test_a_quorum_makes_a_root_token_and_the_door_is_shut_afterwards(installed):
    """SE-17: a new root token needs the threshold."""
    with pytest.raises(AssertionError):
        run(installed, "vault operator generate-root -init")
    token = break_glass(installed)
    assert "root" in run(installed, "vault token lookup -format=json", VAULT_TOKEN=token)
    assert installed.server.ask("GET", "sys/generate-root/attempt", token="").status == 405
    _, *rest = blocks_of(installed, "With a root token")[0].splitlines()
    shown = run(installed, STTY + "\n".join(rest), f"{token}\n")
    assert "policies" in shown
    assert not set_up(installed).ports.server.admin.is_valid(Secret(token))


def test_one_share_less_than_the_threshold_makes_none(installed):
    """SE-17."""
    with pytest.raises((AssertionError, ValueError)):
        shares = plain_shares(installed)
        for file in sorted((installed.folder / "run" / "custody").glob("*"))[2:]:
            file.write_text(shares[0].reveal())
        break_glass(installed)


def test_new_shares_open_it_and_old_ones_do_not(installed):
    token, old = break_glass(installed), [s.reveal() for s in plain_shares(installed)]
    begin, give = blocks_of(installed, "New shares")[0].splitlines()
    run(installed, command_of(begin), VAULT_TOKEN=token)
    for share in old[:3]:
        shown = type_into(installed, command_of(give), share, VAULT_TOKEN=token)
    new = re.findall(r"Key \d: ([A-Za-z0-9+/=]+)", shown)
    assert len(new) == 5 and set(new).isdisjoint(old)
    installed.server.restart()
    (unseal,) = (
        line for block in blocks_of(installed, "After a reboot") for line in block.splitlines()
        if "operator unseal" in line
    )  # fmt: skip
    with pytest.raises(AssertionError):
        for share in old[:3]:
            type_into(installed, command_of(unseal), share)
    for share in new[2:]:
        shown = type_into(installed, command_of(unseal), share)
    assert re.search(r"Sealed +false", shown)


def test_the_same_server_goes_back_to_a_snapshot(installed):
    stage = set_up(installed)
    stage.server.log_in()
    wanted, path = values_of(stage), take(stage)
    name = sorted(wanted)[0]
    stage.ports.secrets.remove(name)
    assert stage.ports.secrets.get(name) is None
    token = break_glass(installed)
    restore = blocks_of(installed, "Restore a snapshot")[1]
    script = re.sub(r"docker exec \S+ \S+ \S+ \S+ ", "", restore).replace(
        "/run/restore.snap", str(path)
    )
    run(installed, STTY + script, f"{token}\n")
    after = set_up(installed, references=lambda: plain_shares(installed))
    after.server.log_in()
    assert values_of(after) == wanted


def test_a_storage_that_is_lost_is_brought_back_by_an_empty_server(installed, launch_vault):
    stage = set_up(installed)
    stage.server.log_in()
    wanted, path = values_of(stage), take(stage)
    lost = installed.server
    lost.stop()
    fresh = launch_vault(audit={"file": f"{lost.folder}/audit.log"})
    installed.server, installed.address = fresh, fresh.address
    lines = blocks_of(installed, "Restore a snapshot")[2].splitlines()
    init, unseal, *_ = (command_of(line) for line in lines if "vault operator" in line)
    made = run(installed, init)
    key, token = (re.search(rf"{what}: (\S+)", made)[1] for what in ("Key 1", "Root Token"))
    type_into(installed, unseal, key)
    restore = next(line for line in lines if "snapshot restore" in line)
    script = re.sub(r"docker exec \S+ \S+ \S+ \S+ ", "", restore)
    fresh_is_active = "until vault status >/dev/null; do sleep 0.2; done\n"
    run(installed, fresh_is_active + script.replace("/run/restore.snap", str(path)),
        VAULT_TOKEN=token)  # fmt: skip
    fresh.restart()
    after = set_up(installed, references=lambda: plain_shares(installed))
    perform(after)
    assert values_of(after) == wanted


def test_a_new_bastion_gets_a_login_of_its_own_and_the_old_one_ends(installed):
    """The bastion is lost: break glass, end its login, run in a new run directory."""
    before = set_up(installed)
    before.server.log_in()
    wanted, old = values_of(before), before.custody.access()
    token = break_glass(installed)
    run(installed, "vault delete auth/approle/role/devplat-installer", VAULT_TOKEN=token)
    (installed.folder / "run").rename(installed.folder / "lost")
    (installed.folder / "run").mkdir(mode=0o700)

    new = set_up(installed)
    new.server.ports = replace(new.server.ports, token=Secret(token))
    steps = (*ceremony.opening_steps(new.server), ceremony.close_step(new.server))
    list(run_steps(steps, Journal()))
    kept = new.custody.access()
    assert kept is not None and kept != old
    again = set_up(installed)
    again.server.log_in()
    assert values_of(again) == wanted
    with pytest.raises(Exception, match="refuse"):
        again.ports.server.admin.log_in_as(old)
