"""The host's own login to the secret server, with which agents get theirs after a reboot.

It can have wrapped logins made for the platform's agents and can read no secret. Root's alone; it
is there only where nobody is needed to open the server, and a unit of ours was agreed to.
"""

from __future__ import annotations

import posixpath

from installer.core.events import Run
from installer.core.store_rules import boot_role
from installer.phases.remote import quote, replace_file, run_root
from installer.phases.server import Server
from installer.phases.steps import Step, no_effect


def boot_login_step(server: Server, *, anew: bool = False) -> Step:
    """The host has its login: two lines, role id and secret id.

    Args:
        server: Open, and logged in to.
        anew: Whether it is made anew although there is one, which may have been refused.
    """
    path = posixpath.join(server.layout.state, "boot-login")
    target = quote(path)
    # a link, or a file that others may read or have written, is none of ours
    script = (
        f'[ ! -L {target} ] && [ "$(stat -c \'%a %u\' {target} 2>/dev/null)" = "600 0" ]'
        f" && [ -s {target} ] && echo yes || :"
    )

    def is_there() -> bool:
        return run_root(server.host, script).stdout != b""

    def make() -> Run[None]:
        key = server.ports.admin.issue(boot_role(server.plan.deployment), wrap_s=None)
        text = f"{key.role_id}\n{key.secret_id.reveal()}\n"
        run_root(server.host, f"rm -f {target}")
        replace_file(server.host, path, text.encode())
        return no_effect()

    title = "give the host a login that makes logins for agents"
    return Step("host.login", title, lambda: not anew and is_there(), make, is_there)
