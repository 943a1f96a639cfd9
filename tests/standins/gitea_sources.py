"""Login sources of the stand-in for Gitea, as its command line makes and changes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from standin import Refused

_OAUTH_FLAGS = {
    "id": "", "name": "", "provider": "Provider", "key": "ClientID", "secret": "ClientSecret",
    "auto-discover-url": "OpenIDConnectAutoDiscoveryURL", "scopes": "Scopes",
    "skip-local-2fa": "SkipLocalTwoFA", "required-claim-name": "RequiredClaimName",
    "required-claim-value": "RequiredClaimValue", "group-claim-name": "GroupClaimName",
    "admin-group": "AdminGroup", "restricted-group": "RestrictedGroup", "icon-url": "IconURL",
}  # fmt: skip


def save_login_source(
    sql: Callable[..., list[tuple[Any, ...]]], command: str, words: list[str]
) -> None:
    """`auth add-oauth` and `update-oauth`: the settings as JSON, by Gitea's own names.

    Raises:
        Refused: for an unknown flag, a source that is there, one that is not, no discovery URL.
    """
    flags = read_flags(words)
    if unknown := set(flags) - set(_OAUTH_FLAGS):
        raise Refused(f"flag provided but not defined: -{sorted(unknown)[0]}")
    config = {_OAUTH_FLAGS[n]: v for n, v in flags.items() if _OAUTH_FLAGS[n]}
    if command == "add-oauth":
        if not flags.get("name") or not flags.get("auto-discover-url", "").startswith("http"):
            raise Refused("invalid Auto Discovery URL")
        text = "INSERT INTO login_source (name, cfg) VALUES (%s, %s)"
        sql(text, flags["name"], json.dumps(config))
        return
    rows = sql("SELECT cfg FROM login_source WHERE id=%s", int(flags.get("id") or 0))
    if not rows:
        raise Refused("login source does not exist")
    merged = json.dumps({**json.loads(rows[0][0]), **config})
    sql("UPDATE login_source SET cfg=%s WHERE id=%s", merged, int(flags["id"]))


def read_flags(words: list[str]) -> dict[str, str]:
    """Flags as `--name value` or `--name=value`."""
    flags = {}
    for word, following in zip(words, [*words[1:], "--"], strict=True):
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            flags[name] = value if equals else ("" if following.startswith("--") else following)
    return flags
