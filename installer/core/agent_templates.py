"""Our placeholders in the template language of the agents that render secrets.

An agent must render exactly the bytes that `secrets.expand` gives, whatever the values are; the
contract suite compares the two with a real agent. No value is ever seen here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from installer.core.secrets import map_placeholders, named_secrets

_FILTERS: Mapping[str, str] = {
    "": "",
    "id": ' | sha256Hex | printf "%.8s"',
    "json": ' | toUnescapedJSON | trimPrefix "\\"" | trimSuffix "\\""',
    "sha256": " | sha256Hex",
    "url": ' | urlquery | replaceAll "+" "%20"',
}
"""Our filter → the same as a pipeline of the agent's language (Go's templates, consul-template)."""

_RUN = re.compile(r"[{$]+")


def agent_template(text: str, path_of: Callable[[str], str]) -> str:
    """The text of a secret file as a template of the agent.

    The result has no `${` in it, so that it may stand in a quoted text of HCL.

    Args:
        text: With placeholders as `secrets.expand` takes them.
        path_of: Secret name → the path the agent reads it at, as `secret/data/…/name`.

    Raises:
        StackError: with every unknown filter and unclosed placeholder.
    """

    def action(filter_name: str, name: str) -> str:
        return _read(path_of(name), f".Data.data.value{_FILTERS[filter_name]}")

    return map_placeholders(text, literal=_escape, placeholder=action)


def agent_marker(texts: Iterable[str], path_of: Callable[[str], str]) -> str:
    """A template that is rendered when all of these texts are, and at every look at the server.

    It says which version of each secret was rendered, and when; no value.

    Args:
        texts: Of the secret files of one consumer.
        path_of: As for `agent_template`.
    """
    names = sorted({name for text in texts for name in named_secrets(text)})
    if not names:  # a text that asks the server for nothing would be rendered once only
        return f"login {_read('auth/token/lookup-self', '.Data.accessor')}\n{{{{ timestamp }}}}\n"
    lines = (f"{name} {_read(path_of(name), '.Data.metadata.version')}\n" for name in names)
    return "".join((*lines, "{{ timestamp }}\n"))


def _read(path: str, pipeline: str) -> str:
    return f'{{{{ with secret "{path}" }}}}{{{{ {pipeline} }}}}{{{{ end }}}}'


def _escape(literal: str) -> str:
    """As a text action, every run that begins an action, by itself or with the one that follows."""

    def escaped(run: re.Match[str]) -> str:
        if "{{" in run[0] or "${" in run[0] or run.end() == len(literal):
            return '{{"' + run[0].replace("$", "\\x24") + '"}}'
        return run[0]

    return _RUN.sub(escaped, literal)
