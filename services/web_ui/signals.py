"""The golden signals of each service over the last half hour, and the incidents in it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from services.web_ui.backends import Prometheus, Series

WINDOW = timedelta(minutes=30)
STEP_S = 15
_OWN_ROUTES = 'route!~"/health|/metrics|/ops/.*|/admin/.*"'
RATE = f"sum by (service) (rate(http_requests_total{{{_OWN_ROUTES}}}[1m]))"
ERROR_RATIO = f'sum by (service) (rate(http_requests_total{{{_OWN_ROUTES},status=~"5.."}}[1m])) / {RATE}'
P95_S = (
    "histogram_quantile(0.95, sum by (service, le)"
    f" (rate(http_request_duration_seconds_bucket{{{_OWN_ROUTES}}}[1m])))"
)

Point = tuple[int, float | None]
"""Unix milliseconds, and the value; ``None`` where there is none."""


@dataclass(frozen=True)
class GoldenSignals:
    """One service's requests a second, share of 5xx (0 to 1), and 95th percentile in seconds."""

    rate: Sequence[Point] = ()
    error_ratio: Sequence[Point] = ()
    p95_s: Sequence[Point] = ()


@dataclass(frozen=True)
class Signals:
    """All services' signals; ``start`` and ``end`` bound the time shown, up to one step beyond now."""

    start: datetime
    end: datetime
    by_service: Mapping[str, GoldenSignals]


async def read_signals(
    prometheus: Prometheus, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Signals:
    """Ask Prometheus for the last ``WINDOW``. Raises ``BackendError``."""
    # On the step's grid the same points come back each time, and the lines do not jitter.
    newest = datetime.fromtimestamp(clock().timestamp() // STEP_S * STEP_S, UTC)
    start = newest - WINDOW
    rate, error_ratio, p95_s = await asyncio.gather(
        *(
            prometheus.range(query, start=start, end=newest, step_s=STEP_S)
            for query in (RATE, ERROR_RATIO, P95_S)
        )
    )
    points = [_by_service(found, start=start, end=newest) for found in (rate, error_ratio, p95_s)]
    names = {name for found in points for name in found}
    by_service = {
        name: _none_failed(GoldenSignals(*(found.get(name, ()) for found in points)))
        for name in sorted(names)
    }
    # What began after the newest point is shown at once, not a step later.
    return Signals(start, newest + timedelta(seconds=STEP_S), by_service)


def _by_service(series: Sequence[Series], *, start: datetime, end: datetime) -> dict[str, list[Point]]:
    grid = range(int(start.timestamp()), int(end.timestamp()) + 1, STEP_S)
    return {one.metric.get("service", ""): _on_grid(one, grid) for one in series}


def _on_grid(series: Series, grid: Sequence[int]) -> list[Point]:
    """A point for each step; a gap stays a gap, and NaN (nothing to divide) is one."""
    values = {round(at): float(text) for at, text in series.values}
    return [
        (at * 1000, value if (value := values.get(at)) is not None and value == value else None)
        for at in grid
    ]


def _none_failed(signals: GoldenSignals) -> GoldenSignals:
    """Without a 5xx yet there is no series of them: the ratio is 0 wherever there is traffic."""
    failed = dict(signals.error_ratio)
    return replace(
        signals,
        error_ratio=[
            (at, 0.0 if failed.get(at) is None and rate else failed.get(at)) for at, rate in signals.rate
        ],
    )


def last(points: Sequence[Point]) -> float | None:
    """The newest value, if the newest point or the one before has one."""
    return next((value for _, value in reversed(points[-2:]) if value is not None), None)
