"""The commands of later days, by name: backup, restore, the way back, the way out, help, proof."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from types import MappingProxyType

from installer import (
    backup_commands,
    checklist_commands,
    rollback_commands,
    support_commands,
    uninstall_commands,
)
from installer.backup_commands import Drain, Finish
from installer.core.errors import ExitCode

Upkeep = Callable[[argparse.Namespace, Drain, Finish], ExitCode]

COMMANDS: Mapping[str | None, Upkeep] = MappingProxyType(
    {
        "backup": backup_commands.back_up,
        "checklist": checklist_commands.check_list,
        "report": checklist_commands.report,
        "restore": backup_commands.restore,
        "rollback": rollback_commands.roll_back,
        "support-bundle": support_commands.collect,
        "uninstall": uninstall_commands.uninstall,
        "verify": checklist_commands.verify,
    }
)
