"""What the grader's own requests say: which routes were ill, for how long, and since when they are well.

A request that fails by chance makes no illness: a route is ill where two of five
requests in a row are bad.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.exam.grading.clock import RunClock
from services.exam.journal import Journal, Probe

WINDOW = 5
ILL_AT = 2


@dataclass(frozen=True)
class Limits:
    """Slow is above ``factor`` times the 95th percentile of before, and ``slack_ms`` above it at least."""

    factor: float
    slack_ms: float


@dataclass(frozen=True)
class RouteHistory:
    """One route from the injection to the end: its requests while the clock ran, each bad or not."""

    route: str
    times: tuple[datetime, ...]
    bad: tuple[bool, ...]
    outage_s: float
    """So long was it bad: each request speaks for the time until the next. Those that hang are far apart."""

    @property
    def was_ill(self) -> bool:
        return self._last_ill() is not None

    @property
    def well_since(self) -> datetime | None:
        """The first good request after the last illness; ``None`` if it is ill still, or was never asked."""
        if not self.times:
            return None
        last = self._last_ill()
        if last is None:
            return self.times[0]
        return self.times[last + 1] if last + 1 < len(self.times) else None

    def _last_ill(self) -> int | None:
        """The place of the last bad request of the last ill window."""
        places = [place for place, is_bad in enumerate(self.bad) if is_bad]
        for nth in range(len(places) - 1, ILL_AT - 2, -1):
            if places[nth] - places[nth - ILL_AT + 1] < WINDOW:
                return places[nth]
        return None


def histories(journal: Journal, clock: RunClock, limits: Limits, *, affected: bool) -> list[RouteHistory]:
    """The affected routes, or those that were to stay well, in the order of their names."""
    chosen = [p for p in journal.probes if p.affected == affected and clock.is_running(p.at)]
    return [
        _history(journal, clock, [p for p in chosen if p.route == route], limits)
        for route in sorted({p.route for p in chosen})
    ]


def recovered_at(routes: Iterable[RouteHistory]) -> datetime | None:
    """Since when all of them are well; ``None`` if one is not, or there is none."""
    moments = [route.well_since for route in routes]
    known = [moment for moment in moments if moment is not None]
    return max(known) if known and len(known) == len(moments) else None


def outage_min(routes: Sequence[RouteHistory]) -> float:
    """Minutes of outage, averaged over the routes; a route that fails half of the time counts half."""
    return sum(route.outage_s for route in routes) / len(routes) / 60 if routes else 0.0


def _history(journal: Journal, clock: RunClock, probes: Sequence[Probe], limits: Limits) -> RouteHistory:
    """Of one route's requests, of which there is one at least."""
    route = probes[0].route
    before = journal.baseline.get(route)
    usual_ms = before.p95_ms if before else 0.0
    slow_ms = max(limits.factor * usual_ms, usual_ms + limits.slack_ms)
    times = tuple(probe.at for probe in probes)
    bad = tuple(not probe.ok or probe.latency_ms > slow_ms for probe in probes)
    return RouteHistory(route=route, times=times, bad=bad, outage_s=_outage_s(times, bad, clock))


def _outage_s(times: Sequence[datetime], bad: Sequence[bool], clock: RunClock) -> float:
    """The first request speaks for the time before it, too."""
    until = [clock.elapsed_s(at) for at in (*times[1:], clock.ended_at)]
    since = [0.0, *until[:-1]]
    return sum(
        (end - start for start, end, is_bad in zip(since, until, bad, strict=True) if is_bad), start=0.0
    )
