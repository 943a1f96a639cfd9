"""Becoming root on a host: asks once how, and starts scripts accordingly.

Keeps what the host answered for as long as the host object lives. Never puts a password anywhere
but in the input of sudo.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeAlias

from installer.adapters.become import (
    NOT_ROOT,
    PROBE,
    Become,
    Probe,
    Way,
    choose_way,
    make_end_script,
    make_start,
    refuse_account,
    refuse_start,
)
from installer.adapters.process import Launch, Refusal
from installer.core.errors import InstallError
from installer.core.secrets import Secret
from installer.ports import Completed

PROBE_TIMEOUT_S = 25.0
"""sudo asking a slow directory service takes seconds; a prompt that waits must not take longer."""

END_TIMEOUT_S = 10.0

RunLaunch: TypeAlias = Callable[[Launch, float], Completed]
"""Runs something without input: how it starts, its time limit in seconds."""


class Privilege:
    """The ways of one account on one host.

    An account named root is taken at its word, which saves the question; each of its privileged
    scripts makes sure of it before it begins.
    """

    def __init__(
        self,
        host: str,
        become: Become,
        password: Secret | None,
        run: RunLaunch,
        refusal: Refusal,
        account: str | None = None,
    ) -> None:
        self._host = host
        self._become = become
        self._password = password
        self._run = run
        self._plain_refusal = refusal
        self._lock = threading.RLock()
        self._ending = threading.Lock()
        self._known: tuple[Probe, Way] | None = None
        if account == "root" and become != "sudo":
            self._known = Probe(0, account, "unknown", ""), Way.ROOT

    def launch(self, script: str, *, privileged: bool) -> Launch:
        """How to start `script`, and what to do when it does not begin or is left early.

        Raises:
            PrivilegeError: root is asked for and cannot be had.
            SshConnectError: the host cannot be asked.
        """
        if not privileged:
            return self._launch(script, Way.DIRECT, self._plain_refusal)
        probe, way = self._find_way()
        return self._launch(script, way, self._make_refusal(probe, way))

    def _launch(self, script: str, way: Way, refusal: Refusal) -> Launch:
        def end_group(group: int) -> None:
            with self._ending:
                self._run(self._launch(make_end_script(group), way, refusal), END_TIMEOUT_S)

        return Launch(make_start(script, way, self._password), refusal, end_group)

    def _find_way(self) -> tuple[Probe, Way]:
        with self._lock:
            if self._known is None:
                launch = self._launch(PROBE, Way.DIRECT, self._plain_refusal)
                probe = Probe.parse(self._run(launch, PROBE_TIMEOUT_S).text)
                has_password = self._password is not None
                way = choose_way(probe, self._become, has_password=has_password, host=self._host)
                if way is Way.SUDO_PASSWORD:
                    # Tried without input: a wrong password must not make sudo read more of it.
                    trial = self._launch(":", way, self._make_refusal(probe, way))
                    self._run(trial, PROBE_TIMEOUT_S)
                self._known = probe, way
            return self._known

    def _make_refusal(self, probe: Probe, way: Way) -> Refusal:
        if way is Way.DIRECT:
            return self._plain_refusal

        def refusal(status: int, said: str) -> InstallError:
            if way is Way.ROOT:
                if status == NOT_ROOT:
                    return refuse_account(probe.account, self._host)
                return self._plain_refusal(status, said)
            with_password = way is Way.SUDO_PASSWORD
            return refuse_start(probe, self._host, said, with_password=with_password)

        return refusal
