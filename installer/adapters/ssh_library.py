"""The SSH library, imported without the task runner that only its configuration reader needs.

Every adapter takes `paramiko` from here; whoever imports it directly first pays for both.
"""

from __future__ import annotations

import sys

__all__ = ["paramiko"]

_OPTIONAL = "invoke"
"""Serves `Match exec` in ssh_config files, which are not read here; a third of the import's time.
The library does without it when it is not there (`paramiko.config`)."""

_hidden = _OPTIONAL not in sys.modules
if _hidden:
    sys.modules[_OPTIONAL] = None  # type: ignore[assignment] # how Python marks what is not there
try:
    import paramiko
finally:
    if _hidden:
        del sys.modules[_OPTIONAL]
