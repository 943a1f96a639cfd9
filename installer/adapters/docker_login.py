"""A login at one registry for one command: its configuration lies on a tmpfs and goes with it.

The password goes by standard input and is in no argument, environment or message. The account's own
configuration of the engine's client is read and never written.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TypeAlias

from installer.core.errors import AnswersError, Problem, Remedy
from installer.core.secrets import Secret
from installer.ports import Command

LOGIN_FAILED = 252
"""Status of our own for a login that did not succeed; no program is known to use it."""

DOCKER_HUB = "docker.io"


@dataclass(frozen=True, slots=True)
class RegistryLogin:
    """An account at a registry; `server` is `host` or `host:port`."""

    server: str
    username: str
    password: Secret


OptionalLogin: TypeAlias = RegistryLogin | None


def choose_login(
    mirror: str | None, username: str | None, password: Secret | None
) -> OptionalLogin:
    """The login at the one registry that the account belongs to: the mirror, else Docker Hub.

    No other registry is offered it: they are somebody else's.

    Raises:
        AnswersError: there is a user name without a password, or the other way round.
    """
    server = mirror.removeprefix("https://").partition("/")[0] if mirror else DOCKER_HUB
    if username is not None and password is not None:
        return RegistryLogin(server, username, password)
    if username is None and password is None:
        return None
    missing = "registry.username" if username is None else "registry.password"
    raise AnswersError(
        Problem(
            "registry.incomplete",
            f"a login at {server} needs registry.username and registry.password, and there is no"
            f" {missing}",
            Remedy(f"give {missing}, or leave both out"),
            where=missing,
        )
    )


def with_login(command: Command, login: RegistryLogin) -> Command:
    """The command after a login that only it can use; `LOGIN_FAILED` when that is refused."""
    account = f"--username={shlex.quote(login.username)}"
    script = _PREPARE + (
        f"said=$(docker login {account} --password-stdin {shlex.quote(login.server)} 2>&1) || {{\n"
        f'[ $? = 127 ] && exit 127\nprintf "%s\\n" "$said" >&2; exit {LOGIN_FAILED}; }}\n'
        f"{command.script}"
    )
    return replace(command, script=script, stdin=(login.password.reveal().encode(),))


# What it prints on success warns of the very file that is removed, and is not passed on.
_PREPARE = f"""\
umask 077
for base in /dev/shm /run "$XDG_RUNTIME_DIR"; do
[ -w "$base" ] && [ "$(stat -f -c %T "$base")" = tmpfs ] && break
base=
done
[ -n "$base" ] || {{ echo "there is no tmpfs to keep the login on" >&2; exit {LOGIN_FAILED}; }}
# a run that was killed may have left one: its process is gone
for stale in "$base"/devplat-login.*; do
pid=${{stale#"$base"/devplat-login.}}; pid=${{pid%%.*}}
[ -O "$stale" ] && ! kill -0 "$pid" 2>/dev/null && rm -rf "$stale"
done
work=$(mktemp -d "$base/devplat-login.$$.XXXXXX") || exit {LOGIN_FAILED}
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
own=${{DOCKER_CONFIG:-$HOME/.docker}}
context=$(docker context show 2>/dev/null) && [ -n "$context" ] && export DOCKER_CONTEXT="$context"
for part in cli-plugins contexts; do
[ ! -e "$own/$part" ] || ln -s "$own/$part" "$work/$part"
done
# Other logins stay in force. A file without any would make the client look for a credential store
# of the machine, and put the password there for good; so would one that names a store.
if grep -q '"auth"' "$own/config.json" 2>/dev/null && ! grep -q '"cred' "$own/config.json"; then
cat "$own/config.json" >"$work/config.json"
else
echo '{{"auths":{{"none.invalid":{{}}}}}}' >"$work/config.json"
fi
export DOCKER_CONFIG="$work"
"""
