"""What the answers about hosts of workspaces say of the rest.

A rule sees the values that were acceptable by themselves and says nothing where one is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from installer.core.answers_findings import AnswersRule, Finding, Values
from installer.core.fields import Concern, visible
from installer.core.workspace_engines import parse_engine

_HOSTS = "workspaces.hosts"


def _is_another_host(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    if values.get("workspaces.mode") != "separate":
        return
    own = {values.get("ssh.host"), values.get("target.address")} - {None, "all"}
    own |= {value for path, value in values.items() if path.startswith("domain.hosts.")}
    for url in values.get(_HOSTS) or ():
        host = parse_engine(url).host
        if host in own:
            concern = Concern(
                "workspaces.same_host",
                f"{visible(host)} is the platform's own host",
                "name another host, or set workspaces.mode to host: then a filter stands before"
                " the engine, which needs no TLS",
            )
            yield Finding(_HOSTS, concern, ("ssh.host", "target.address"))


WORKSPACES_RULES: tuple[AnswersRule, ...] = (_is_another_host,)
