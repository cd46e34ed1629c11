"""Shop golden signals: rate, errors and latency of each service and route, and what dependencies answer."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.grafana.blocks import (
    SERVICE_LABEL,
    incidents,
    lines,
    new_dashboard,
    phases,
    promql,
    timeline,
)

CUSTOMERS = 'service=~"$service",route!~"/(health|metrics|docs|openapi.json|ops/.*|admin/.*)"'
"""The requests that the rules count too: not those of probes and operators."""


def _rate(by: str) -> str:
    return f"sum by ({by}) (rate(http_requests_total{{{CUSTOMERS}}}[$interval]))"


def _error_ratio(by: str) -> str:
    failed = f'sum by ({by}) (rate(http_requests_total{{{CUSTOMERS},status=~"5.."}}[$interval]))'
    return f"({failed} or {_rate(by)} * 0) / ({_rate(by)} > 0)"


def _latency(quantile: float, by: str) -> str:
    buckets = f"sum by ({by}, le) (rate(http_request_duration_seconds_bucket{{{CUSTOMERS}}}[$interval]))"
    return f"histogram_quantile({quantile:g}, {buckets})"


_BY_SERVICE = (
    lines(
        "Requests of each service",
        promql(_rate("service"), "{{service}}"),
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
        promql(_rate("service, method, route"), "{{service}} {{method}} {{route}}"),
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
            "sum by (service, dependency, outcome)"
            ' (rate(dependency_requests_total{service=~"$service"}[$interval]))',
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
            "histogram_quantile(0.95, sum by (service, dependency, le)"
            ' (rate(dependency_request_duration_seconds_bucket{service=~"$service"}[$interval])))',
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
    promql('max by (service, release) (build_info{service=~"$service"})', "{{service}} {{release}}"),
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
        annotations=[incidents(), phases()],
    )
