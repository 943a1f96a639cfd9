"""One use of the release step in a fresh process; prints the seconds after its imports.

    ship_once ship|check HOST PORT KEY KNOWN_HOSTS SOURCE INSTALL_DIR RELEASE

`ship` does with the step what a run does: check, do, verify. `check` is what a run without changes
does. Reading the files, connecting and leaving are part of both.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from installer.loading import without_collections

with without_collections():  # as the command line does it
    from installer.adapters.ssh import SshHost, SshTarget
    from installer.core.layout import Layout
    from installer.phases.ship import Bundle, BundleFile, release_step


def read_bundle(source: Path, release: str) -> Bundle:
    """A directory as a bundle."""
    files = {
        path.relative_to(source).as_posix(): BundleFile(
            path.read_bytes(), path.stat().st_mode & 0o777
        )
        for path in sorted(source.rglob("*"))
        if path.is_file()
    }
    return Bundle(files, {}, release)


def main() -> int:
    """Ship or check; status 1 when the host does not end as it should."""
    begun = time.perf_counter()
    mode, host, port, key, known_hosts, source, install_dir, release = sys.argv[1:]
    target = SshTarget(
        host=host,
        port=int(port),
        user="root",
        key_file=key,
        use_agent=False,
        known_hosts_file=known_hosts,
    )
    bundle = read_bundle(Path(source), release)
    with SshHost(target) as opened:
        step = release_step(opened, Layout(install_dir, "/nonexistent"), bundle)
        right = step.check()
        if mode == "ship" and not right:
            for _ in step.do():
                pass
            right = step.verify()
    print(time.perf_counter() - begun)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
