"""Refuses an interpreter that the product does not support, before anything is installed."""

import shutil
import sys

OLDEST, NEWEST = (3, 11), (3, 13)

if not OLDEST <= sys.version_info[:2] <= NEWEST:
    found = [f"python3.{minor}" for minor in (13, 12, 11) if shutil.which(f"python3.{minor}")]
    hint = f"try: make PYTHON={found[0]}" if found else "install Python 3.11, 3.12 or 3.13"
    sys.exit(f"python3 here is {sys.version.split()[0]}; Python 3.11 to 3.13 is needed. {hint}")
