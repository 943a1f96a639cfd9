"""The production checklists: what the guide asks for, how it stands, and who stated what."""

from installer.core.checklist.evidence import Evidence, Sight, gather
from installer.core.checklist.judging import ItemState, Standing, judge_items
from installer.core.checklist.measuring import Fault, Measure, Measured
from installer.core.checklist.statements import Kind, Statement
from installer.core.checklist.states import Result
from installer.core.checklist.stating import Scene, attest, waive
from installer.core.checklist.table import Area, Checklist, Item, Mode, parse_checklist

__all__ = [
    "Area",
    "Checklist",
    "Evidence",
    "Fault",
    "Item",
    "ItemState",
    "Kind",
    "Measure",
    "Measured",
    "Mode",
    "Result",
    "Scene",
    "Sight",
    "Standing",
    "Statement",
    "attest",
    "gather",
    "judge_items",
    "parse_checklist",
    "waive",
]
