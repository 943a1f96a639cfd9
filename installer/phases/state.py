"""Reads what is on the target, in one read-only exec."""

from __future__ import annotations

from installer.core.deployed import SECTION, Deployed, parse_deployed
from installer.core.layout import Layout
from installer.core.plan import Plan
from installer.phases.remote import quote, run_root
from installer.ports import Host

_SCRIPT = """
say() {{ printf '\\n%s%s\\n' '{section}' "$1"; }}
say current; if [ -L {current} ]; then basename "$(readlink {current})"; fi
if [ -d {current}/ ]; then
  cd {current}/
  say manifest; cat manifest.json 2>/dev/null || :
  say files; find . -type f -exec sha256sum {{}} +
  cd /
fi
say verified; cat {verified} 2>/dev/null || :
say journal; cat {journal} 2>/dev/null || :
if [ -d {secrets} ]; then
  say secrets-type; stat -f -c %T {secrets}
  cd {secrets}
  say secrets; find . -type f -exec sha256sum {{}} +
  say secrets-owner; find . -type f -exec stat -c '%a %u:%g  %n' {{}} +
  cd /
fi
if [ -d {data} ]; then
  cd {data}
  say data; find . -mindepth 2 -maxdepth 2 -type d -exec stat -c '%a %u:%g  %n' {{}} +
  say markers; {markers}
fi
:
"""


def read_deployed(host: Host, layout: Layout, plan: Plan) -> Deployed:
    """Read the active release, its files, the secrets' and the data directories' state.

    Raises:
        RemoteIoError: the target cannot be read.
    """
    markers = [
        f"{name}/{data.name}/{data.marker}"
        for name in plan.services
        for data in plan.manifest(name).data
        if data.marker
    ]
    tests = "\n".join(f"if [ -e {quote(m)} ]; then echo {quote(m)}; fi" for m in markers)
    script = _SCRIPT.format(
        section=SECTION,
        current=quote(layout.current),
        verified=quote(layout.verified),
        journal=quote(layout.journal),
        secrets=quote(layout.secrets),
        data=quote(layout.data_dir),
        markers=tests or ":",
    )
    return parse_deployed(run_root(host, script).text)
