"""Two network namespaces, links between them of a chosen round-trip time, and an sshd in one.

Nothing of the machine's own interfaces, addresses or servers is touched; what is started is ended
by its process id. Round trips are made by `delaytun.c`, because kernels come without sch_netem.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from installer.adapters.ssh_target import SshTarget
from tests.bench.figures import ContenderError

PORT = 22222
TUN = Path("/dev/net/tun")
NAMESPACES = Path("/var/run/netns")
CLONE_NEWNET = 0x40000000
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def why_no_lab() -> str | None:
    """What is missing for any measurement over a network, or None."""
    if os.geteuid() != 0:
        return "not root: network namespaces cannot be made"
    for program, package in (
        ("ip", "iproute2"),
        ("ssh", "openssh-client"),
        ("ssh-keygen", "openssh-client"),
        ("sshd", "openssh-server"),
        ("tar", "tar"),
        ("unshare", "util-linux"),
    ):
        if shutil.which(program, path=_PATH) is None:
            return f"{program} is not installed (package {package})"
    tried = subprocess.run(["unshare", "-n", "-m", "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        return f"namespaces cannot be made here: {tried.stderr.strip()}"
    return None


def why_no_delay() -> str | None:
    """What is missing for round trips above 0 ms, or None."""
    if shutil.which("gcc") is None:
        return "gcc is not installed: the delayed link cannot be built"
    try:
        os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{TUN}: {error.strerror}: there is no delayed link"
    return None


@dataclass
class Lab:
    """One client, one host.

    Attributes:
        directory: Holds everything the lab needs; the host's files lie in `directory/host`.
        rtts: Round-trip times in ms; 0 is always there.
    """

    directory: Path
    rtts: Sequence[int]
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def client(self) -> str:
        """Name of the client's namespace."""
        return f"devplat-bench-{os.getpid()}-c"

    @property
    def server(self) -> str:
        """Name of the host's namespace."""
        return f"devplat-bench-{os.getpid()}-s"

    @property
    def key(self) -> Path:
        """The client's private key."""
        return self.directory / "id"

    @property
    def known_hosts(self) -> Path:
        """Names the host's key under every address."""
        return self.directory / "known_hosts"

    @property
    def host_directory(self) -> Path:
        """What the client may write to on the host."""
        return self.directory / "host"

    def address(self, rtt: int) -> str:
        """The host's address on the link of this round-trip time."""
        return f"10.99.{rtt}.11"

    def target(self, rtt: int) -> SshTarget:
        """The host as the product sees it."""
        return SshTarget(
            host=self.address(rtt),
            port=PORT,
            user="root",
            key_file=str(self.key),
            use_agent=False,
            known_hosts_file=str(self.known_hosts),
        )

    def ssh(self, rtt: int) -> list[str]:
        """The host as OpenSSH's client sees it, without the user's own configuration."""
        options = ["BatchMode=yes", "IdentitiesOnly=yes", f"UserKnownHostsFile={self.known_hosts}"]
        listed = [word for option in options for word in ("-o", option)]
        return ["ssh", "-F", "none", "-p", str(PORT), "-i", str(self.key), *listed,
                f"root@{self.address(rtt)}"]  # fmt: skip

    def up(self) -> None:
        """Build everything and wait until the host answers on every link.

        Raises:
            ContenderError: a part of it cannot be built.
        """
        for name in (self.client, self.server):
            _do("ip", "netns", "add", name)
            _within(name, "ip", "link", "set", "lo", "up")
        for rtt in self.rtts:
            self._add_link(rtt)
        self._write_configuration()
        self._start_server()
        for rtt in self.rtts:
            self._await_answer(rtt)

    def down(self) -> None:
        """End what was started, and remove the namespaces."""
        for process in reversed(self._started):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
        for name in (self.client, self.server):
            if (NAMESPACES / name).exists():
                subprocess.run(["ip", "netns", "del", name], check=False)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and what it starts meanwhile, are in the client's namespace."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        theirs = os.open(NAMESPACES / self.client, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(theirs)
            yield
        finally:
            _setns(own)
            os.close(theirs)
            os.close(own)

    def _add_link(self, rtt: int) -> None:
        near, far = f"dpb{rtt}a", f"dpb{rtt}b"
        if rtt == 0:
            _do("ip", "link", "add", near, "netns", self.client, "type", "veth",
                "peer", "name", far, "netns", self.server)  # fmt: skip
        else:
            self._start_delay(rtt, near, far)
        for name, device, address in (
            (self.client, near, f"10.99.{rtt}.1/24"),
            (self.server, far, f"{self.address(rtt)}/24"),
        ):
            _within(name, "ip", "addr", "add", address, "dev", device)
            _within(name, "ip", "link", "set", device, "txqueuelen", "10000", "mtu", "1500", "up")

    def _start_delay(self, rtt: int, near: str, far: str) -> None:
        relay = self.directory / "delaytun"
        if not relay.exists():
            _do("gcc", "-O2", "-o", str(relay), str(Path(__file__).with_name("delaytun.c")))
        process = subprocess.Popen(
            [relay, str(rtt / 2), self.client, near, self.server, far],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._started.append(process)
        if process.stdout is None or process.stdout.readline().strip() != b"ready":
            said = process.stderr.read().decode(errors="replace") if process.stderr else ""
            raise ContenderError(f"the delayed link does not come up: {said.strip()}")

    def _write_configuration(self) -> None:
        for path in (self.key, self.directory / "hostkey"):
            _do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path))
        public = (self.directory / "hostkey.pub").read_text().rsplit(" ", 1)[0]
        self.known_hosts.write_text(
            "".join(f"[{self.address(rtt)}]:{PORT} {public}\n" for rtt in self.rtts)
        )
        for name in ("host", "home"):
            (self.directory / name).mkdir()
        (self.directory / "sshd_config").write_text(
            "".join(f"ListenAddress {self.address(rtt)}\n" for rtt in self.rtts)
            + f"Port {PORT}\nHostKey {self.directory}/hostkey\nPidFile none\n"
            f"AuthorizedKeysFile {self.key}.pub\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nPermitRootLogin yes\nPrintMotd no\nPrintLastLog no\n"
        )

    def _start_server(self) -> None:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        sshd = shutil.which("sshd", path=_PATH)
        # An empty home, seen by the server alone: this machine's start-up files are not measured.
        script = (
            f"mount --bind '{self.directory}/home' /root && "
            f"exec {sshd} -D -e -f '{self.directory}/sshd_config'"
        )
        with (self.directory / "sshd.log").open("wb") as log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.server,
                 "unshare", "-m", "--propagation", "private", "sh", "-c", script],
                stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self._started.append(process)

    def _await_answer(self, rtt: int) -> None:
        deadline = time.monotonic() + 20
        with self.entered():
            while subprocess.run([*self.ssh(rtt), "true"], capture_output=True).returncode != 0:
                if time.monotonic() > deadline or self._started[-1].poll() is not None:
                    log = (self.directory / "sshd.log").read_text(errors="replace")
                    raise ContenderError(f"the host does not answer: {log[-400:]}")
                time.sleep(0.1)


def _do(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode != 0:
        raise ContenderError(f"{' '.join(argv)}: {done.stderr.strip()}")


def _within(namespace: str, *argv: str) -> None:
    _do("ip", "netns", "exec", namespace, *argv)


def _setns(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
