"""Finds `stacks/` and `assets/`: beside the package in a wheel, beside the checkout otherwise."""

from __future__ import annotations

from pathlib import Path

from installer.core.errors import InternalError, Problem, Remedy


def data_root(package: Path | None = None) -> Path:
    """The directory that holds `stacks/` and `assets/`.

    A wheel carries them as `installer/_data`; an editable install and a checkout have them beside
    the package, since hatchling's `force-include` does not reach an editable install.

    Raises:
        InternalError: neither is there.
    """
    package = package or Path(__file__).parent
    for root in (package / "_data", package.parent):
        if (root / "stacks").is_dir() and (root / "assets").is_dir():
            return root
    raise InternalError(
        Problem(
            code="internal.no_data",
            summary=f"stacks/ and assets/ are missing beside {package}",
            remedy=Remedy("install devplat-install again"),
        )
    )
