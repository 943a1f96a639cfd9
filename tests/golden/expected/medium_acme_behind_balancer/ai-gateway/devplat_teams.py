"""Keys and budgets of teams, for LiteLLM's `custom_auth` and `callbacks`.

A team's key is made from the administrator's key and the team's name, so that nothing but the
latter is kept; what a team has spent this month is kept in a file. Run as a program, it prints a
team's key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MODEL_PATHS = ("/v1/", "/chat/completions", "/completions", "/embeddings", "/models", "/responses")
LEDGER = Path(os.environ.get("DEVPLAT_LEDGER", "/var/lib/ai-gateway/spend.json"))
SETTINGS = Path(__file__).with_name("teams.json")


def key_of(team: str, master: str) -> str:
    """The key of a team; it changes with the administrator's."""
    made = hmac.new(master.encode(), f"team:{team}".encode(), hashlib.sha256)
    return f"sk-{made.hexdigest()[:48]}"


def this_month() -> str:
    """The month that a budget is for, by UTC."""
    return datetime.now(UTC).strftime("%Y-%m")


class Spending:
    """What each team has spent this month, in US dollars by LiteLLM's price list."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.kept: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            self.kept = {}

    def of(self, team: str) -> float:
        """What a team has spent this month."""
        return float(self.kept.get(this_month(), {}).get(team, 0.0))

    def add(self, team: str, cost: float) -> None:
        """Keep one more cost; earlier months are forgotten."""
        month = this_month()
        spent = dict(self.kept.get(month, {}))
        spent[team] = self.of(team) + cost
        self.kept = {month: spent}
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.kept))
        part.replace(self.path)


def main() -> int:
    """Print the key of the team that is named."""
    master = Path("/run/secrets/LITELLM_MASTER_KEY").read_text().strip()
    teams = json.loads(SETTINGS.read_text())["teams"]
    if len(sys.argv) != 2 or sys.argv[1] not in teams:
        sys.stderr.write(f"name a team: {', '.join(teams)}\n")
        return 2
    sys.stdout.write(key_of(sys.argv[1], master) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

import litellm  # noqa: E402
from fastapi import HTTPException, Request  # noqa: E402
from litellm.integrations.custom_logger import CustomLogger  # noqa: E402
from litellm.proxy._types import LitellmUserRoles, UserAPIKeyAuth  # noqa: E402

_settings = json.loads(SETTINGS.read_text())
_master = os.environ["LITELLM_MASTER_KEY"]
_keys = {key_of(team, _master): team for team in _settings["teams"]}


async def check_key(request: Request, api_key: str | None) -> UserAPIKeyAuth:
    """Who a key belongs to. Teams reach models only, and none once their budget is spent."""
    given = (api_key or "").encode()
    if hmac.compare_digest(given, _master.encode()):
        role = LitellmUserRoles.PROXY_ADMIN
        return UserAPIKeyAuth(api_key=_master, user_id="admin", user_role=role)
    same = (t for key, t in _keys.items() if hmac.compare_digest(given, key.encode()))
    team = next(same, None)
    if team is None:
        raise HTTPException(401, "no such key")
    if not request.url.path.startswith(MODEL_PATHS):
        raise HTTPException(403, "this key is for models only")
    budget = _settings["budget_usd"]
    # read each time: LiteLLM loads this file once for keys and once more for what it is told
    spent = Spending(LEDGER).of(team)
    if spent >= budget:
        raise litellm.BudgetExceededError(current_cost=spent, max_budget=budget)
    return UserAPIKeyAuth(
        api_key=api_key,
        team_id=team,
        team_alias=team,
        user_role=LitellmUserRoles.INTERNAL_USER,
        rpm_limit=_settings["requests_per_minute"],
    )


class _Ledger(CustomLogger):
    """Adds what an answer cost to what its team has spent."""

    async def async_log_success_event(self, kwargs: Any, *_: Any, **__: Any) -> None:
        """Called by LiteLLM after each answer, streamed ones included."""
        metadata = (kwargs.get("litellm_params") or {}).get("metadata") or {}
        team, cost = metadata.get("user_api_key_team_id"), kwargs.get("response_cost")
        if team and cost:
            Spending(LEDGER).add(team, cost)


ledger = _Ledger()
