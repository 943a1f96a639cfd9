"""A stand-in for HashiCorp Vault and OpenBao: `server`, `agent`, `status`, `version`, `operator
init|unseal|seal`, `token lookup`. `main` is the program `vault`, `bao_main` the program `bao`.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from standin import Refused, run_program, say

PRODUCTS = {"openbao": "OpenBao", "vault": "Vault"}
PROGRAMS = {"openbao": "bao", "vault": "vault"}
CONNECTION = {"address", "ca-cert", "tls-server-name", "tls-skip-verify", "format"}
STATUS_ORDER = (
    "type", "initialized", "sealed", "t", "n", "progress", "nonce", "version", "commit_date",
    "migration", "recovery_seal", "cluster_name", "cluster_id", "storage_type",
)  # fmt: skip
NO_TERMINAL = (
    "An error occurred attempting to ask for an unseal key: file descriptor 0 is not a terminal"
)


IPC_LOCK = 14
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True)
class Command:
    """What was asked for: options without their dashes, and words."""

    flavour: str
    options: Mapping[str, str]
    words: Sequence[str]


def main(argv: list[str]) -> int:
    """The program `vault`. Its file carries a capability, and so cannot be started without it."""
    if not has_capability(IPC_LOCK):
        say("exec /bin/vault: operation not permitted", error=True)
        return 126
    return _run("vault", argv)


def bao_main(argv: list[str]) -> int:
    """The program `bao`."""
    return _run("openbao", argv)


def has_capability(number: int, status: str = "/proc/self/status") -> bool:
    """Whether programs started here can have it (Linux: the bounding set)."""
    match = re.search(r"^CapBnd:\s*([0-9a-f]+)$", Path(status).read_text(), re.MULTILINE)
    return match is None or bool(int(match[1], 16) >> number & 1)


def _run(flavour: str, argv: list[str]) -> int:
    name = " ".join(argv[1:3]) if argv[1:2] in (["operator"], ["token"]) else " ".join(argv[1:2])
    if name in ("-v", "--version", "-version"):
        name = "version"
    if name not in COMMANDS:
        say(f"Usage: {PROGRAMS[flavour]} <command> [args]; the stand-in has {', '.join(COMMANDS)}",
            error=True)  # fmt: skip
        return 1 if name.startswith(("operator", "token")) else 127
    act, known = COMMANDS[name]

    def body() -> int:
        return act(_read_command(flavour, argv[1 + len(name.split()) :], known))

    return run_program(PRODUCTS[flavour], body)


def _read_command(flavour: str, words: list[str], known: set[str]) -> Command:
    options: dict[str, str] = {}
    rest = []
    for word in words:
        match = re.fullmatch(r"--?([a-z][a-z-]*)(?:=(.*))?", word, re.DOTALL)
        if match is None:
            rest.append(word)
            continue
        if match[1] not in known:
            raise Refused(f"flag provided but not defined: -{match[1]}")
        options[match[1]] = "true" if match[2] is None else match[2]
    return Command(flavour, options, rest)


def _version(command: Command) -> int:
    from vault_core import VERSIONS

    flavour = command.flavour
    say(f"{PRODUCTS[flavour]} v{VERSIONS[flavour]} (a stand-in of the test-bed)")
    return 0


def _server(command: Command) -> int:
    from vault_config import read_config
    from vault_core import Core
    from vault_http import make_context, serve
    from vault_router import Router

    if command.words:
        raise Refused(f"Too many arguments (expected 0, got {len(command.words)})")
    if not command.options.get("config"):
        raise Refused("Must specify at least one config path using -config")
    config = read_config(command.options["config"], command.flavour)
    core = Core(config)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # before there are other threads
    server = serve(config.listener, Router(core).answer)

    _log(config.log_format, f"{PRODUCTS[command.flavour]} server started! (stand-in)")
    while signal.sigwait(SIGNALS) == signal.SIGHUP:
        try:
            server.context = make_context(config.listener)
        except Refused as refusal:
            _log(config.log_format, f"reload: {refusal}")
        with core.lock:
            core.audit.reopen()
    with core.lock:
        core.seal()
    server.shutdown()
    server.server_close()
    return 0


def _log(form: str, text: str) -> None:
    line = {"@level": "info", "@message": text, "@module": "core"}
    say(json.dumps(line) if form == "json" else f"==> {text}")


def _agent(command: Command) -> int:
    from vault_agent import run_agent

    if not command.options.get("config"):
        raise Refused("Must specify exactly at least one config path using -config")
    return run_agent(command.options["config"], command.flavour)


def _talk(command: Command, failed: int, doing: str, act: Callable[[Any], int]) -> int:
    """Run `act` with a client; `failed` is the status when the server does not play along."""
    from vault_client import NotReachedError, ServerError, client_from

    try:
        return act(client_from(command.options))
    except (NotReachedError, ServerError) as error:
        say(f"{doing}: {error}" if doing else str(error), error=True)
        return failed


def _status(command: Command) -> int:
    def act(client: Any) -> int:
        status = client.ask("GET", "sys/seal-status")
        leader = {} if status["sealed"] else client.ask("GET", "sys/leader")
        _show_status(command, status, leader)
        return 2 if status["sealed"] else 0

    return _talk(command, 1, "Error checking seal status", act)


def _show_status(command: Command, status: dict[str, Any], leader: Mapping[str, Any]) -> None:
    if command.options.get("format", "table") == "json":
        shown = {name: status[name] for name in STATUS_ORDER if name in status}
        say(json.dumps({**shown, "build_date": "", "ha_enabled": True}, indent=2))
        return
    rows = {
        "Seal Type": status["type"], "Initialized": str(status["initialized"]).lower(),
        "Sealed": str(status["sealed"]).lower(), "Total Shares": status["n"],
        "Threshold": status["t"],
    }  # fmt: skip
    if status["sealed"]:
        rows["Unseal Progress"] = f"{status['progress']}/{status['t']}"
        rows["Unseal Nonce"] = status["nonce"] or "n/a"
    rows |= {"Version": status["version"], "Storage Type": status["storage_type"]}
    if status.get("cluster_name"):
        rows |= {"Cluster Name": status["cluster_name"], "Cluster ID": status["cluster_id"]}
    rows["HA Enabled"] = "true"
    if leader:
        leads = leader["is_self"]
        rows["HA Cluster"] = leader["leader_cluster_address"] or "n/a"
        rows["HA Mode"] = "active" if leads else "standby"
        rows["Active Since" if leads else "Active Node Address"] = (
            leader["active_time"] if leads else leader["leader_address"] or "<none>"
        )
        rows["Raft Committed Index"] = leader["raft_committed_index"]
        rows["Raft Applied Index"] = leader["raft_applied_index"]
    width = max(map(len, rows)) + 4
    for name, value in {"Key": "Value", "---": "-----", **rows}.items():
        say(f"{name:<{width}}{value}")


def _init(command: Command) -> int:
    options = command.options
    if command.words:
        raise Refused(f"Too many arguments (expected 0, got {len(command.words)})")
    body: dict[str, Any] = {
        "secret_shares": _number(options, "key-shares", 5),
        "secret_threshold": _number(options, "key-threshold", 3),
    }
    if options.get("pgp-keys"):
        body["pgp_keys"] = [_key_file("pgp-keys", path) for path in options["pgp-keys"].split(",")]
    if options.get("root-token-pgp-key"):
        body["root_token_pgp_key"] = _key_file("root-token-pgp-key", options["root-token-pgp-key"])

    def act(client: Any) -> int:
        if "status" in options:
            initialised = client.ask("GET", "sys/init")["initialized"]
            say(f"Vault is {'' if initialised else 'not '}initialized")
            return 0 if initialised else 2
        made = client.ask("PUT", "sys/init", body)
        if options.get("format", "table") == "json":
            say(json.dumps({
                "unseal_keys_b64": made["keys_base64"], "unseal_keys_hex": made["keys"],
                "unseal_shares": body["secret_shares"],
                "unseal_threshold": body["secret_threshold"], "recovery_keys_b64": None,
                "recovery_keys_hex": None, "recovery_keys_shares": 0,
                "recovery_keys_threshold": 0, "root_token": made["root_token"],
            }, indent=2))  # fmt: skip
            return 0
        for number, key in enumerate(made["keys_base64"], 1):
            say(f"Unseal Key {number}: {key}")
        say(f"\nInitial Root Token: {made['root_token']}")
        return 0

    return _talk(command, 2, "Error initializing", act)


def _number(options: Mapping[str, str], name: str, default: int) -> int:
    text = options.get(name, str(default))
    if not re.fullmatch(r"-?\d+", text):
        raise Refused(f'invalid value "{text}" for flag -{name}: parse error')
    return int(text)


def _key_file(flag: str, path: str) -> str:
    import base64

    from vault_pgp import dearmor

    try:
        return base64.b64encode(dearmor(Path(path.removeprefix("@")).read_bytes())).decode()
    except OSError as error:
        why = f"open {path}: {(error.strerror or '').lower()}"
        raise Refused(f'invalid value "{path}" for flag -{flag}: {why}') from error


def _unseal(command: Command) -> int:
    reset = "reset" in command.options
    if not reset and not command.words:
        if not sys.stdin.isatty():
            raise Refused(NO_TERMINAL)
        import getpass

        command = Command(command.flavour, command.options, [getpass.getpass("Unseal Key: ")])

    def act(client: Any) -> int:
        body = {"reset": True} if reset else {"key": command.words[0].strip()}
        _show_status(command, client.ask("PUT", "sys/unseal", body), {})
        return 0

    return _talk(command, 2, "Error unsealing", act)


def _token_lookup(command: Command) -> int:
    def act(client: Any) -> int:
        asked = {"token": command.words[0]} if command.words else None
        path = "auth/token/lookup" if asked else "auth/token/lookup-self"
        data = client.ask("POST" if asked else "GET", path, asked)["data"]
        if command.options.get("format", "table") == "json":
            say(json.dumps({"data": data}, indent=2))
            return 0
        for name, value in {"Key": "Value", "---": "-----", **data}.items():
            say(f"{name:<20}{value}")
        return 0

    return _talk(command, 2, "Error looking up token", act)


def _seal(command: Command) -> int:
    def act(client: Any) -> int:
        client.ask("PUT", "sys/seal")
        say("Success! Vault is sealed.")
        return 0

    return _talk(command, 2, "Error sealing", act)


def _generic(command: Command, name: str) -> int:
    import vault_commands

    def act(client: Any) -> int:
        getattr(vault_commands, name)(client, command.options, list(command.words))
        return 0

    if name == "raft":
        return _talk(command, 2, "Error taking the snapshot", act)
    doing = {"write": "Error writing data", "read": "Error reading data"}[name]
    return _talk(command, 2, f"{doing} to {command.words[0] if command.words else '?'}", act)


def _token_revoke(command: Command) -> int:
    if "self" not in command.options:
        raise Refused("the stand-in revokes with -self only")

    def act(client: Any) -> int:
        client.ask("POST", "auth/token/revoke-self")
        say("Success! Revoked token (if it existed)")
        return 0

    return _talk(command, 2, "Error revoking token", act)


COMMANDS: Mapping[str, tuple[Callable[[Command], int], set[str]]] = {
    "server": (_server, {"config", "log-level", "log-format"}),
    "agent": (_agent, {"config", "log-level", "log-format", "exit-after-auth"}),
    "status": (_status, CONNECTION),
    "version": (_version, set()),
    "operator init": (
        _init,
        {*CONNECTION, "key-shares", "key-threshold", "pgp-keys", "root-token-pgp-key", "status"},
    ),
    "operator unseal": (_unseal, {*CONNECTION, "reset"}),
    "operator seal": (_seal, CONNECTION),
    "operator raft": (lambda command: _generic(command, "raft"), CONNECTION),
    "token lookup": (_token_lookup, CONNECTION),
    "token revoke": (_token_revoke, {*CONNECTION, "self"}),
    "write": (
        lambda command: _generic(command, "write"),
        {*CONNECTION, "field", "force", "f", "wrap-ttl"},
    ),
    "read": (lambda command: _generic(command, "read"), {*CONNECTION, "field", "wrap-ttl"}),
}
