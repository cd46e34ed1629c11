"""The metrics that every service exposes, under the names that rules and dashboards read."""

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]

_LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0, 10.0)

http_requests = Counter(
    "http_requests_total", "HTTP requests answered.", ["service", "method", "route", "status"]
)
http_request_duration = Histogram(
    "http_request_duration_seconds",
    "Time from the request's first byte to the end of its answer.",
    ["service", "method", "route"],
    buckets=_LATENCY_BUCKETS_S,
)
dependency_requests = Counter(
    "dependency_requests_total",
    "Calls to another service by outcome: ok, rejected (4xx), failed (5xx), timeout, unresolved,"
    " unreachable, breaker_open.",
    ["service", "dependency", "outcome"],
)
dependency_request_duration = Histogram(
    "dependency_request_duration_seconds",
    "Time of a call to another service.",
    ["service", "dependency"],
    buckets=_LATENCY_BUCKETS_S,
)
db_pool_size = Gauge("db_pool_size", "Connections that the pool may hold.", ["service"])
db_pool_in_use = Gauge("db_pool_in_use", "Connections checked out of the pool.", ["service"])
db_pool_waiting = Gauge("db_pool_waiting", "Callers waiting for a connection.", ["service"])
db_pool_wait = Histogram(
    "db_pool_wait_seconds",
    "Time waited for a connection, refused waits included.",
    ["service"],
    buckets=_LATENCY_BUCKETS_S,
)
db_query = Histogram(
    "db_query_seconds",
    "Time of a statement in the database, from its start to its first answer or its error.",
    ["service"],
    buckets=_LATENCY_BUCKETS_S,
)
cache_requests = Counter("cache_requests_total", "Cache look-ups by result.", ["service", "result"])
build_info = Gauge("build_info", "1 for the release that serves now.", ["service", "release"])
signals_dropped = Counter("signals_dropped_total", "Signals not shipped: queue full or refused.", ["service"])
spans_dropped = Counter("spans_dropped_total", "Spans not shipped: queue full or refused.", ["service"])
error_events_dropped = Counter(
    "error_events_dropped_total",
    "Sentry items not shipped: queue full, refused, rate limited.",
    ["service"],
)
