"""Keeps the memory of this process to itself: secrets pass through it on their way.

No core dump is written, and on Linux no process of another user or of the same one can attach to
it or read its memory and environment; only root can. Programs that it starts are on their own.
"""

from __future__ import annotations

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4  # linux/prctl.h


def seclude() -> None:
    """Do it for this process, for good; best effort where the system offers less."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
