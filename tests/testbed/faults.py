"""Ways to cut a host off, each undone by leaving the block. What a client sees differs by way,
which is the point of having several.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from tests.testbed.bed import Testbed
from tests.testbed.commands import docker, run
from tests.testbed.hosts import Host

Action = Callable[[Testbed, Host], None]


def _disconnect(bed: Testbed, host: Host) -> None:
    docker("network", "disconnect", bed.network, host.container)


def _connect(bed: Testbed, host: Host) -> None:
    docker("network", "connect", "--ip", host.address, bed.network, host.container)


def _pause(_: Testbed, host: Host) -> None:
    docker("pause", host.container)


def _unpause(_: Testbed, host: Host) -> None:
    docker("unpause", host.container)


def _filter(bed: Testbed, host: Host, operation: str, *target: str) -> None:
    gateway = str(next(ipaddress.ip_network(bed.subnet).hosts()))
    _inside(
        host, "iptables", operation, "INPUT", "-s", gateway, "-p", "tcp", "--dport", str(host.port),
        "-j", *target,
    )  # fmt: skip


def _inside(host: Host, *argv: str) -> None:
    run(["docker", "exec", host.container, *argv])


REFUSE = ("REJECT", "--reject-with", "tcp-reset")
WAYS: Mapping[str, tuple[Action, Action]] = {
    "disconnect": (_disconnect, _connect),
    "refuse": (
        lambda bed, host: _filter(bed, host, "-I", *REFUSE),
        lambda bed, host: _filter(bed, host, "-D", *REFUSE),
    ),
    "drop": (
        lambda bed, host: _filter(bed, host, "-I", "DROP"),
        lambda bed, host: _filter(bed, host, "-D", "DROP"),
    ),
    "pause": (_pause, _unpause),
}
"""By name. A client sees: `disconnect` and `drop` no answer at all, `refuse` connection refused,
`pause` a connection that never says anything."""


@contextmanager
def cut(bed: Testbed, host: Host, how: str) -> Iterator[None]:
    """Cut a host off from this machine for the length of the block."""
    begin, end = WAYS[how]
    begin(bed, host)
    try:
        yield
    finally:
        end(bed, host)
