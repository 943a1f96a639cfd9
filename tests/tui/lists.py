"""Three items as they may stand, for the screen that shows them."""

from __future__ import annotations

from installer.core.checklist import Item, ItemState, Measured, Mode, Result, Standing


def make_state(id: str, text: str, mode: Mode, result: Result, **more: str) -> ItemState:
    item = Item.model_validate(
        {"id": id, "list": "9.1", "group": "security", "text": text, "mode": mode,
         "remedy": more.get("remedy", "")}
    )  # fmt: skip
    return ItemState(item, item, result, more.get("why", ""), Measured())


STANDING = Standing(
    (
        make_state("CK-01", "TLS certificates valid", Mode.AUTOMATIC, Result.PASS),
        make_state(
            "CK-02", "Firewall rules applied", Mode.AUTOMATIC, Result.FAIL,
            why="5432/tcp answers", remedy="close the port",
        ),
        make_state(
            "CK-50", "Operators are trained", Mode.MANUAL, Result.PENDING,
            why="nobody has stated it", remedy="train them",
        ),
    )
)  # fmt: skip
