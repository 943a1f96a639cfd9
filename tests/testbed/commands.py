"""Programs of this machine as functions: time-limited, with an error that says what was seen."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class TestbedError(Exception):
    """The test-bed cannot be had here; the message says what is missing and how to get it."""

    __test__ = False  # pytest: not a test class


def run(
    argv: Sequence[str],
    *,
    stdin: bytes | None = None,
    timeout: float = 900,
    env: Mapping[str, str] | None = None,
) -> str:
    """Standard output of a program that must succeed.

    Raises:
        TestbedError: with the program's last lines.
    """
    status, out, err = attempt(argv, stdin=stdin, timeout=timeout, env=env)
    if status != 0:
        tail = "\n".join((err or out).strip().splitlines()[-15:])
        raise TestbedError(f"{' '.join(argv[:6])} … ended with status {status}:\n{tail}")
    return out


def attempt(
    argv: Sequence[str],
    *,
    stdin: bytes | None = None,
    timeout: float = 900,
    env: Mapping[str, str] | None = None,
) -> tuple[int, str, str]:
    """Status, output, errors of a program; 127 when there is none, 124 when it takes too long."""
    try:
        done = subprocess.run(
            list(argv),
            input=stdin if stdin is not None else b"",
            capture_output=True,
            timeout=timeout,
            env={**os.environ, **env} if env else None,
            check=False,
        )
    except FileNotFoundError:
        return 127, "", f"{argv[0]}: no such program"
    except subprocess.TimeoutExpired:
        return 124, "", f"{argv[0]}: no end after {timeout:g} s"
    return (
        done.returncode,
        done.stdout.decode("utf-8", "replace"),
        done.stderr.decode("utf-8", "replace"),
    )


def docker(*arguments: str, timeout: float = 300) -> str:
    """Output of the machine's `docker`, without the final line end."""
    return run(["docker", *arguments], timeout=timeout).strip()


def address_of(container: str, network: str) -> str:
    """The address of a container on a network."""
    template = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
    return docker("inspect", "-f", template, container)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file while several test processes prepare the same thing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
