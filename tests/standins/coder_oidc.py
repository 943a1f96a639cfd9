"""Single sign-on of the stand-in for Coder: its settings, and the issuer's discovery at start."""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from standin import Refused


def check_oidc(environment: Mapping[str, str]) -> None:
    """Refuse single sign-on that could not work: parts missing, or an issuer that is no URL.

    Raises:
        Refused: for the first of them.
    """
    names = ("CODER_OIDC_ISSUER_URL", "CODER_OIDC_CLIENT_ID", "CODER_OIDC_CLIENT_SECRET")
    given = [name for name in names if environment.get(name)]
    if given and len(given) < len(names):
        raise Refused(f"OIDC: {next(n for n in names if n not in given)} is not set")
    if given and not environment[names[0]].startswith("https://"):
        raise Refused(f"{names[0]}: {environment[names[0]]!r} is no https URL")


def login_methods(environment: Mapping[str, str]) -> dict[str, dict[str, bool]]:
    """Ways to log in, as `/api/v2/users/authmethods` lists them."""
    return {
        "password": {
            "enabled": environment.get("CODER_DISABLE_PASSWORD_AUTH") not in ("true", "1")
        },
        "github": {"enabled": False},
        "oidc": {"enabled": bool(environment.get("CODER_OIDC_ISSUER_URL"))},
    }


def discover(environment: Mapping[str, str]) -> None:
    """Ask the issuer for its endpoints, as Coder does before it listens.

    Raises:
        Refused: when it does not answer, or calls itself otherwise.
    """
    issuer = environment.get("CODER_OIDC_ISSUER_URL")
    if not issuer:
        return
    url = issuer.rstrip("/") + "/.well-known/openid-configuration"
    context = ssl.create_default_context()
    if folder := environment.get("SSL_CERT_DIR"):
        for path in sorted(Path(folder).glob("*.pem")):
            context.load_verify_locations(cafile=str(path))
    try:
        with urllib.request.urlopen(url, timeout=10, context=context) as answer:
            found = json.load(answer)
    except (OSError, ValueError) as error:
        raise Refused(f"configure oidc: {url}: {error}") from error
    if found.get("issuer") != issuer:
        raise Refused(
            f"oidc: issuer did not match: expected {issuer!r} got {found.get('issuer')!r}"
        )
