"""SRE performance: how quickly incidents are acknowledged and resolved, and what they cost.

What is told by week and by person comes from the incidents themselves: metrics know neither, and forget.
The objective is that 99.5% of the gateway's requests do not fail. A week's budget is then 0.5% of its
604,800 s, which the statements take as 3,024 s with a critical incident open.
"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.grafana.blocks import (
    bars,
    lines,
    new_dashboard,
    number,
    promql,
    promql_now,
    rows,
    sql,
)

ALLOWED_ERROR_RATIO = 0.005


def _burn(window: str) -> str:
    errors = f'sum_over_time(service:http_errors:rate30s{{service="gateway"}}[{window}])'
    requests = f'sum_over_time(service:http_requests:rate30s{{service="gateway"}}[{window}])'
    return f"{errors} / ({requests} > 0) / {ALLOWED_ERROR_RATIO:g}"


_BUDGET = (
    number(
        "Error budget left of the time shown",
        promql_now(f"1 - {_burn('$__range')}", "of the budget"),
        good="above 0%",
        unit="percentunit",
        steps=((None, "red"), (0, "orange"), (0.5, "green")),
        decimals=0,
    ),
    lines(
        "Speed at which the error budget burns",
        promql(_burn("5m"), "over 5 min"),
        promql(_burn("1h"), "over 1 h", ref="B"),
        good="below 1",
        unit="x",
        limit=1,
        width=18,
        height=5,
    ),
)

_BY_WEEK = (
    bars(
        "Time to acknowledge by week",
        sql("time-to-acknowledge-by-week"),
        good="mean below 2 min",
        unit="s",
        by="week",
        width=8,
    ),
    bars(
        "Time to resolve by week",
        sql("time-to-resolve-by-week"),
        good="mean below 30 min",
        unit="s",
        by="week",
        width=8,
    ),
    bars(
        "Week's budget spent in critical incidents",
        sql("budget-by-week"),
        good="below 100%",
        unit="percentunit",
        by="week",
        width=8,
    ),
)

_BY_PERSON = (
    bars(
        "Time to acknowledge by person",
        sql("time-to-acknowledge-by-person"),
        good="mean below 2 min for each",
        unit="s",
        by="person",
        width=8,
    ),
    bars(
        "Time to resolve by person",
        sql("time-to-resolve-by-person"),
        good="mean below 30 min for each",
        unit="s",
        by="person",
        width=8,
    ),
    bars(
        "Budget of the weeks shown, spent by whose the incident was",
        sql("budget-by-person"),
        good="shared evenly, below 100%",
        unit="percentunit",
        by="person",
        width=8,
    ),
)

_BY_BOTH = rows(
    "By week and person on call",
    sql("by-week-and-person"),
    good="falling from week to week",
    unit="short",
    units=(("MTTA", "s"), ("MTTR", "s"), ("budget spent", "percentunit")),
)


def build() -> Dashboard:
    """Looked at once a week, so it shows weeks and is not in a hurry."""
    return new_dashboard(
        "sre-performance",
        "SRE performance",
        *_BUDGET,
        *_BY_WEEK,
        *_BY_PERSON,
        _BY_BOTH,
        about="MTTA, MTTR and error budget, by week and by person on call. Objective: 99.5% of the gateway's"
        " requests do not fail.",
        shown="now-28d",
        intervals=(),
        refresh="1m",
    )
