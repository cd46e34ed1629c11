"""Incident overview: what is open, how quickly it is taken up and mended, what came in."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.grafana.blocks import (
    NONE_IS_GOOD,
    buckets_now,
    distribution,
    incidents,
    lines,
    new_dashboard,
    number,
    promql,
    promql_now,
    rows,
    sql,
    timeline,
)

_NOW = (
    number(
        "Unresolved incidents",
        promql_now("max by (severity) (incidents_unresolved)", "{{severity}}"),
        good="no critical and no high",
        unit="short",
        steps=NONE_IS_GOOD,
        width=8,
        height=4,
    ),
    number(
        "Incidents that nobody has taken up",
        promql_now('max(incidents_total{status="open"})', "incidents"),
        good="none",
        unit="short",
        steps=NONE_IS_GOOD,
        width=8,
        height=4,
    ),
    number(
        "Alerts that fire",
        promql_now('count(ALERTS{alertstate="firing",service=~"$service"}) or vector(0)', "alerts"),
        good="none",
        unit="short",
        steps=NONE_IS_GOOD,
        width=8,
        height=4,
    ),
    number(
        "Alerts that joined an incident",
        promql_now(
            '1 - sum(increase(alerts_correlated_total{result="new_incident"}[$__range]))'
            " / sum(increase(alerts_correlated_total[$__range]))",
            "correlation ratio",
        ),
        good="above 50% in a storm",
        unit="percentunit",
        steps=((None, "orange"), (0.5, "green")),
        width=12,
        height=4,
    ),
    number(
        "Pages on their way",
        promql_now("max(notifications_pending)", "pages"),
        good="none for long",
        unit="short",
        steps=((None, "green"), (1, "orange")),
        width=12,
        height=4,
    ),
)

_TIMES = (
    distribution(
        "Time to acknowledge, incidents by bucket",
        buckets_now("sum by (le) (increase(incident_mtta_seconds_bucket[$__range]))"),
        good="most below 2 min",
        unit="short",
    ),
    distribution(
        "Time to resolve, incidents by bucket",
        buckets_now("sum by (le) (increase(incident_mttr_seconds_bucket[$__range]))"),
        good="most below 30 min",
        unit="short",
    ),
)

_COMING_IN = (
    lines(
        "Unresolved incidents over time",
        promql("max by (severity) (incidents_unresolved)", "{{severity}}"),
        good="back to 0 after each",
        unit="short",
        stacked=True,
    ),
    lines(
        "Alerts per minute",
        promql("60 * sum by (severity) (rate(alerts_received_total[$interval]))", "{{severity}}"),
        good="a few, and none in a quiet lab",
        unit="cpm",
        stacked=True,
    ),
)

_TIMELINE = (
    timeline(
        "Timeline of what fires",
        promql(
            'max by (service, alertname) (ALERTS{alertstate="firing",service=~"$service"})',
            "{{service}} {{alertname}}",
        ),
        good="short bars",
        states=(("1", "firing", "red"),),
    ),
    rows(
        "Incidents, newest first",
        sql("newest-incidents"),
        good="each has somebody, and ends",
        unit="none",
        units=(("acknowledged after", "s"), ("resolved after", "s")),
        links=(
            ("incident", "Open in the console", "${console:raw}/incidents/${__value.raw}"),
            ("service", "Its traces", "${console:raw}/traces?service=${__value.raw}"),
        ),
    ),
)


def build() -> Dashboard:
    """The home page."""
    return new_dashboard(
        "incident-overview",
        "Incident overview",
        *_NOW,
        *_TIMELINE,
        *_COMING_IN,
        *_TIMES,
        about="What is open, how quickly it is taken up and mended, and what came in.",
        annotations=[incidents()],
    )
