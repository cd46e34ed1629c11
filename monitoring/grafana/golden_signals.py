"""Shop golden signals: rate, errors and latency of each service and route, and what dependencies answer."""

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
from monitoring.grafana.expressions import CUSTOMERS, RELEASES, quantile, rate, share


def _requests(by: str) -> str:
    return rate("http_requests_total", by=by, of=CUSTOMERS)


def _error_ratio(by: str) -> str:
    failed = rate("http_requests_total", by=by, of=f'{CUSTOMERS},status=~"5.."')
    return share(failed, _requests(by))


def _latency(wanted: float, by: str) -> str:
    return quantile(wanted, "http_request_duration_seconds", by=by, of=CUSTOMERS)


_BY_SERVICE = (
    lines(
        "Requests of each service",
        promql(_requests("service"), "{{service}}"),
        good="steady",
        unit="reqps",
        width=8,
        traces_of=SERVICE_LABEL,
    ),
    lines(
        "Share of requests that fail",
        promql(_error_ratio("service"), "{{service}}"),
        good="below 3%",
        unit="percentunit",
        width=8,
        limit=0.03,
        traces_of=SERVICE_LABEL,
    ),
    lines(
        "Latency",
        promql(_latency(0.95, "service"), "{{service}} p95"),
        promql(_latency(0.5, "service"), "{{service}} p50", ref="B"),
        good="p95 below 250 ms",
        unit="s",
        width=8,
        limit=0.25,
        traces_of=SERVICE_LABEL,
    ),
)

_BY_ROUTE = (
    lines(
        "Requests of each route",
        promql(_requests("service, method, route"), "{{service}} {{method}} {{route}}"),
        good="the same mix as before",
        unit="reqps",
        width=8,
        height=10,
        traces_of=SERVICE_LABEL,
    ),
    lines(
        "Share of a route's requests that fails",
        promql(_error_ratio("service, method, route"), "{{service}} {{method}} {{route}}"),
        good="below 3% on each",
        unit="percentunit",
        width=8,
        height=10,
        limit=0.03,
        traces_of=SERVICE_LABEL,
    ),
    lines(
        "Latency of each route, p95",
        promql(_latency(0.95, "service, method, route"), "{{service}} {{method}} {{route}}"),
        good="below 250 ms on each",
        unit="s",
        width=8,
        height=10,
        limit=0.25,
        traces_of=SERVICE_LABEL,
    ),
)

_DEPENDENCIES = (
    lines(
        "What calls to dependencies come to",
        promql(
            rate("dependency_requests_total", by="service, dependency, outcome"),
            "{{service}} → {{dependency}}: {{outcome}}",
        ),
        good="ok, and few rejected",
        unit="reqps",
        width=8,
        traces_of=SERVICE_LABEL,
    ),
    lines(
        "Time of a call to a dependency, p95",
        promql(
            quantile(0.95, "dependency_request_duration_seconds", by="service, dependency"),
            "{{service}} → {{dependency}}",
        ),
        good="below 250 ms",
        unit="s",
        width=8,
        limit=0.25,
        traces_of=SERVICE_LABEL,
    ),
    lines(
        "Answers of the name server",
        promql("sum by (rcode) (rate(dns_queries_total[$interval]))", "{{rcode}}"),
        good="NOERROR only",
        unit="reqps",
        width=8,
    ),
)

_RELEASES = timeline(
    "Release that serves",
    promql(RELEASES, "{{service}} {{release}}"),
    good="one for each service, and no change just before an alert",
    states=(("1", "serves", "blue"),),
)


def build() -> Dashboard:
    """Where triage begins."""
    return new_dashboard(
        "golden-signals",
        "Shop golden signals",
        *_BY_SERVICE,
        *_BY_ROUTE,
        *_DEPENDENCIES,
        _RELEASES,
        about="Rate, errors and latency of each service and route, and what their dependencies answer.",
        annotations=[faults(), incidents()],
    )
