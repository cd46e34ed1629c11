"""Lab: whether the lab itself is well, so that its own trouble is not taken for a fault of the shop."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.grafana.blocks import (
    NONE_IS_GOOD,
    lines,
    new_dashboard,
    number,
    phases,
    promql,
    promql_now,
    timeline,
)

_NOW = (
    number(
        "Targets that do not answer",
        promql_now("count(up == 0) or vector(0)", "targets"),
        good="none",
        unit="short",
        steps=NONE_IS_GOOD,
    ),
    number(
        "Load that is sent",
        promql_now(
            "sum(rate(traffic_dealt_total[$interval])) / (sum(traffic_planned_requests_per_second) > 0)",
            "of the plan",
        ),
        good="100% of the plan",
        unit="percentunit",
        steps=((None, "red"), (0.9, "green"), (1.1, "red")),
        decimals=0,
    ),
    number(
        "Requests that were never sent",
        promql_now("sum(increase(traffic_unsent_total[$__range]))", "requests"),
        good="none",
        unit="short",
        steps=NONE_IS_GOOD,
    ),
    number(
        "Signals, spans and errors that were lost",
        promql_now("sum(increase(signals_dropped_total[$__range])) or vector(0)", "signals"),
        promql_now("sum(increase(spans_dropped_total[$__range])) or vector(0)", "spans", ref="B"),
        promql_now("sum(increase(error_events_dropped_total[$__range])) or vector(0)", "errors", ref="C"),
        good="none",
        unit="short",
        steps=NONE_IS_GOOD,
    ),
)

_TARGETS = timeline(
    "Targets",
    promql("min by (job, instance) (up)", "{{job}}"),
    good="up all the time",
    states=(("0", "down", "red"), ("1", "up", "green")),
    height=10,
)

_LOAD = (
    lines(
        "Load against its plan",
        promql("sum(traffic_planned_requests_per_second)", "planned"),
        promql("sum(rate(traffic_dealt_total[$interval]))", "sent", ref="B"),
        promql("sum(rate(traffic_answered_total[$interval]))", "answered", ref="C"),
        good="three lines on each other",
        unit="reqps",
        width=8,
    ),
    lines(
        "Load by result",
        promql("sum by (result) (rate(traffic_answered_total[$interval]))", "{{result}}"),
        promql("sum(rate(traffic_late_total[$interval]))", "late", ref="B"),
        promql("sum(rate(traffic_unsent_total[$interval]))", "never sent", ref="C"),
        good="ok only",
        unit="reqps",
        width=8,
    ),
    lines(
        "What waits to be done",
        promql("sum by (kind) (max by (kind) (incident_outbox_pending))", "{{kind}}"),
        promql("max(notifications_pending)", "pages", ref="B"),
        promql("max(escalations_pending)", "escalations", ref="C"),
        promql("max(alerts_pending)", "alerts", ref="D"),
        good="back to 0 within seconds",
        unit="short",
        width=8,
    ),
)

_COST = (
    lines(
        "Time of a scrape",
        promql('max by (job) (scrape_duration_seconds{job=~".+"})', "{{job}}"),
        good="below 1 s",
        unit="s",
        limit=4,
        width=8,
    ),
    lines(
        "Processor time",
        promql("sum by (job) (rate(process_cpu_seconds_total[$interval]))", "{{job}}"),
        good="below 2 cores in all",
        unit="none",
        stacked=True,
        width=8,
    ),
    lines(
        "Memory of what is scraped",
        promql("sum by (job) (process_resident_memory_bytes)", "{{job}}"),
        good="steady, below 1.6 GiB in all",
        unit="bytes",
        stacked=True,
        width=8,
    ),
)

_PATH_OF_AN_ALERT = (
    lines(
        "Time from an alert's arrival to its receipt, p95",
        promql(
            "histogram_quantile(0.95, sum by (le) (rate(alert_ingestion_seconds_bucket[$__range])))", "p95"
        ),
        good="below 60 ms",
        unit="s",
        limit=0.06,
        width=8,
    ),
    lines(
        "Time from a page's acceptance to its delivery, p95",
        promql(
            "histogram_quantile(0.95,"
            " sum by (channel, le) (rate(notification_delivery_seconds_bucket[$__range])))",
            "{{channel}}",
        ),
        good="below 5 s",
        unit="s",
        limit=5,
        width=8,
    ),
    lines(
        "Signals, spans and errors that telemetry stores",
        promql("sum by (kind) (rate(telemetry_stored_total[$interval]))", "{{kind}}"),
        good="below 500/s in all",
        unit="cps",
        width=8,
    ),
)


def build() -> Dashboard:
    """The phases of scenarios are marked, unless the lab is blind."""
    return new_dashboard(
        "lab",
        "Lab",
        *_NOW,
        _TARGETS,
        *_LOAD,
        *_PATH_OF_AN_ALERT,
        *_COST,
        about="Whether the lab itself is well: targets, load against its plan, what waits, what it costs.",
        service="",
        annotations=[phases()],
    )
