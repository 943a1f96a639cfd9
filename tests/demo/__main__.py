"""`make demo`: the small profile on a throw-away host, by the command that an operator would use.

The host is a container of this machine's engine with an engine and sshd of its own. Images come
from the test-bed's registry under their real names, or from the real registries with REAL_IMAGES=1.
Secrets are in the embedded store; with VAULT=bundled they are in a secret server of the platform.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import yaml

from tests.testbed import bed
from tests.testbed.catalogue import read_images
from tests.testbed.commands import TestbedError
from tests.testbed.hosts import Host

RUN = "demo"
HERE = Path(__file__).resolve().parents[2] / ".devplat" / "demo"
INSTALLER = Path(sys.executable).with_name("devplat-install")
REAL = os.environ.get("REAL_IMAGES") == "1"
BUNDLED = os.environ.get("VAULT") == "bundled"
WAIVED = (
    "domain.not_public", "dns.missing", "dns.wildcard_missing", "host.cpus", "host.memory",
    "host.memory_share", "disk.space",
)  # fmt: skip
CUSTODY = ("vault.plain_shares", "vault.possession_unproven")


def main(command: str) -> int:
    """Run `up`, `shell` or `down`; returns the exit status."""
    try:
        return {"up": up, "shell": shell, "down": down}[command]()
    except TestbedError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def up() -> int:
    """Prepare the host, write the answers, install, say how to look around."""
    _say("preparing a rehearsal host (a minute or two the first time)")
    made = bed.up(RUN, 1, real_images=REAL)
    host = made.hosts["h1"]
    HERE.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = HERE / "images.lock.yaml"
    if REAL:
        _run([str(INSTALLER), "images", "lock", "--output", str(lock)])
    elif made.lock_file:
        lock = made.lock_file
    answers = _write_answers(host, lock)
    command = [
        str(INSTALLER), "--unattended", "--answers", str(answers), "--run-dir", str(HERE / "run"),
        "--yes",
    ]  # fmt: skip
    _say("installing: " + " ".join(command))
    status = subprocess.run(command, env=_environment(), stdin=subprocess.DEVNULL).returncode
    if status == 0:
        _tell(host, answers)
    return status


def shell() -> int:
    """A login on the rehearsal host."""
    return subprocess.run(_host().ssh_argv("-t", "bash -l")).returncode


def down() -> int:
    """Remove the host and what the demo wrote, the secrets with it."""
    bed.down(RUN)
    subprocess.run(["rm", "-rf", str(HERE)], check=True)
    return 0


def _write_answers(host: Host, lock: Path) -> Path:
    passphrase = HERE / "store.passphrase"
    if not passphrase.exists():
        with open(passphrase, "x", opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write(secrets.token_urlsafe(24))
    rehearsal = "a rehearsal host: nobody else looks these names up"
    answers = {
        "version": 1,
        "deployment": {"name": "demo"},
        "domain": {"base": "devplat.test"},
        "ssh": {
            "host": host.address,
            "port": host.port,
            "user": host.user,
            "key_file": host.key_file,
            "known_hosts_file": host.known_hosts_file,
            "agent": False,
        },
        "admin": {"email": "admin@devplat.test"},
        "vault": {
            "mode": "bundled" if BUNDLED else "embedded",
            "passphrase": f"file:{passphrase}",
        },
        "sizing": {"profile": "small", "users": 50, "concurrent_workspaces": 20},
        "images": {"lock_file": str(lock)},
        "waivers": dict.fromkeys((*WAIVED, *(CUSTODY if BUNDLED else ())), rehearsal),
    }  # fmt: skip
    path = HERE / "answers.yaml"
    path.write_text("# Written by make demo.\n" + yaml.safe_dump(answers, sort_keys=False))
    return path


def _tell(host: Host, answers: Path) -> None:
    if not REAL:
        kinds = read_images()
        for kind, text in (
            ("stand-in", "stand-ins of ours that read the rendered configuration"),
            ("debian", "the real programs in Debian's build"),
        ):
            names = sorted(n for n, i in kinds.items() if i.kind == kind and "/" in n)
            _say(f"{text}: {', '.join(names)}")
    _say(f"the report: {HERE / 'run' / 'runs'}/*/report.md")
    _say("look around: make demo-shell, then: docker ps; sudo ls /opt/devplat")
    _say(f"again, without a change: {INSTALLER} plan --answers {answers} --run-dir {HERE / 'run'}")
    _say(
        f"a page: curl --resolve coder.devplat.test:443:{host.address} -k"
        " https://coder.devplat.test/healthz"
    )
    _say("done with it: make demo-down")


def _host() -> Host:
    made = bed.load(RUN)
    if made is None or "h1" not in made.hosts:
        raise TestbedError("there is no rehearsal host; make demo brings one up")
    return made.hosts["h1"]


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("DEVPLAT_")}


def _run(command: list[str]) -> None:
    if subprocess.run(command).returncode != 0:
        raise TestbedError(f"{' '.join(command)} did not succeed")


def _say(text: str) -> None:
    print(f"demo: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
