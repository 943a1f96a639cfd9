"""`python -m tests.testbed`: bring the test-bed up and down, look into it."""

from __future__ import annotations

import argparse
import json
import os
import sys

from tests.testbed import bed
from tests.testbed.commands import TestbedError
from tests.testbed.engine import ensure_engine, is_running, stop_engine
from tests.testbed.places import find_places


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.testbed", description=__doc__)
    parser.add_argument("--run", default="dev", help="id of the run (default: dev)")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="engine, images, registry, hosts; prints the state")
    up.add_argument("--hosts", type=int, default=1, help="number of target hosts (default: 1)")
    up.add_argument(
        "--real-images", action="store_true", help="no registry of our own; hosts reach the outside"
    )
    down = commands.add_parser("down", help="remove what carries the run's label")
    down.add_argument("--all", action="store_true", help="every run")
    down.add_argument("--engine", action="store_true", help="also an engine started by `up`")
    commands.add_parser("status", help="the state of every run")
    commands.add_parser("prepare", help="only install and start what a run needs here")
    ssh = commands.add_parser("ssh", help="a shell on a host, or a command there")
    ssh.add_argument("host")
    ssh.add_argument("remote", nargs=argparse.REMAINDER)
    reset = commands.add_parser("reset-host", help="a fresh host of the same name and address")
    reset.add_argument("host")
    for command in commands.choices.values():
        command.add_argument("--run", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Run one command; status 1 with a message when the test-bed cannot be had."""
    options = parse(argv)
    try:
        return COMMANDS[options.command](options)
    except TestbedError as error:
        print(f"testbed: {error}", file=sys.stderr)
        return 1


def _up(options: argparse.Namespace) -> int:
    made = bed.up(options.run, options.hosts, real_images=options.real_images)
    print(json.dumps(made.as_json(), indent=1))
    return 0


def _down(options: argparse.Namespace) -> int:
    if is_running():
        for run_id in bed.known_runs() if options.all else [options.run]:
            bed.down(run_id)
    if options.engine:
        ended = stop_engine(find_places())
        print("engine ended" if ended else "no engine was started by `up`", file=sys.stderr)
    return 0


def _status(_: argparse.Namespace) -> int:
    engine = is_running()
    runs = [made for run_id in bed.known_runs() if engine and (made := bed.load(run_id))]
    print(json.dumps({"engine": engine, "runs": [made.as_json() for made in runs]}, indent=1))
    return 0


def _ssh(options: argparse.Namespace) -> int:
    made = _running(options)
    argv = made.hosts[_known(made, options.host)].ssh_argv(*options.remote)
    if not options.remote:
        argv.insert(1, "-t")
    os.execvp(argv[0], argv)  # noqa: S606 - the login takes this process's place


def _reset(options: argparse.Namespace) -> int:
    made = _running(options)
    print(json.dumps(made.reset_host(_known(made, options.host)).as_json(), indent=1))
    return 0


def _running(options: argparse.Namespace) -> bed.Testbed:
    made = bed.load(options.run)
    if made is None:
        raise TestbedError(f"run {options.run} is not up; start it with `up --run {options.run}`")
    return made


def _known(made: bed.Testbed, name: str) -> str:
    if name not in made.hosts:
        raise TestbedError(f"no host {name}; there are: {', '.join(made.hosts) or 'none'}")
    return name


def _prepare(options: argparse.Namespace) -> int:
    del options
    ensure_engine(find_places())
    return 0


COMMANDS = {
    "up": _up, "down": _down, "status": _status, "ssh": _ssh, "reset-host": _reset,
    "prepare": _prepare,
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
