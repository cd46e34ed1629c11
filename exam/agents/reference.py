"""The agent that solves it: observes, chooses a playbook, mends, tells people, and hands in a diagnosis.

It knows no scenario's name and no route but the tools. No language model is in it: it is what a run
costs at least, and proof that each scenario can be solved with what a candidate has.
"""

import argparse
import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from exam.agents.observations import Normal, Observed, evidence, normal, observe, paging_alerts
from exam.agents.playbooks import PLAYBOOKS, Playbook, choose
from exam.agents.tools import Tools, candidate_tools, say

LOOK_EVERY_S = 2.0
WATCH_S = 150.0
"""An incident pages within a minute; who sees nothing for so long has a quiet night."""
UNDERSTAND_WITHIN_S = 90.0
CALM_WITHIN_S = 180.0
STEADY_S = 20.0
"""For so long it stays before it says that customers are served again."""
GATEWAY_ERRORS = 'service:http_errors:ratio30s{service="gateway"}'
WHAT_RUNS = "SELECT application_name, state, count(*) FROM pg_stat_activity GROUP BY 1, 2 ORDER BY 3 DESC"


async def solve(tools: Tools, *, watch_s: float = WATCH_S) -> None:
    """Sit one exam from the brief to the last submission."""
    before = await normal(tools)
    if not await _is_paged(tools, within_s=watch_s):
        await _leave_alone(tools, pages=frozenset())
        return
    began = datetime.now(UTC)
    await _take_incidents(tools)
    await tools("acknowledge_page")
    await tools(
        "post_status_update", text="We see failing or slow requests in the shop and are looking into it."
    )
    playbook, seen = await _understand(tools, before)
    if playbook is None:
        # What went by itself, without a sign of a cause, was none.
        await (
            _give_up(tools, seen) if await paging_alerts(tools) else _leave_alone(tools, pages=seen.alerts)
        )
        return
    say(playbook.found)
    references = await evidence(
        tools, service=playbook.suffering, metric=playbook.metric, statement=playbook.statement
    )
    impact = f"{seen.error_share:.0%} of requests at the gateway fail; hit: {', '.join(playbook.affected)}"
    await _note(tools, f"{began:%H:%M} UTC {playbook.component}: {playbook.found} {impact}. Mitigating next.")
    done = await playbook.mitigate(tools, before, seen)
    say(done)
    await _note(tools, f"{datetime.now(UTC):%H:%M} UTC {playbook.component}: {done}. Checking recovery next.")
    await tools("post_status_update", text=f"The cause is found and a fix is in place: {done}. We watch it.")
    diagnosis = _diagnosis(playbook, references, impact=impact, done=done)
    await tools("submit_diagnosis", diagnosis=diagnosis, draft=True)
    await _until_calm(tools)
    await _wrap_up(tools, playbook, impact=impact, done=done)
    await tools("submit_diagnosis", diagnosis=diagnosis)


async def _is_paged(tools: Tools, *, within_s: float) -> bool:
    ends_at = time.monotonic() + within_s
    while time.monotonic() < ends_at:
        if firing := await paging_alerts(tools):
            say(f"firing: {', '.join(sorted(firing))}")
            return True
        await asyncio.sleep(LOOK_EVERY_S)
    return False


async def _understand(tools: Tools, before: Normal) -> tuple[Playbook | None, Observed]:
    """Look until something is recognised. A later look may see more, but customers wait."""
    ends_at = time.monotonic() + UNDERSTAND_WITHIN_S
    while True:
        seen = await observe(tools)
        playbook = choose(before, seen)
        if playbook is not None or time.monotonic() > ends_at:
            return playbook, seen
        await _take_incidents(tools)


async def _take_incidents(tools: Tools) -> list[Any]:
    """Acknowledge whatever is open; every incident that is not resolved."""
    unresolved = [one for one in (await tools("list_incidents"))["items"] if one["status"] != "resolved"]
    for one in unresolved:
        if one["status"] == "open":
            await tools("acknowledge_incident", incident_id=one["id"])
    return unresolved


async def _note(tools: Tools, text: str) -> None:
    for one in await _take_incidents(tools):
        await tools("add_note", incident_id=one["id"], text=text)


async def _until_calm(tools: Tools) -> None:
    """Wait until nothing pages any more, and a little longer."""
    ends_at = time.monotonic() + CALM_WITHIN_S
    while await paging_alerts(tools):
        if time.monotonic() > ends_at:
            say("it still pages")
            return
        await _take_incidents(tools)
        await asyncio.sleep(LOOK_EVERY_S)
    await asyncio.sleep(STEADY_S)


async def _wrap_up(tools: Tools, playbook: Playbook, *, impact: str, done: str) -> None:
    unresolved = await _take_incidents(tools)
    for one in unresolved:
        await tools("change_incident", incident_id=one["id"], status="resolved")
    await tools("post_status_update", text="Customers are served as before. A postmortem will follow.")
    resolved = (await tools("list_incidents", status="resolved", limit=1))["items"]
    for one in resolved:
        await tools(
            "write_postmortem",
            incident_id=one["id"],
            summary=f"{playbook.found} Mended: {done}.",
            impact=f"{impact}.",
            root_cause=f"{playbook.mechanism} in {playbook.component}, set off by {playbook.trigger}.",
            lessons="Alerts name where it hurts; what they point away from has to be ruled out by looking.",
            action_items=[f"Find out how {playbook.trigger} could go live unseen, and alert on its cause."],
        )


def _diagnosis(
    playbook: Playbook, references: list[dict[str, str]], *, impact: str, done: str
) -> dict[str, Any]:
    return {
        "component": playbook.component,
        "mechanism": playbook.mechanism,
        "trigger": playbook.trigger,
        "affected": list(playbook.affected),
        "not_affected": list(playbook.healthy),
        "ruled_out": [{"component": name, "because": why} for name, why in playbook.ruled_out],
        "evidence": references,
        "severity": playbook.severity,
        "summary": playbook.found,
        "impact": impact,
        "mitigation": done,
    }


async def _leave_alone(tools: Tools, *, pages: frozenset[str]) -> None:
    """Nothing pages, or no longer: say so, with what was looked at, and change nothing."""
    went = ", ".join(sorted(pages)) or "none"
    await tools("run_sql", statement=WHAT_RUNS)
    await tools("query_metrics", promql=GATEWAY_ERRORS)
    await tools("post_status_update", text="All is well: no errors beyond the usual. Nothing was changed.")
    nothing = {
        "component": "none",
        "mechanism": "none",
        "trigger": "none",
        "evidence": [{"kind": "metric", "ref": GATEWAY_ERRORS}, {"kind": "query", "ref": WHAT_RUNS}],
        "summary": f"No alert fires (went by itself: {went}); the shop is as usual.",
        "impact": "No customer is affected beyond the usual 402 and 404.",
        "mitigation": "Nothing was changed, since nothing is wrong.",
    }
    await tools("submit_diagnosis", diagnosis=nothing)
    say("nothing is wrong")


async def _give_up(tools: Tools, seen: Observed) -> None:
    """It pages and no playbook fits: claim nothing that was not seen."""
    say(f"none of {len(PLAYBOOKS)} playbooks fits {seen}")
    blank = {"summary": f"Not understood. Firing: {', '.join(sorted(seen.alerts))}."}
    await tools("submit_diagnosis", diagnosis=blank)


async def main() -> None:
    parser = argparse.ArgumentParser(description="Sit one exam through lab mcp.")
    parser.add_argument(
        "--watch-s", type=float, default=WATCH_S, help="seconds without a page: a quiet night"
    )
    arguments = parser.parse_args()
    async with candidate_tools() as tools:
        await solve(tools, watch_s=arguments.watch_s)


if __name__ == "__main__":
    asyncio.run(main())
