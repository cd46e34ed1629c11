"""The metrics of a run as one wide table, asked of Prometheus."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Literal

import httpx

from embedded.errors import IS_THE_LAB_UP, LabError
from lab.export.backstage import NOT_ADMIN
from lab.export.recording import SHOP, MetricFrame

STEP_S = 5
"""The interval of the scrapes: nothing is known in between."""
HOLE_SCRAPES = 2
"""More missing samples than that in a row are told: what stands there was not measured."""
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


def _mean(timed: str, *matchers: str) -> str:
    return f"{_rate(f'{timed}_sum', *matchers)} / {_rate(f'{timed}_count', *matchers)}"


def _share(counter: str, matcher: str, *matchers: str) -> str:
    return f"{_rate(counter, matcher, *matchers)} / {_rate(counter, *matchers)}"


def _quantile(share: float, timed: str, *matchers: str) -> str:
    return f"histogram_quantile({share}, {_rate(f'{timed}_bucket', *matchers, by='service, le')})"


_LATENCY = "http_request_duration_seconds"

METRICS = (
    Metric("workload", "requests/s", _rate("http_requests_total", NOT_ADMIN), "zero"),
    # With refusals, of which some are natural: readers drop a column that never moves before the fault.
    Metric("error", "ratio", _share("http_requests_total", 'status=~"[45].."', NOT_ADMIN), "zero"),
    Metric("server-error", "ratio", _share("http_requests_total", 'status=~"5.."', NOT_ADMIN), "zero"),
    Metric("latency-50", "s", _quantile(0.5, _LATENCY, NOT_ADMIN), "hold"),
    Metric("latency-90", "s", _quantile(0.9, _LATENCY, NOT_ADMIN), "hold"),
    Metric("latency-mean", "s", _mean(_LATENCY, NOT_ADMIN), "hold"),
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


def read(url: str, *, since: datetime, until: datetime, inject_time: int | None) -> MetricFrame:
    """The frame of the time between, a row each ``STEP_S``. ``url`` is Prometheus' base URL.

    ``inject_time`` is when the fault began, in unix seconds. Raises ``LabError``.
    """
    times = list(range(math.ceil(since.timestamp()), math.floor(until.timestamp()) + 1, STEP_S))
    with httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as client:
        sampled = {
            (service, metric): points
            for metric in METRICS
            for service, points in _sampled(client, metric, times).items()
        }
    return framed(times, sampled, inject_time=inject_time)


def framed(
    times: Sequence[int],
    sampled: Mapping[tuple[str, Metric], Mapping[int, float]],
    *,
    inject_time: int | None,
) -> MetricFrame:
    """The frame of samples by time, for each service and metric; its ``gaps`` say where there were none."""
    columns: dict[str, list[float]] = {}
    late: list[str] = []
    by_holes: defaultdict[tuple[tuple[int, int], ...], list[str]] = defaultdict(list)
    named = {f"{service}_{metric.name}": (metric, points) for (service, metric), points in sampled.items()}
    for name, (metric, points) in sorted(named.items()):
        values = filled(times, points, empty=metric.empty, inject_time=inject_time)
        if values is None:
            late.append(name)
            continue
        columns[name] = values
        found = _holes(times, points) if metric.empty == "hold" else ()
        if found:
            by_holes[found].append(name)
    gaps = [f"left out, since it was not measured before the fault: {name}" for name in late]
    gaps += [f"unmeasured: {', '.join(names)} {_told(holes)} UTC" for holes, names in by_holes.items()]
    return MetricFrame(times, columns, gaps)


def filled(
    times: Sequence[int],
    points: Mapping[int, float],
    *,
    empty: Literal["zero", "hold"],
    inject_time: int | None,
) -> list[float] | None:
    """A value for each time. What was measured holds until it is measured again, and before it first was.

    A hole would spoil what reads the table: NaN is neither the same as nor greater than anything. ``None``
    for what was not measured before the fault: its first value says nothing of the healthy minutes, and
    readers drop a column that is the same in all of them.
    """
    if empty == "zero":
        return [points.get(at, 0.0) for at in times]
    first = next((at for at in times if at in points), None)
    if first is None or (inject_time is not None and first >= inject_time):
        return None
    last = points[first]
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


def _holes(times: Sequence[int], points: Mapping[int, float]) -> tuple[tuple[int, int], ...]:
    """The first and the last time of each row of times without a sample, longer than ``HOLE_SCRAPES``."""
    groups = (list(group) for is_there, group in groupby(times, points.__contains__) if not is_there)
    return tuple((group[0], group[-1]) for group in groups if len(group) > HOLE_SCRAPES)


def _told(holes: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"from {_clock(first)} to {_clock(last)}" for first, last in holes)


def _clock(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"


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
