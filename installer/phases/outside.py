"""Ports of the target as somebody else sees them: tried from the bastion or a vantage point.

Before anything is installed a listener of our own stands behind the ports for some seconds, and
ends by itself; afterwards whatever listens is what it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from installer.core.errors import InstallError, Problem, Remedy, VerifyError
from installer.core.outside import Came, Knock, Rehearsal
from installer.core.probe import read_output
from installer.core.segmentation.reach import parse_tries
from installer.phases.remote import quote
from installer.ports import Command, Completed, Host

ANSWER_WITHIN_S = 1.3
"""A first packet that is lost is sent again after 1 s (RFC 6298, section 2)."""
LISTENS_FOR_S = 20
"""Enough for a vantage point to connect over SSH and to try; then the listener ends by itself."""
_EVERYWHERE = "0.0.0.0,::"
_PYTHONS = "python3 /usr/libexec/platform-python"  # the second is that of RHEL without python3


def knock(
    script: bytes, view: Host, doors: Iterable[tuple[str, int]], *, greet: bool = False
) -> tuple[Knock, ...]:
    """Try these addresses and ports from there, all at the same time.

    Raises:
        VerifyError: nothing could be tried from there.
        InstallError: it cannot be reached.
    """
    words = [str(ANSWER_WITHIN_S), *(["GREET=yes"] if greet else [])]
    words += [quote(str(part)) for door in doors for part in door]
    done = view.run(Command(f"exec bash -s -- {' '.join(words)}", (script,), timeout_s=60.0))
    try:
        section = read_output(done.text, view.name).get("knocks")
    except InstallError as error:
        raise VerifyError(_untried(view, done)) from error
    greetings = {}
    for text in section.all("greeting"):
        address, port, said = (*text.split(maxsplit=2), "", "", "")[:3]
        greetings[address, port] = said
    return tuple(
        Knock(t.address, t.port, t.came, greetings.get((t.address, str(t.port)), ""))
        for t in parse_tries(section.lines)
    )


def rehearse(
    scripts: tuple[bytes, bytes], host: Host, view: Host, vantage: str,
    doors: Sequence[tuple[str, int]], nonce: str,
) -> Rehearsal:  # fmt: skip
    """Listen on the target where a port is free, and see from there whether it is reached.

    Args:
        scripts: Texts of `assets/greet.py` and `assets/knock.sh`.
        host: The target.
        view: The vantage point.
        vantage: Its name for people.
        doors: Addresses and ports to try; each port once for each address.
        nonce: What our listener says.
    """
    greet, knocking = scripts
    ports = list(dict.fromkeys(port for _, port in doors))
    listen = (
        f"for python in {_PYTHONS}; do command -v $python >/dev/null || continue;"
        f" exec $python - {LISTENS_FOR_S} {quote(nonce)} {_EVERYWHERE} {' '.join(map(str, ports))};"
        " done; exit 127"
    )
    talk = host.stream(Command(listen, (greet,), privileged=True, timeout_s=LISTENS_FOR_S + 30.0))
    busy: dict[int, str] = {}
    knocks: tuple[Knock, ...] = ()
    why = ""
    try:
        while True:
            line = next(talk).text.strip()
            said, _, rest = line.partition(" ")
            if said == "busy":
                number, _, reason = rest.partition(" ")
                busy |= {port: reason for port in ports if str(port) == number}
            elif line == "all":
                try:
                    knocks = knock(knocking, view, doors, greet=True)
                except InstallError as error:
                    why = error.problems[0].summary
    except StopIteration as ended:
        status = ended.value.status
    if not knocks and not why:
        why = (
            "the target has no python3 to listen with"
            if status == 127
            else f"the listener on the target ended with status {status}"
        )
    return Rehearsal(vantage, knocks, nonce, busy, why)


def _untried(view: Host, done: Completed) -> Problem:
    said = done.error_text.strip().splitlines() or ["no output"]
    return Problem(
        "ports.outside_unknown",
        f"no port could be tried from {view.name}: {said[-1]}",
        Remedy("it needs bash; try again when it has it, or name another vantage point"),
        where="network.vantage",
    )


def is_seen(knocks: Iterable[Knock]) -> bool:
    """Whether anything at all came back from there."""
    return any(k.came in (Came.OPEN, Came.REFUSED) for k in knocks)
