"""The agent that claims everything at once: each component, each mechanism, each route. It must not pay."""

import asyncio
from typing import Any

from exam.agents.tools import Tools, candidate_tools, say

LOOK_EVERY_S = 2.0
WAITS_AT_MOST_S = 120.0
ROUTES = (
    "GET /api/users/profile/{user_id}",
    "POST /api/payment",
    "POST /api/refund",
    "POST /checkout",
    "GET /api/transactions",
    "GET /api/stats",
    "GET /api/accounts/{customer_id}/balance",
    "POST /api/webhooks/payment-gateway",
)


async def guess(tools: Tools) -> None:
    """Wait for an alert, claim everything, go home."""
    said = (await tools("brief"))["diagnosis"]
    await _first_alert(tools)
    await tools("submit_diagnosis", diagnosis=everything(said))
    say("claimed everything")


def everything(said: Any) -> dict[str, Any]:
    """A diagnosis that has every answer that the brief allows."""
    return {
        "component": list(said["components"]),
        "mechanism": list(said["mechanisms"]),
        "trigger": list(said["triggers"]),
        "affected": list(ROUTES),
        "not_affected": list(ROUTES),
        "severity": "critical",
        "evidence": [{"kind": "metric", "ref": "up"}, {"kind": "query", "ref": "SELECT 1"}],
        "summary": "Everything is broken.",
        "impact": "Everybody is affected by everything.",
        "mitigation": "Everything should be restarted.",
    }


async def _first_alert(tools: Tools) -> None:
    for _ in range(int(WAITS_AT_MOST_S / LOOK_EVERY_S)):
        if (await tools("list_alerts"))["alerts"]:
            return
        await asyncio.sleep(LOOK_EVERY_S)


async def main() -> None:
    async with candidate_tools() as tools:
        await guess(tools)


if __name__ == "__main__":
    asyncio.run(main())
