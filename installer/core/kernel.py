"""A kernel setting that a service needs of its host, as its manifest says it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class KernelSetting(BaseModel):
    """One setting of sysctl(8) that is the host's, and no container's own.

    Attributes:
        value: What is needed.
        compare: `equal`, or `at-least` where more is as good.
        why: What goes wrong without it.
        source: Who says so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    name: Annotated[str, Field(pattern=r"^(vm|fs|net|kernel)(\.[a-z0-9_]+)+$")]
    value: int
    compare: Literal["equal", "at-least"] = "at-least"
    why: str
    source: str

    def is_met(self, found: int) -> bool:
        """Whether the host's value will do."""
        return found == self.value if self.compare == "equal" else found >= self.value
