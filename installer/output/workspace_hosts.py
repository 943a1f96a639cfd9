"""What an uninstallation leaves on the hosts of workspaces, as lines for people.

They are not the platform's own host: nothing is removed there, and nobody is asked.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from installer.core.compose import LABEL_DEPLOYMENT


def format_workspace_hosts(deployment: str, urls: Sequence[str]) -> Iterator[str]:
    """Each host with what of the deployment is left there, and how to remove it."""
    if not urls:
        return
    for url in urls:
        yield f"= stays     workspaces, their networks and homes on {url}: that host is not touched"
    label = shlex.quote(f"label={LABEL_DEPLOYMENT}={deployment}")
    yield "  on each of them, once nobody needs a home any more:"
    yield f"  docker ps -aq --filter {label} | xargs -r docker rm -f"
    yield f"  docker network ls -q --filter {label} | xargs -r docker network rm"
    yield f"  docker volume ls -q --filter {label} | xargs -r docker volume rm"
    yield "  and destroy the client's key (workspaces.key), which is root on them until it ends"
