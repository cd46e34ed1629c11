"""Incident B: a service and its database, from the cache through the pool to the sessions in Postgres."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.grafana.blocks import (
    SERVICE_LABEL,
    faults,
    incidents,
    lines,
    new_dashboard,
    promql,
    timeline,
)
from monitoring.grafana.expressions import CUSTOMERS, OF_SERVICE, RELEASES, quantile, rate, share

_LOOK_UPS = rate("cache_requests_total", by="service")
_HITS = rate("cache_requests_total", by="service", of=f'{OF_SERVICE},result="hit"')
_STATEMENTS = rate("db_query_seconds_count", by="service")
_REQUESTS = rate("http_requests_total", by="service")

_CACHE = (
    lines(
        "Cache look-ups",
        promql(rate("cache_requests_total", by="service, result"), "{{service}} {{result}}"),
        good="mostly hits",
        unit="reqps",
        stacked=True,
        width=8,
    ),
    lines(
        "Share of look-ups that hit",
        promql(share(_HITS, _LOOK_UPS), "{{service}}"),
        good="above 70% once it is warm",
        unit="percentunit",
        width=8,
    ),
    lines(
        "Statements for each request",
        promql(f"{_STATEMENTS} / ({_REQUESTS} > 0)", "{{service}}"),
        good="steady, and well below 1 with a warm cache",
        unit="short",
        width=8,
    ),
)

_POOL = (
    lines(
        "Connections of the pool",
        promql(f"sum by (service) (db_pool_size{{{OF_SERVICE}}})", "{{service}} size"),
        promql(f"sum by (service) (db_pool_in_use{{{OF_SERVICE}}})", "{{service}} in use", ref="B"),
        promql(f"sum by (service) (db_pool_waiting{{{OF_SERVICE}}})", "{{service}} waiting", ref="C"),
        good="in use below size, nobody waiting",
        unit="short",
        width=8,
    ),
    lines(
        "Wait for a connection",
        promql(quantile(0.95, "db_pool_wait_seconds"), "{{service}} p95"),
        promql(quantile(0.5, "db_pool_wait_seconds"), "{{service}} p50", ref="B"),
        good="p95 below 20 ms",
        unit="s",
        limit=0.25,
        width=8,
    ),
    lines(
        "Time of a statement",
        promql(quantile(0.95, "db_query_seconds"), "{{service}} p95"),
        promql(quantile(0.5, "db_query_seconds"), "{{service}} p50", ref="B"),
        good="p95 below 50 ms",
        unit="s",
        limit=0.25,
        width=8,
        traces_of=SERVICE_LABEL,
    ),
)

_SESSIONS = (
    lines(
        "Postgres sessions by state",
        promql(
            'sum by (application, state) (pg_sessions_sessions{application=~"$service"})',
            "{{application}} {{state}}",
        ),
        good="mostly idle, none idle in transaction",
        unit="short",
        stacked=True,
        width=8,
    ),
    lines(
        "Postgres sessions by what they wait for",
        promql(
            'sum by (application, wait) (pg_sessions_sessions{application=~"$service"})',
            "{{application}} {{wait}}",
        ),
        good="Client only",
        unit="short",
        stacked=True,
        width=8,
    ),
    lines(
        "Age of the oldest transaction",
        promql(
            'max by (application, state) (pg_sessions_longest_transaction_seconds{application=~"$service"})',
            "{{application}} {{state}}",
        ),
        good="below 1 s",
        unit="s",
        limit=1,
        width=8,
    ),
)

_SYMPTOMS = (
    lines(
        "Answers by status",
        promql(rate("http_requests_total", by="service, status", of=CUSTOMERS), "{{service}} {{status}}"),
        good="no 5xx",
        unit="reqps",
        stacked=True,
        traces_of=SERVICE_LABEL,
    ),
    lines(
        "Latency, p95",
        promql(f"service:http_request_duration_seconds:p95_30s{{{OF_SERVICE}}}", "{{service}}"),
        good="below 250 ms",
        unit="s",
        limit=1,
        traces_of=SERVICE_LABEL,
    ),
)

_RELEASE = timeline(
    "Release that serves",
    promql(RELEASES, "{{service}} {{release}}"),
    good="no change just before an alert",
    states=(("1", "serves", "blue"),),
    height=5,
)


def build() -> Dashboard:
    """The profile service at first; any service with a database can be chosen."""
    return new_dashboard(
        "incident-b",
        "Incident B",
        *_SYMPTOMS,
        *_CACHE,
        *_POOL,
        *_SESSIONS,
        _RELEASE,
        about="A service and its database: cache, pool, statements, sessions and what they wait for.",
        service="profile",
        annotations=[faults(), incidents()],
    )
