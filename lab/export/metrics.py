"""The metrics of a run as one wide table, asked of Prometheus."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import httpx

from embedded.errors import LabError
from lab.export.recording import SHOP, MetricFrame

STEP_S = 5
"""The interval of the scrapes: nothing is known in between."""
TIMEOUT_S = 30.0
MAX_POINTS = 10_000
"""Prometheus gives at most 11,000 points a series."""


@dataclass(frozen=True)
class Metric:
    """One metric of each service.

    ``empty`` says what holds where there is no sample: ``zero`` of what is counted, and ``hold`` the
    last known value of what is measured.
    """

    name: str
    unit: str
    expression: str
    empty: Literal["zero", "hold"]
    label: str = "service"
    """The label that names the service; processes only have ``job``."""


def _ratio(part: str, whole: str) -> str:
    return f"sum by (service) (rate({part}[15s])) / sum by (service) (rate({whole}[15s]))"


def _quantile(share: float) -> str:
    buckets = "sum by (service, le) (rate(http_request_duration_seconds_bucket[15s]))"
    return f"histogram_quantile({share}, {buckets})"


METRICS = (
    Metric("workload", "requests/s", "sum by (service) (rate(http_requests_total[15s]))", "zero"),
    # With refusals, of which some are natural: readers drop a column that never moves before the fault.
    Metric("error", "ratio", _ratio('http_requests_total{status=~"[45].."}', "http_requests_total"), "zero"),
    Metric(
        "server-error", "ratio", _ratio('http_requests_total{status=~"5.."}', "http_requests_total"), "zero"
    ),
    Metric("latency-50", "s", _quantile(0.5), "hold"),
    Metric("latency-90", "s", _quantile(0.9), "hold"),
    Metric(
        "latency-mean",
        "s",
        _ratio("http_request_duration_seconds_sum", "http_request_duration_seconds_count"),
        "hold",
    ),
    Metric("cpu", "cores", "sum by (job) (rate(process_cpu_seconds_total[15s]))", "zero", label="job"),
    Metric("mem", "bytes", "sum by (job) (process_resident_memory_bytes)", "hold", label="job"),
    Metric(
        "dependency-errors",
        "calls/s",
        'sum by (service) (rate(dependency_requests_total{outcome!="ok"}[15s]))',
        "zero",
    ),
    Metric(
        "dependency-latency",
        "s",
        _ratio("dependency_request_duration_seconds_sum", "dependency_request_duration_seconds_count"),
        "hold",
    ),
    Metric("pool-used", "connections", "sum by (service) (db_pool_in_use)", "zero"),
    Metric("pool-waiting", "callers", "sum by (service) (db_pool_waiting)", "zero"),
    Metric("pool-wait", "s", _ratio("db_pool_wait_seconds_sum", "db_pool_wait_seconds_count"), "hold"),
    Metric("query-time", "s", _ratio("db_query_seconds_sum", "db_query_seconds_count"), "hold"),
    Metric(
        "cache-hits", "ratio", _ratio('cache_requests_total{result="hit"}', "cache_requests_total"), "hold"
    ),
    Metric(
        "dns-errors",
        "answers/s",
        'sum by (service) (rate(dns_queries_total{rcode!="NOERROR"}[15s]))',
        "zero",
    ),
)
"""The columns of the frame, before the service. RCAEval's names (cpu, mem, latency-90) are used for what it has."""


def read(url: str, *, since: datetime, until: datetime) -> MetricFrame:
    """The frame of the time between, a row each ``STEP_S``. Raises ``LabError``.

    ``url`` is Prometheus' base URL. A run too long for Prometheus' limit on points gets a longer step.
    """
    start, end = math.ceil(since.timestamp()), math.floor(until.timestamp())
    step = max(STEP_S, math.ceil((end - start) / MAX_POINTS))
    times = list(range(start, end + 1, step))
    places: dict[str, str | int] = {"start": start, "end": end, "step": step}
    sampled: dict[str, dict[int, float]] = {}
    empty: dict[str, Literal["zero", "hold"]] = {}
    with httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as client:
        for metric in METRICS:
            window = {"query": metric.expression, **places}
            for service, points in _matrix(client, window, label=metric.label).items():
                sampled[f"{service}_{metric.name}"] = points
                empty[f"{service}_{metric.name}"] = metric.empty
    return MetricFrame(
        times, {name: filled(times, sampled[name], empty=empty[name]) for name in sorted(sampled)}
    )


def filled(
    times: Sequence[int], points: Mapping[int, float], *, empty: Literal["zero", "hold"]
) -> list[float]:
    """A value for each time. What was measured holds until it is measured again, and before it first was.

    A hole would spoil what reads the table: NaN is neither the same as nor greater than anything.
    """
    if empty == "zero":
        return [points.get(at, 0.0) for at in times]
    last = next((points[at] for at in times if at in points), 0.0)
    found = []
    for at in times:
        last = points.get(at, last)
        found.append(last)
    return found


def unmeasured_for_s(frame: MetricFrame) -> float:
    """How many seconds at the start have no requests at all, as where samples are gone; all of them: inf."""
    workloads = [column for name, column in frame.columns.items() if name.endswith("_workload")]
    for place, at in enumerate(frame.times):
        if any(column[place] for column in workloads):
            return at - frame.times[0]
    return math.inf


def _matrix(
    client: httpx.Client, window: Mapping[str, str | int], *, label: str
) -> dict[str, dict[int, float]]:
    """The samples of each service of the shop, by time; without those that are not a number."""
    try:
        answer = client.get("/api/v1/query_range", params=dict(window))
    except httpx.HTTPError as error:
        raise LabError(f"prometheus does not answer at {client.base_url}: {error}. Is the lab up?") from error
    if answer.is_error:
        raise LabError(f"prometheus: {answer.status_code}: {answer.text[:300]}")
    found = {}
    for one in answer.json()["data"]["result"]:
        samples = {round(float(at)): float(value) for at, value in one["values"]}
        finite = {at: value for at, value in samples.items() if math.isfinite(value)}
        if one["metric"].get(label) in SHOP and finite:
            found[one["metric"][label]] = finite
    return found
