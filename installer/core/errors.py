"""The error tree and what an error carries.

An error carries `Problem`s; it never prints and never formats itself for a medium. `cli.main` is
the only place that turns one into an exit status.

    InstallError
    ├── the caller must act:     UsageError  AnswersError  LocalIoError  TerminalError
    │                            ChangesPending
    ├── the host's owner:        PreflightError  SshConnectError  HostKeyError  SshAuthError
    │                            PrivilegeError  RemoteIoError  ContainerRuntimeError  LockedError
    ├── the network's owner:     ImageError  DnsError  TlsError
    ├── the secrets' owner:      SecretStoreError
    ├── a decision is needed:    ConflictError  IntegrityError  BackupError
    ├── what we started failed:  DeployError  VerifyError
    └── we must act:             StackError  InternalError
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit statuses, part of the interface: they do not change between releases."""

    OK = 0
    USAGE = 2
    ANSWERS_INVALID = 3
    PREFLIGHT_FAILED = 4
    SSH_CONNECT = 5
    HOST_KEY = 6
    SSH_AUTH = 7
    PRIVILEGE = 8
    REMOTE_IO = 9
    CONTAINER_RUNTIME = 10
    IMAGE = 11
    VAULT = 12
    TLS = 13
    DNS = 14
    DEPLOY_FAILED = 15
    VERIFY_FAILED = 16
    LOCKED = 17
    CONFLICT = 18
    INTEGRITY = 19
    LOCAL_IO = 20
    TERMINAL = 21
    BACKUP = 22
    STACK_INVALID = 23
    CHANGES_PENDING = 24
    INTERNAL = 70
    INTERRUPTED_HUP = 129
    INTERRUPTED_INT = 130
    INTERRUPTED_TERM = 143

    @property
    def class_name(self) -> str:
        """The name of the error class as the acceptance catalogue spells it, e.g. `host_key`."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do about a problem: one sentence, and commands that can be copied as they stand.

    `answer` is an answer path and a text that would settle it; never taken unless a person says so.
    """

    summary: str
    commands: tuple[str, ...] = ()
    answer: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    `code` is stable and dotted (`domain.empty`). `summary` is one line without a final stop.
    `where` is an answer path, a host or a service. No field ever holds a secret.
    """

    code: str
    summary: str
    remedy: Remedy
    where: str | None = None
    detail: str | None = None
    mark: Mark | None = None

    def at(self, where: str) -> Problem:
        """The same problem, placed."""
        return replace(self, where=where)


class InstallError(Exception):
    """Base of everything the product raises on purpose; carries at least one problem."""

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL

    def __init__(self, *problems: Problem) -> None:
        if not problems:
            raise ValueError("an InstallError carries at least one problem")
        self.problems: tuple[Problem, ...] = problems
        super().__init__("; ".join(problem.summary for problem in problems))


class UsageError(InstallError):
    """Wrong command line."""

    exit_code = ExitCode.USAGE


class AnswersError(InstallError):
    """The answers are not acceptable; nothing was contacted or changed."""

    exit_code = ExitCode.ANSWERS_INVALID


class PreflightError(InstallError):
    """The target or its surroundings do not meet a requirement; nothing was changed."""

    exit_code = ExitCode.PREFLIGHT_FAILED


class SshConnectError(InstallError):
    """A host cannot be reached, or the connection was lost for good."""

    exit_code = ExitCode.SSH_CONNECT


class HostKeyError(InstallError):
    """The identity of a host is unknown, changed or revoked."""

    exit_code = ExitCode.HOST_KEY


class SshAuthError(InstallError):
    """A host refused every credential offered."""

    exit_code = ExitCode.SSH_AUTH


class PrivilegeError(InstallError):
    """The remote account may not do what is needed."""

    exit_code = ExitCode.PRIVILEGE


class RemoteIoError(InstallError):
    """The target ran out of space or inodes, or a file system is read-only or failing."""

    exit_code = ExitCode.REMOTE_IO


class ContainerRuntimeError(InstallError):
    """The engine or its compose command is missing, too old, stopped or misbehaving."""

    exit_code = ExitCode.CONTAINER_RUNTIME


class ImageError(InstallError):
    """An image cannot be pulled, is missing for the platform, or is refused by the registry."""

    exit_code = ExitCode.IMAGE


class SecretStoreError(InstallError):
    """The secret store is unreachable, sealed, in an unexpected state, or refuses an operation."""

    exit_code = ExitCode.VAULT


class TlsError(InstallError):
    """A certificate, key, chain or issuance is unusable."""

    exit_code = ExitCode.TLS


class DnsError(InstallError):
    """A required name is missing or points elsewhere."""

    exit_code = ExitCode.DNS


class DeployError(InstallError):
    """Starting or configuring the stack failed; the previous release, if any, is in service."""

    exit_code = ExitCode.DEPLOY_FAILED


class VerifyError(InstallError):
    """The stack is up, but a mandatory check failed."""

    exit_code = ExitCode.VERIFY_FAILED


class LockedError(InstallError):
    """Another run holds the deployment lock."""

    exit_code = ExitCode.LOCKED


class ConflictError(InstallError):
    """What is deployed, the saved state and the answers disagree in a way that needs a decision."""

    exit_code = ExitCode.CONFLICT


class IntegrityError(InstallError):
    """Something was altered: bundle, image digest, signature, state file, backup."""

    exit_code = ExitCode.INTEGRITY


class LocalIoError(InstallError):
    """The machine that runs the installer cannot read or write what it needs."""

    exit_code = ExitCode.LOCAL_IO


class TerminalError(InstallError):
    """No usable terminal, and no unattended mode asked for."""

    exit_code = ExitCode.TERMINAL


class BackupError(InstallError):
    """A backup or restore could not be completed or verified."""

    exit_code = ExitCode.BACKUP


class StackError(InstallError):
    """A template, manifest or rendered configuration of the product itself is at fault."""

    exit_code = ExitCode.STACK_INVALID


class ChangesPending(InstallError):
    """There are changes, and nobody has consented to them; nothing was changed."""

    exit_code = ExitCode.CHANGES_PENDING


class InternalError(InstallError):
    """A defect of the installer."""

    exit_code = ExitCode.INTERNAL
