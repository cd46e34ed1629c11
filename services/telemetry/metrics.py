"""The telemetry service's own metrics."""

from prometheus_client import Counter, Gauge, Histogram

received = Counter(
    "telemetry_received_total",
    "What came in: signal, span, event, transaction, log; other is acknowledged and not kept.",
    ["kind"],
)
stored = Counter(
    "telemetry_stored_total",
    "What was stored, by table: signals, spans, events. What came before is not stored again.",
    ["kind"],
)
refused = Counter(
    "telemetry_refused_total",
    "Requests refused: busy (429), malformed (400, 422), slow (408), too_big (413), database (503), other;"
    " span: a single one.",
    ["reason"],
)
removed = Counter("telemetry_removed_total", "Rows that retention removed.", ["table"])
rows = Gauge("telemetry_rows", "Rows in a table when retention looked last.", ["table"])
in_flight = Gauge("telemetry_in_flight", "Requests with telemetry that are being taken in.")
ingest = Histogram(
    "telemetry_ingest_seconds",
    "Time from a request with telemetry to its storage, of those that were stored.",
    ["door"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
