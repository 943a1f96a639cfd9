"""The server's state and its life: storage on disk that only the unseal key opens, initialisation,
unsealing by shares, sealing, standing by. What calls mean is in `vault_router` and the engines.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import vault_pgp
from standin import Refused
from vault_acl import DEFAULT, Acl, parse_policy
from vault_audit import Broker, Device
from vault_config import Config
from vault_shamir import ShareError, WrongKeyError, close_box, combine, open_box, split
from vault_tokens import Tokens
from vault_wire import Fault, stamp

KEY_SIZE = 32
VERSIONS = {"openbao": "2.6.2", "vault": "2.1.2"}
STANDBY_S = 10.0
"""Seconds that a node which stepped down waits before it tries to lead again."""


def new_mount(kind: str, options: dict[str, str] | None, description: str = "") -> dict[str, Any]:
    """The entry of a mount."""
    identifier = str(uuid.uuid4())
    return {
        "type": kind, "options": options, "description": description, "uuid": identifier,
        "accessor": f"{kind}_{identifier[:8]}", "local": kind == "cubbyhole",
        "config": {"default_lease_ttl": 0, "force_no_cache": False, "max_lease_ttl": 0},
    }  # fmt: skip


class Core:
    """One node. Its methods are called with `lock` held."""

    def __init__(self, config: Config) -> None:
        """Open the storage.

        Raises:
            Refused: when it is not there, or not ours to write.
        """
        self.config = config
        self.flavour = config.flavour
        self.token_prefix = "s." if self.flavour == "openbao" else "hvs."
        self.default_ttl, self.max_ttl = config.default_ttl, config.max_ttl
        self.lock = threading.RLock()
        self.audit = Broker()
        self.tokens = Tokens(self)
        self.state: dict[str, Any] = {}
        self.root_key = b""
        self.given: list[bytes] = []
        self.nonce = ""
        self.standby_until = 0.0
        self.active_since = 0.0
        self.dirty = False
        self.file = config.storage / "vault.db"
        self.header = self._open_storage()

    @property
    def version(self) -> str:
        return VERSIONS[self.flavour]

    @property
    def sealed(self) -> bool:
        return not self.state

    @property
    def initialised(self) -> bool:
        return bool(self.header.get("keys"))

    @property
    def standby(self) -> bool:
        return self.sealed or time.monotonic() < self.standby_until

    def changed(self) -> None:
        """Say that the state is to be written before the answer goes out."""
        self.dirty = True

    def flush(self) -> None:
        """Write the state, durably, when it changed."""
        if not self.dirty or not self.state:
            return
        self.dirty = False
        try:
            self._write({**self.header, "state": self._box()})
        except Fault:
            self.state = self._read_state()
            raise

    def acl(self, entry: dict[str, Any]) -> Acl:
        """The rules of a token that is not root's."""
        policies = self.state["policies"]
        texts = [policies[name]["policy"] for name in entry["policies"] if name in policies]
        return Acl(rule for text in texts for rule in parse_policy(text))

    def initialise(self, data: dict[str, Any]) -> dict[str, Any]:
        """Set up the storage; what is answered is known to nobody else.

        Raises:
            Fault: 400 for what cannot be, and when it was done before.
        """
        if self.initialised:
            raise Fault(400, "Vault is already initialized")
        count, threshold, keys = _seal_request(data)
        if self.header.get("bootstrapped"):
            text = "error bootstrapping cluster: cluster already has state"
            raise Fault(400, f"could not bootstrap clustered storage: {text}")
        # from here on the storage is in use, and no mistake below gives it back
        self._write({"bootstrapped": True})
        unseal_key, self.root_key = os.urandom(KEY_SIZE), os.urandom(KEY_SIZE)
        shares = split(unseal_key, count, threshold)
        texts = [share.hex().encode() for share in shares]
        sealed = [vault_pgp.encrypt(k, t) for k, t in zip(keys, texts, strict=True)] if keys else []
        keyring = base64.b64encode(close_box(unseal_key, self.root_key)).decode()
        self.state = self._new_state()
        token = self.tokens.make(path="auth/token/root", display_name="root")["id"]
        seal = {"shares": count, "threshold": threshold, "keys": keyring, "state": self._box()}
        try:
            self._write({"bootstrapped": True, **seal})
            self._open_audit()
            token = self._hide_token(data, token)
        finally:
            self.seal()
        parts = sealed or shares
        return {
            "keys": [part.hex() for part in parts],
            "keys_base64": [base64.b64encode(part).decode() for part in parts],
            "root_token": token,
        }

    def unseal(self, data: dict[str, Any]) -> None:
        """Take one share, or with `reset` forget those given.

        Raises:
            Fault: 400 for what is no share, and for shares that do not open the storage.
        """
        if not self.initialised:
            raise Fault(400, "Vault is not initialized")
        if data.get("reset"):
            self.given, self.nonce = [], ""
            return
        share = decode_share(str(data.get("key") or ""))
        if not self.sealed:
            return
        if share not in self.given:
            self.given.append(share)
            self.nonce = self.nonce or str(uuid.uuid4())
        if len(self.given) < self.header["threshold"]:
            return
        shares, self.given, self.nonce = self.given, [], ""
        try:
            key = shares[0] if self.header["threshold"] == 1 else combine(shares)
        except ShareError as error:
            raise Fault(400, f"invalid key: failed to compute combined key: {error}") from error
        try:
            self.root_key = open_box(key, base64.b64decode(self.header["keys"]))
        except WrongKeyError as error:
            text = "invalid key: failed to decrypt keys from storage"
            raise Fault(400, f"unable to retrieve stored keys: {text}: {error}") from error
        self.state = self._read_state()
        try:
            self._open_audit()
        except Fault:
            self.seal()
            raise
        self.active_since = time.time()

    def seal(self) -> None:
        """Forget everything that the shares opened."""
        self.flush()
        self.state, self.root_key, self.given, self.nonce = {}, b"", [], ""
        self.standby_until = 0.0
        self.audit.close()

    def step_down(self) -> None:
        """Give up leading for a while."""
        self.standby_until = time.monotonic() + STANDBY_S

    def status(self) -> dict[str, Any]:
        """What `sys/seal-status` says."""
        shown = self.initialised
        made = {
            "type": "shamir", "initialized": shown, "sealed": self.sealed,
            "t": self.header.get("threshold", 0), "n": self.header.get("shares", 0),
            "progress": len(self.given), "nonce": self.nonce, "recovery_seal": False,
            "version": self.version, "commit_date": "", "migration": False,
        }  # fmt: skip
        if not self.sealed:
            made |= {"cluster_name": self.state["name"], "cluster_id": self.state["id"]}
        return {**made, "storage_type": "raft"}

    def open_device(self, path: str, options: dict[str, Any]) -> None:
        """Start an audit device.

        Raises:
            Fault: 400 when it cannot write.
        """
        if options["type"] != "file":
            text = f'unknown backend type: "{options["type"]}"'
            raise Fault(400, f"failed to create new audit device {path}: {text}")
        salt = bytes.fromhex(self.state["salt"])
        self.audit.devices[path] = Device(path, options["options"], salt)

    def audit_devices(self) -> dict[str, dict[str, Any]]:
        """The devices by path: those of the configuration where it has them, else the state's."""
        return {**self.state["audit"], **self.config.audit}

    def _box(self) -> str:
        return base64.b64encode(close_box(self.root_key, json.dumps(self.state).encode())).decode()

    def _read_state(self) -> dict[str, Any]:
        return dict(json.loads(open_box(self.root_key, base64.b64decode(self.header["state"]))))

    def _open_audit(self) -> None:
        for path, options in self.audit_devices().items():
            self.open_device(path, options)

    def _hide_token(self, data: dict[str, Any], token: str) -> str:
        key = data.get("root_token_pgp_key")
        if not key:
            return token
        return base64.b64encode(
            vault_pgp.encrypt(vault_pgp.decode_key(key), token.encode())
        ).decode()

    def _new_state(self) -> dict[str, Any]:
        name, now = secrets.token_hex(4), stamp()
        policy = {"policy": DEFAULT, "version": 1, "modified": now}
        return {
            "name": f"vault-cluster-{name}", "id": str(uuid.uuid4()), "salt": secrets.token_hex(32),
            "mounts": {
                "sys/": new_mount("system", None, "system endpoints used for control and policy"),
                "cubbyhole/": new_mount("cubbyhole", None, "per-token private secret storage"),
                "identity/": new_mount("identity", None, "identity store"),
            },
            "auth": {"token/": new_mount("token", None, "token based credentials")},
            "audit": {}, "policies": {"default": policy}, "tokens": {}, "stores": {},
            "cubbyholes": {}, "quotas": {}, "installed": now,
        }  # fmt: skip

    def _open_storage(self) -> dict[str, Any]:
        where = "error initializing storage of type raft: failed to create fsm"
        folder = self.config.storage
        try:
            if not folder.is_dir():
                raise FileNotFoundError(2, "no such file or directory")
            (folder / "raft").mkdir(exist_ok=True, mode=0o700)
            if not self.file.exists():
                _write_whole(self.file, b"{}")
            with self.file.open("r+b") as handle:
                return json.load(handle)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise Refused(
                f"{where}: failed to open bolt file: open {self.file}: {reason}"
            ) from error

    def _write(self, header: dict[str, Any]) -> None:
        try:
            _write_whole(self.file, json.dumps(header).encode())
        except OSError as error:
            raise Fault(500, f"failed to persist entry: {error.strerror}") from error
        self.header = header


def _write_whole(path: Path, content: bytes) -> None:
    part = path.with_suffix(".part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _seal_request(data: dict[str, Any]) -> tuple[int, int, list[bytes]]:
    """Shares, threshold and keys of a request, refused as the server refuses them."""
    for name in ("secret_shares", "secret_threshold"):
        if not isinstance(data.get(name, 0), int):
            kind = "string" if isinstance(data[name], str) else "value"
            where = f"Go struct field InitRequest.{name} of type int"
            text = f"json: cannot unmarshal {kind} into {where}"
            raise Fault(400, f"failed to decode JSON input: {text}")
    extra = [name for name in ("recovery_shares", "recovery_threshold") if data.get(name)]
    if extra:
        raise Fault(400, f"parameters {','.join(extra)} not applicable to seal type shamir")
    count, threshold = data.get("secret_shares", 0), data.get("secret_threshold", 0)
    keys = data.get("pgp_keys") or []
    found = {
        "shares must be at least one": count < 1,
        "shares must be less than 256": count > 255,
        "threshold must be at least one": threshold < 1,
        "threshold must be greater than one for multiple shares": count > 1 and threshold == 1,
        "threshold cannot be larger than shares": threshold > count,
        "count mismatch between number of provided PGP keys and number of shares": bool(
            keys and len(keys) != count
        ),
    }
    for text, is_wrong in found.items():
        if is_wrong:
            raise Fault(400, f"invalid seal configuration: {text}")
    try:
        return count, threshold, [vault_pgp.decode_key(key) for key in keys]
    except Fault as fault:
        raise Fault(400, f"invalid seal configuration: {fault.messages[0]}") from fault


def decode_share(text: str) -> bytes:
    """A share as a client gives it, in hex or base64.

    Raises:
        Fault: 400 for what is none.
    """
    if not text:
        raise Fault(400, "'key' must be specified in request body as JSON, or 'reset' set to true")
    try:
        share = bytes.fromhex(text)
    except ValueError:
        try:
            share = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Fault(400, "'key' must be a valid hex or base64 string") from error
    if len(share) < 16:
        raise Fault(400, "invalid key: key is shorter than minimum 16 bytes")
    if len(share) > KEY_SIZE + 1:
        raise Fault(400, f"invalid key: key is longer than maximum {KEY_SIZE + 1} bytes")
    return share


def make_root_token(core: Core) -> str:
    """A fresh root token."""
    token = core.tokens.make(path="auth/token/root", display_name="root")["id"]
    core.changed()
    return str(token)
