"""From a reference to the secret it names: in the environment, a file or a store, or asked for.

References to a store that these answers give no way to are refused in plain words. A value is
returned, never printed, logged or put into a message.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Mapping
from getpass import getpass
from pathlib import Path
from shlex import quote
from types import MappingProxyType
from typing import NoReturn, TypeAlias

from installer.adapters.private_files import read_up_to
from installer.core.errors import (
    AnswersError,
    LocalIoError,
    Problem,
    Remedy,
    SecretStoreError,
    TerminalError,
)
from installer.core.secretrefs import SecretRef, SecretSource
from installer.core.secrets import Secret

LARGEST = 64 * 1024
"""Bytes above which a file is not taken for a secret."""
_TRIES = 3
_NEEDS_MODE = {SecretSource.VAULT: "external", SecretSource.AWS: "aws-secrets-manager"}
"""The `vault.mode` whose store a reference is read from; there is a login to no other one."""

Fetch: TypeAlias = Callable[[str, str], Secret]
"""A secret of a store by path or id, and by its field there; the field is empty for all of it."""
_NO_STORES: Mapping[SecretSource, Fetch] = MappingProxyType({})


def resolve_secret(
    reference: SecretRef,
    where: str,
    *,
    ask: Callable[[str], str] | None = None,
    environment: Mapping[str, str] | None = None,
    stores: Mapping[SecretSource, Fetch] = _NO_STORES,
) -> Secret:
    """The secret that `reference`, the answer at path `where`, names; byte for byte, not trimmed.

    `ask` puts a question without echo; None means that nobody can be asked. A file's one last line
    end does not belong to the secret. `environment` is this process's by default. `stores` are the
    stores that can be read, each with how.

    Raises:
        AnswersError: an unset or empty variable, an empty secret, or a source that makes no sense.
        LocalIoError: a file that is missing, unreadable, no regular file, or open to others.
        TerminalError: `prompt` where nobody can be asked, or no answer.
        SecretStoreError: a store that these answers give no way to, or that refuses.
    """
    source = reference.source
    if source is SecretSource.ENV:
        known = os.environ if environment is None else environment
        return _from_environment(reference.location, where, known)
    if source is SecretSource.FILE:
        return _from_file(Path(reference.location), where)
    if source is SecretSource.PROMPT:
        return _from_person(where, ask)
    if reference.value is not None:
        return reference.value
    if source in stores:
        value = stores[source](reference.location, reference.key)
        return _checked(value.reveal().encode("utf-8", "surrogatepass"), str(reference), where)
    if source in _NEEDS_MODE:
        raise SecretStoreError(_no_way(source, where))
    raise AnswersError(
        _problem(
            "secret.source",
            f"{source} does not name a secret that exists already",
            where,
            Remedy("give env:NAME, file:/path or prompt"),
        )
    )


def _no_way(source: SecretSource, where: str) -> Problem:
    mode = _NEEDS_MODE[source]
    return _problem(
        f"secret.{source}_unavailable",
        f"the reference {source}:… can be read only with vault.mode: {mode}",
        where,
        Remedy(f"give env:NAME or file:/path, or use vault.mode: {mode}"),
    )


def ask_terminal(question: str) -> str:
    """Ask on the controlling terminal without echo; standard input is left alone.

    Raises:
        TerminalError: there is no terminal, or it was closed.
    """
    try:
        # getpass would fall back to standard input, with echo, where there is no terminal.
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
        return getpass(question)
    except (OSError, EOFError) as error:
        raise TerminalError(_nobody_to_ask(question.strip(" :"))) from error


def _from_environment(name: str, where: str, environment: Mapping[str, str]) -> Secret:
    value = environment.get(name)
    if not value:
        state = "not set" if value is None else "empty"
        raise AnswersError(
            _problem(
                "secret.env_missing" if value is None else "secret.empty",
                f"the environment variable {name} is {state}",
                where,
                Remedy(f"set {name} for this command, or give file:/path"),
            )
        )
    return _checked(os.fsencode(value), f"the environment variable {name}", where)


def _from_file(path: Path, where: str) -> Secret:
    # Links are followed: mounted secrets usually are links. What they lead to is what is checked.
    try:
        path = path.expanduser()
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            _check_file(path, os.fstat(descriptor), where)
            data = read_up_to(descriptor, LARGEST + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        _refuse_file(path, where, (error.strerror or "input/output error").lower(), error)
    except (ValueError, RuntimeError):
        _refuse_file(path, where, "no path of a file")  # a NUL in it, or a home that does not exist
    if len(data) > LARGEST:
        _refuse_file(path, where, f"has more than {LARGEST} bytes")
    for line_end in (b"\r\n", b"\n"):
        if data.endswith(line_end):
            data = data.removesuffix(line_end)
            break
    return _checked(data, str(path), where)


def _check_file(path: Path, status: os.stat_result, where: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        _refuse_file(path, where, "not a regular file")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise LocalIoError(
            _problem(
                "secret.file_mode",
                f"{path} has mode {mode:04o}; others may use it, allowed is 0600 or 0400",
                where,
                Remedy(
                    "give it mode 0600; if others could have read it, change the secret first",
                    (f"chmod 0600 {quote(str(path))}",),
                ),
            )
        )


def _from_person(where: str, ask: Callable[[str], str] | None) -> Secret:
    if ask is None:
        raise TerminalError(_nobody_to_ask(where))
    for _ in range(_TRIES):
        answer = ask(f"{where}: ")
        if answer:
            return _checked(answer.encode("utf-8", "surrogateescape"), "the answer", where)
    raise TerminalError(
        _problem(
            "secret.no_answer",
            f"no value was given for {where} in {_TRIES} tries",
            where,
            Remedy("run again, or give env:NAME or file:/path"),
        )
    )


def _checked(data: bytes, source: str, where: str) -> Secret:
    code, what = "", ""
    if not data:
        code, what = "secret.empty", "empty"
    elif b"\0" in data:
        code, what = "secret.control_char", "not usable: it holds a NUL character"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        code, what, text = "secret.encoding", "not UTF-8 text", ""
    if code:
        raise AnswersError(
            _problem(code, f"{source} is {what}", where, Remedy("give a secret that is UTF-8 text"))
        )
    return Secret(text)


def _refuse_file(path: Path, where: str, what: str, cause: OSError | None = None) -> NoReturn:
    missing = cause is not None and cause.errno in (errno.ENOENT, errno.ENOTDIR)
    raise LocalIoError(
        _problem(
            "secret.file_missing" if missing else "secret.file",
            f"{path} cannot be read: {what}",
            where,
            Remedy(
                "name a file with the secret in it, of mode 0600", (f"ls -l {quote(str(path))}",)
            ),
        )
    ) from cause


def _nobody_to_ask(where: str) -> Problem:
    return _problem(
        "secret.no_terminal",
        f"{where} is to be asked for, but there is no terminal to ask on",
        where,
        Remedy("give env:NAME or file:/path instead of prompt"),
    )


def _problem(code: str, summary: str, where: str, remedy: Remedy) -> Problem:
    return Problem(code=code, summary=summary, where=where, remedy=remedy)
