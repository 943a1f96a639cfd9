"""Whether a text gives a secret away: by its name and form, or because it holds a known value.

Used by the assertions about environment, command line and labels (HD-33 to HD-35). Values are
looked at here and never returned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from installer.core.redaction import Redactor, find_secrets
from installer.core.secrets import Secret

_PATH_OF_SECRET = re.compile(r"(/run/secrets/|/vault/secrets/|file://).*")
_PATH = re.compile(r"/|(/[A-Za-z0-9._@-]+)+/?")
_BOOLEAN = re.compile(r"(?i)true|false|yes|no|on|off|enabled?|disabled?|none")
_DURATION = re.compile(
    r"(?i)(\d+(\.\d+)?\s*(ns|us|µs|ms|s|m|h|d|w|days?|hours?|minutes?|seconds?))+"
)
_ISO_DURATION = re.compile(r"P(?=.)(\d+[YMWD])*(T(\d+[HMS])+)?")
_TIMES = re.compile(
    r"(days|hours|minutes|seconds|weeks)=\d+(;(days|hours|minutes|seconds|weeks)=\d+)*"
)
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?%?")
_SECRET_NAME_END = re.compile(r"(?i)(password|passwd|secret|token|key|url|dsn)$")


def exposes_secret(setting: str, expression: str) -> bool:
    """Whether a `NAME=value` shows a secret by its name and the form of its value.

    Args:
        setting: One element of an environment.
        expression: The table's regular expression over the whole text.

    Not exposed (note of HD-33): names ending in `_FILE`, paths, `file:` addresses, and settings
    about secrets: durations and booleans, and numbers whose name does not end in the secret's own
    word, so that `TOKEN_LENGTH=32` is a setting and `ADMIN_PASSWORD=12345678` is not.
    """
    name, _, value = setting.partition("=")
    if _is_reference(name, value):
        return False
    if value.startswith("/") and _PATH.fullmatch(value) is None:
        value = (
            f" {value}"  # base64 may begin with a slash: no path, so the expression shall see it
        )
    if re.fullmatch(expression, f"{name}={value}", re.DOTALL) is None:
        return False
    return not _is_setting_about_secrets(name, value)


def exposes_in_file(data: bytes, expression: str) -> bool:
    """Whether an env file has a line that exposes a secret; a file that is not text does."""
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return True
    settings = (line.strip().removeprefix("export ").strip() for line in lines)
    return any(
        exposes_secret(_unquote(setting), expression)
        for setting in settings
        if "=" in setting and not setting.startswith("#")
    )


class KnownSecrets:
    """Values that are known to be secret, ready to be looked for in many short texts."""

    __slots__ = ("_redactor", "_secrets")

    def __init__(self, secrets: Mapping[str, Secret]) -> None:
        self._secrets = dict(secrets)
        self._redactor = Redactor(secrets.values())

    def is_in(self, text: str) -> bool:
        """Whether the text holds one of them, plain or in a usual encoding."""
        if not self._secrets or self._redactor.redact(text) == text:
            return False
        return bool(find_secrets(text.encode("utf-8", "surrogatepass"), self._secrets))


def _is_reference(name: str, value: str) -> bool:
    return name.upper().endswith("_FILE") or _PATH_OF_SECRET.fullmatch(value) is not None


def _is_setting_about_secrets(name: str, value: str) -> bool:
    if any(form.fullmatch(value) for form in (_BOOLEAN, _DURATION, _ISO_DURATION, _TIMES)):
        return True
    return _NUMBER.fullmatch(value) is not None and _SECRET_NAME_END.search(name) is None


def _unquote(setting: str) -> str:
    name, _, value = setting.partition("=")
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return f"{name.strip()}={value}"
