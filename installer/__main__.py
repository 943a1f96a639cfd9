"""`python -m installer` and the console script."""

from __future__ import annotations

import sys


def run() -> None:
    """Run the command line, its memory kept to itself, and leave with its exit status."""
    from installer.cli import main
    from installer.seclusion import seclude

    seclude()
    sys.exit(main())


if __name__ == "__main__":
    run()
