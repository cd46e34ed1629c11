"""What the reference agent looks at: the same that a person on call would, through the same tools."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exam.agents.tools import Refused, Tools

FRAUD_CHECK = "fraud-api"
PAGING = ("critical", "high")
SAMPLES = 6
SAMPLE_EVERY_S = 1.0
_LEAST_IDLE_S = 0.5
_CARD_RANGE = re.compile(r"cards (\d{6})x")

WHO_BLOCKS = (
    "SELECT blocking.pid, blocking.application_name, count(*) AS waiting FROM pg_stat_activity AS waiting"
    " CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocker (pid)"
    " JOIN pg_stat_activity AS blocking ON blocking.pid = blocker.pid"
    " WHERE blocking.state = 'idle in transaction' GROUP BY 1, 2 ORDER BY 3 DESC"
)
FRAUD_UNREACHABLE = (
    'sum(rate(dependency_requests_total{service="payment", dependency="fraud", outcome="unreachable"}[30s]))'
)
PROFILE_SESSIONS = (
    "SELECT state, extract(epoch FROM now() - state_change)::float AS for_s, query FROM pg_stat_activity"
    " WHERE application_name = 'profile' AND state <> 'idle'"
)


@dataclass(frozen=True)
class Normal:
    """How it was when the agent sat down, as a rule before anything was wrong."""

    fraud_address: str | None
    """None where the name was gone already."""


@dataclass(frozen=True)
class Blocker:
    """A session that does nothing and holds what others wait for."""

    pid: int
    application: str


@dataclass(frozen=True)
class Observed:
    """What was seen after the page."""

    alerts: frozenset[str]
    """Names of the alerts that fire."""
    error_share: float
    """Of all requests at the gateway, 0 to 1."""
    fraud_status: str
    fraud_unreachable: bool
    """Payment finds the fraud check's name, and nobody there."""
    blocker: Blocker | None
    profile_leaks: bool
    """Sessions of the profile service stay idle in transaction."""
    profile_scans: bool
    """It finds users by an expression."""
    refused_card_range: str | None


async def normal(tools: Tools) -> Normal:
    """Look around while all is well."""
    lookup = await tools("lookup_name", name=FRAUD_CHECK)
    is_reached = await value(tools, FRAUD_UNREACHABLE) == 0
    return Normal(next(iter(_addresses(lookup)), None) if is_reached else None)


async def paging_alerts(tools: Tools) -> dict[str, str]:
    """Firing alerts that wake somebody: severity by name."""
    alerts = (await tools("list_alerts"))["alerts"]
    return {
        alert["labels"]["alertname"]: alert["labels"]["severity"]
        for alert in alerts
        if alert["state"] == "firing" and alert["labels"].get("severity") in PAGING
    }


async def observe(tools: Tools) -> Observed:
    """Look at everything once; sessions several times, since most waits are short."""
    blocker, leaks, scans = None, False, False
    for _ in range(SAMPLES):
        blocker = blocker or _blocker(await tools("run_sql", statement=WHO_BLOCKS))
        leaked, scanned = _profile(await tools("run_sql", statement=PROFILE_SESSIONS))
        leaks, scans = leaks or leaked, scans or scanned
        await asyncio.sleep(SAMPLE_EVERY_S)
    lookup = await tools("lookup_name", name=FRAUD_CHECK)
    return Observed(
        alerts=frozenset(await paging_alerts(tools)),
        error_share=await value(tools, 'service:http_errors:ratio30s{service="gateway"}'),
        fraud_status=lookup["status"],
        fraud_unreachable=await value(tools, FRAUD_UNREACHABLE) > 0,
        blocker=blocker,
        profile_leaks=leaks,
        profile_scans=scans,
        refused_card_range=await _refused_card_range(tools),
    )


async def value(tools: Tools, promql: str) -> float:
    """The value of an expression that has one series; 0 where it has none."""
    result = (await tools("query_metrics", promql=promql))["result"]
    return float(result[0]["value"][1]) if result else 0.0


async def evidence(tools: Tools, *, service: str, metric: str, statement: str) -> list[dict[str, str]]:
    """References to what shows the fault: a metric, a statement that was run, a log line, a trace."""
    await tools("run_sql", statement=statement)
    found = [
        {"kind": "metric", "ref": metric, "says": "how far it is from usual"},
        {"kind": "query", "ref": statement, "says": "what the database knows of it"},
    ]
    lines = (await tools("search_logs", service=service, level="WARNING", since="1m", limit=1))["items"]
    found += [{"kind": "signal", "ref": line["signal_id"], "says": line["message"]} for line in lines]
    slow_or_failed = (await tools("search_traces", service=service, only_errors=True, since="1m", limit=1))[
        "items"
    ] or (await tools("search_traces", service=service, min_duration_ms=1000, since="1m", limit=1))["items"]
    found += [{"kind": "trace", "ref": one["trace_id"], "says": one["root_name"]} for one in slow_or_failed]
    return found


def _addresses(lookup: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(answer["value"] for answer in lookup["answers"] if answer["type"] == "A")


def _blocker(answer: Mapping[str, Any]) -> Blocker | None:
    return next((Blocker(pid, application) for pid, application, _ in answer["rows"]), None)


def _profile(answer: Mapping[str, Any]) -> tuple[bool, bool]:
    leaks = any(
        state == "idle in transaction" and for_s > _LEAST_IDLE_S for state, for_s, _ in answer["rows"]
    )
    # Every statement selects it; one that looks for users by it reads them all.
    return leaks, any("lookup_key" in query.partition("WHERE")[2] for _, _, query in answer["rows"])


async def _refused_card_range(tools: Tools) -> str | None:
    try:
        groups = (await tools("search_errors", service="payment", since="2m"))["items"]
    except Refused:
        # Where errors go elsewhere, the log has them too.
        groups = []
    lines = (await tools("search_logs", service="payment", level="ERROR", since="2m", limit=20))["items"]
    texts = [group["value"] for group in groups] + [str(line["attributes"]) for line in lines]
    said = (_CARD_RANGE.search(text) for text in texts)
    return next((match[1] for match in said if match), None)
