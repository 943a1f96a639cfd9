"""The agent: logs in by AppRole with a secret id that may be wrapped, keeps its token alive, writes
it to sinks, and renders templates into files, again and again. Retries for ever unless told not to.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from standin import Refused, say
from vault_agent_config import AgentConfig, TemplateConfig, read_agent_config
from vault_client import Client, NotReachedError, ServerError
from vault_template import Missing

RETRY_S = 0.25
LONGEST_S = 60.0
RENEW_AT = 2 / 3
"""Part of a token's life after which it is renewed."""


class LoginError(Exception):
    """There is no login with what the files hold."""


@dataclass
class Backoff:
    """Waits that grow from `least` to `most`."""

    least: float
    most: float
    current: float = 0.0

    def next(self) -> float:
        """The next wait in seconds."""
        self.current = min(self.current * 2, self.most) if self.current else self.least
        return self.current * random.uniform(0.75, 1.0)

    def reset(self) -> None:
        """Begin anew."""
        self.current = 0.0


class Login:
    """What the login files gave, kept for the next time."""

    def __init__(self, config: AgentConfig, log: Log) -> None:
        self.config = config
        self.log = log
        self.role_id = ""
        self.secret_id = ""

    def log_in(self, client: Client) -> dict[str, Any]:
        """The `auth` part of a login's answer.

        Raises:
            LoginError, ServerError, NotReachedError: there is none.
        """
        method = self.config.method
        text = _content(method.role_id_file)
        if text is not None and not text and not self.role_id:
            raise LoginError("role ID file empty and no cached role ID known")
        self.role_id = (text or "").strip() or self.role_id
        if not self.role_id:
            raise LoginError("no known role ID")
        self._take_secret_id(client)
        if not self.secret_id:
            raise LoginError("no known secret ID")
        body = {"role_id": self.role_id, "secret_id": self.secret_id}
        try:
            return dict(client.ask("PUT", f"{method.mount}/login", body)["auth"])
        except (ServerError, NotReachedError) as error:
            self.log.failure("error authenticating", error)
            raise

    def _take_secret_id(self, client: Client) -> None:
        method = self.config.method
        text = _content(method.secret_id_file)
        if text is None:
            return
        if not text:
            if not self.secret_id:
                raise LoginError("secret ID file empty and no cached secret ID known")
            return
        given = text.strip()
        if method.wrapping_path:
            given = self._unwrap(client, given)
        self.secret_id = given
        if method.removes:
            try:
                Path(method.secret_id_file).unlink()
            except OSError as error:
                self.log.failure("error removing secret ID file after reading", error)

    def _unwrap(self, client: Client, token: str) -> str:
        wrapped = Client(**{**vars(client), "token": token})
        wanted = self.config.method.wrapping_path
        try:
            path = wrapped.ask("GET", "sys/wrapping/lookup")["data"]["creation_path"]
        except ServerError as error:
            raise LoginError(f"error looking up wrapped secret ID: {error}") from error
        if path != wanted:
            text = "unable to validate wrapping token creation path"
            self.log.failure(f"SECURITY: {text}", expected=wanted, found=path)
            raise LoginError(text)
        try:
            return str(wrapped.ask("PUT", "sys/wrapping/unwrap")["data"]["secret_id"])
        except ServerError as error:
            raise LoginError(f"error unwrapping secret ID: {error}") from error


@dataclass
class Log:
    """Lines of the agent's log."""

    form: str
    module: str = "agent.auth.handler"

    def info(self, text: str) -> None:
        self._write("info", text, {})

    def failure(self, text: str, error: object = "", **more: str) -> None:
        self._write("error", text, {**({"error": str(error)} if error else {}), **more})

    def _write(self, level: str, text: str, more: Mapping[str, str]) -> None:
        if self.form == "json":
            line = {"@level": level, "@message": text, "@module": self.module, **more}
            say(json.dumps(line))
        else:
            pairs = "".join(f' {name}="{value}"' for name, value in more.items())
            say(f"[{level.upper()}] {self.module}: {text}{pairs}")


@dataclass
class Agent:
    """One agent; `run` ends when it is told to."""

    config: AgentConfig
    ended: threading.Event = field(default_factory=threading.Event)
    token: str = ""
    renew_at: float = 0.0
    renewable: bool = False
    render_at: float = 0.0
    login_at: float = 0.0

    def __post_init__(self) -> None:
        self.log = Log(self.config.log_format)
        self.templates_log = Log(self.config.log_format, "agent.template.server")
        self.login = Login(self.config, self.log)
        self.login_backoff = Backoff(self.config.min_backoff, self.config.max_backoff)
        self.render_backoff = Backoff(1.0, 300.0)

    @property
    def client(self) -> Client:
        """With the token of now."""
        return Client(self.config.address, self.config.ca_file, self.token,
                      self.config.server_name)  # fmt: skip

    def run(self) -> int:
        """Log in, renew, render; the status to end with."""
        self.log.info("starting auth handler")
        while not self.ended.is_set():
            now = time.monotonic()
            if not self.token and now >= self.login_at:
                self._log_in()
            if self.token and now >= self.renew_at:
                self._renew()
            if self.token and time.monotonic() >= self.render_at and not self._render_all():
                return 1
            due = [self.render_at, self.renew_at] if self.token else [self.login_at]
            self.ended.wait(max(0.01, min(due) - time.monotonic()))
        self.log.info("auth handler stopped")
        return 0

    def _log_in(self) -> None:
        self.log.info("authenticating")
        self.token = ""
        try:
            auth = self.login.log_in(self.client)
        except (LoginError, ServerError, NotReachedError) as error:
            if not isinstance(error, ServerError):
                self.log.failure("error getting path or data from method", error)
            self.login_at = time.monotonic() + self.login_backoff.next()
            return
        self.login_backoff.reset()
        self.log.info("authentication successful, sending token to sinks")
        self._take(auth)
        self.render_at = 0.0
        for sink in self.config.sinks:
            try:
                write_file(Path(sink.path), self.token.encode(), sink.mode)
            except OSError as error:
                Log(self.config.log_format, "agent.sink.file").failure("error writing token", error)

    def _take(self, auth: Mapping[str, Any]) -> None:
        self.token, self.renewable = auth["client_token"], auth["renewable"]
        life = auth["lease_duration"] or LONGEST_S
        self.renew_at = time.monotonic() + life * RENEW_AT

    def _renew(self) -> None:
        try:
            if not self.renewable:
                raise LoginError("the token is not renewable")
            self._take(self.client.ask("PUT", "auth/token/renew-self", {})["auth"])
            self.log.info("renewed auth token")
        except (LoginError, ServerError, NotReachedError) as error:
            self.log.failure("error renewing token", error)
            lost = isinstance(error, LoginError | ServerError)
            if lost and getattr(error, "status", 403) in (400, 403):
                self.token, self.login_at = "", 0.0
            else:
                self.renew_at = time.monotonic() + 1.0

    def _render_all(self) -> bool:
        """Whether to go on. What can be rendered is, whatever else cannot."""
        secrets: dict[str, Mapping[str, Any] | Exception] = {}
        problems: list[Exception] = []
        for template in self.config.templates:
            try:
                self._render(template, secrets)
            except (Missing, ServerError, NotReachedError, OSError) as error:
                problems.append(error)
        if not problems:
            self.render_backoff.reset()
            self.render_at = time.monotonic() + self.config.interval
            return True
        self.templates_log.failure("template server error", problems[0])
        self.render_at = time.monotonic() + self.render_backoff.next()
        return not self.config.exits

    def _render(
        self, template: TemplateConfig, secrets: dict[str, Mapping[str, Any] | Exception]
    ) -> None:
        def read(path: str) -> Mapping[str, Any]:
            if path not in secrets:
                secrets[path] = self._read(path)
            found = secrets[path]
            if isinstance(found, Exception):
                raise found
            return found

        content = template.parsed.render(read).encode()
        place = Path(template.destination)
        if template.makes_folder:
            place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if not has_content(place, content, template.perms):
            write_file(place, content, template.perms)

    def _read(self, path: str) -> Mapping[str, Any] | Exception:
        """A secret, asked for again as often as the configuration says, or why there is none."""
        for attempt in range(self.config.retries + 1):
            try:
                found = self.client.ask("GET", path)
            except (ServerError, NotReachedError) as error:
                reason: Exception = error
                if isinstance(error, ServerError) and error.status == 404:
                    reason = Missing(f"no secret exists at {path}")
            else:
                return {"Data": found.get("data"), "LeaseDuration": found["lease_duration"]}
            if attempt < self.config.retries:
                self.templates_log.failure(f"vault.read({path}): retrying", reason)
                if self.ended.wait(min(RETRY_S * 2**attempt, LONGEST_S)):
                    break
        return reason


def has_content(path: Path, content: bytes, perms: int) -> bool:
    """Whether a file is as it would be written."""
    try:
        return path.read_bytes() == content and path.stat().st_mode & 0o7777 == perms
    except FileNotFoundError:
        return False


def write_file(path: Path, content: bytes, perms: int) -> None:
    """Write beside the place and rename, so that nobody ever reads half of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), perms)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _content(path: str) -> str | None:
    try:
        return Path(path).read_text()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LoginError(f"open {path}: {error.strerror}") from error


def run_agent(path: str, flavour: str) -> int:
    """Run until a signal.

    Raises:
        Refused: for a configuration that the real agent refuses, or this one does not know.
    """
    del flavour
    config = read_agent_config(path)
    agent = Agent(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.ended.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if config.pid_file:
        try:
            Path(config.pid_file).write_text(str(os.getpid()))
        except OSError as error:
            text = f"could not store PID: open {config.pid_file}: {error.strerror}"
            raise Refused(text) from error
    try:
        return agent.run()
    finally:
        if config.pid_file:
            Path(config.pid_file).unlink(missing_ok=True)
