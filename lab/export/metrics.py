"""The metrics of a run as one wide table, asked of Prometheus."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import httpx

from embedded.errors import IS_THE_LAB_UP, LabError
from lab.export.recording import SHOP, MetricFrame

STEP_S = 5
"""The interval of the scrapes: nothing is known in between."""
TIMEOUT_S = 30.0
WINDOW_S = 600
"""So much is asked for at once: a query over a long exam would take longer than Prometheus lets it."""


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


def _rate(counter: str, *matchers: str, by: str = "service") -> str:
    """What the services of the shop count per second, over three scrapes."""
    selected = ",".join((f'service=~"{"|".join(SHOP)}"', *matchers))
    return f"sum by ({by}) (rate({counter}{{{selected}}}[15s]))"


def _mean(timed: str) -> str:
    return f"{_rate(f'{timed}_sum')} / {_rate(f'{timed}_count')}"


def _share(counter: str, matcher: str) -> str:
    return f"{_rate(counter, matcher)} / {_rate(counter)}"


def _quantile(share: float, timed: str) -> str:
    return f"histogram_quantile({share}, {_rate(f'{timed}_bucket', by='service, le')})"


METRICS = (
    Metric("workload", "requests/s", _rate("http_requests_total"), "zero"),
    # With refusals, of which some are natural: readers drop a column that never moves before the fault.
    Metric("error", "ratio", _share("http_requests_total", 'status=~"[45].."'), "zero"),
    Metric("server-error", "ratio", _share("http_requests_total", 'status=~"5.."'), "zero"),
    Metric("latency-50", "s", _quantile(0.5, "http_request_duration_seconds"), "hold"),
    Metric("latency-90", "s", _quantile(0.9, "http_request_duration_seconds"), "hold"),
    Metric("latency-mean", "s", _mean("http_request_duration_seconds"), "hold"),
    Metric("cpu", "cores", "sum by (job) (rate(process_cpu_seconds_total[15s]))", "zero", label="job"),
    Metric("mem", "bytes", "sum by (job) (process_resident_memory_bytes)", "hold", label="job"),
    Metric("dependency-errors", "calls/s", _rate("dependency_requests_total", 'outcome!="ok"'), "zero"),
    Metric("dependency-latency", "s", _mean("dependency_request_duration_seconds"), "hold"),
    Metric("pool-used", "connections", "sum by (service) (db_pool_in_use)", "zero"),
    Metric("pool-waiting", "callers", "sum by (service) (db_pool_waiting)", "zero"),
    Metric("pool-wait", "s", _mean("db_pool_wait_seconds"), "hold"),
    Metric("query-time", "s", _mean("db_query_seconds"), "hold"),
    Metric("cache-hits", "ratio", _share("cache_requests_total", 'result="hit"'), "hold"),
    Metric("dns-errors", "answers/s", _rate("dns_queries_total", 'rcode!="NOERROR"'), "zero"),
)
"""The columns of the frame, less the service. What RCAEval has a name for (cpu, mem, latency-90) has that."""


def read(url: str, *, since: datetime, until: datetime) -> MetricFrame:
    """The frame of the time between, a row each ``STEP_S``. ``url`` is Prometheus' base URL.

    Raises ``LabError``.
    """
    times = list(range(math.ceil(since.timestamp()), math.floor(until.timestamp()) + 1, STEP_S))
    columns: dict[str, list[float]] = {}
    with httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as client:
        for metric in METRICS:
            for service, points in _sampled(client, metric, times).items():
                columns[f"{service}_{metric.name}"] = filled(times, points, empty=metric.empty)
    return MetricFrame(times, dict(sorted(columns.items())))


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


def _sampled(client: httpx.Client, metric: Metric, times: Sequence[int]) -> dict[str, dict[int, float]]:
    """The samples of each service of the shop by time, without those that are not a number."""
    found: defaultdict[str, dict[int, float]] = defaultdict(dict)
    rows = WINDOW_S // STEP_S
    for first in range(0, len(times), rows):
        window = times[first : first + rows]
        for one in _matrix(client, metric.expression, window):
            service = one["metric"].get(metric.label)
            samples = {round(float(at)): float(value) for at, value in one["values"]}
            finite = {at: value for at, value in samples.items() if math.isfinite(value)}
            if service in SHOP and finite:
                found[service] |= finite
    return found


def _matrix(client: httpx.Client, expression: str, window: Sequence[int]) -> list[dict[str, Any]]:
    asked: dict[str, str | int] = {
        "query": expression,
        "start": window[0],
        "end": window[-1],
        "step": STEP_S,
    }
    try:
        answer = client.get("/api/v1/query_range", params=asked)
    except httpx.HTTPError as error:
        trouble = f"prometheus does not answer at {client.base_url}: {error}"
        raise LabError(f"{trouble}. {IS_THE_LAB_UP}") from error
    if answer.is_error:
        raise LabError(f"prometheus: {answer.status_code}: {answer.text[:300]}")
    result: list[dict[str, Any]] = answer.json()["data"]["result"]
    return result
