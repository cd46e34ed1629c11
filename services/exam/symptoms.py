"""What the prober's requests say: how each route was before the fault, and when the symptom went and came.

Pure: the same probes always give the same answer.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import JsonValue

from scenarios.probes import p95_ms
from services.exam.journal import Event, Probe, RouteBaseline

RECOVERED_FOR = timedelta(seconds=15)
"""So long must every affected route be well; then the symptom is gone since that time began."""
SLOW_FACTOR = 3.0
SLOW_MARGIN_MS = 500.0
"""A request is slow above three times the route's p95 before the fault, and this much above it at least."""
WINDOW = 5
ILL_AT = 2
"""A route is ill where two of five requests in a row are bad: one alone may be chance."""


def baseline(probes: Iterable[Probe], *, until: datetime | None) -> dict[str, RouteBaseline]:
    """Error ratio and p95 (ms) of each route from the probes that ended before ``until``; all without one."""
    by_route: defaultdict[str, list[Probe]] = defaultdict(list)
    for probe in probes:
        if until is None or _ended_at(probe) < until:
            by_route[probe.route].append(probe)
    return {
        route: RouteBaseline(
            error_ratio=sum(not probe.ok for probe in found) / len(found),
            p95_ms=p95_ms(probe.latency_ms for probe in found),
        )
        for route, found in sorted(by_route.items())
    }


def changes(
    probes: Sequence[Probe], *, before: Mapping[str, RouteBaseline], since: datetime | None
) -> Iterator[Event]:
    """``symptom.recovered`` and ``symptom.back`` of the affected routes after the injection at ``since``."""
    if since is None:
        return
    routes: defaultdict[str, _Route] = defaultdict(_Route)
    was_ill = is_gone = False
    for probe in (one for one in probes if one.affected and one.at >= since):
        routes[probe.route].add(probe.at, is_bad=is_bad(probe, before.get(probe.route)))
        if any(route.is_ill for route in routes.values()):
            if is_gone:
                yield _event(probe.at, "symptom.back", routes)
            was_ill, is_gone = True, False
            continue
        well_since = max(route.well_since for route in routes.values())
        if was_ill and not is_gone and probe.at - well_since >= RECOVERED_FOR:
            is_gone = True
            yield _event(well_since, "symptom.recovered", routes)


class _Route:
    """One affected route as its requests come in."""

    def __init__(self) -> None:
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self._was_bad = True
        self.is_ill = False
        self.well_since = datetime.max.replace(tzinfo=UTC)

    def add(self, at: datetime, *, is_bad: bool) -> None:
        self._recent.append(is_bad)
        self.is_ill = sum(self._recent) >= ILL_AT
        if self._was_bad and not is_bad:
            self.well_since = at
        self._was_bad = is_bad


def _event(at: datetime, kind: Literal["symptom.recovered", "symptom.back"], routes: Iterable[str]) -> Event:
    return Event(at=at, kind=kind, actor="prober", detail={"routes": list[JsonValue](sorted(routes))})


def is_bad(probe: Probe, before: RouteBaseline | None) -> bool:
    """Whether a request failed, or was slow by the measure of its route ``before`` the fault."""
    usual_ms = before.p95_ms if before else 0.0
    return not probe.ok or probe.latency_ms > max(SLOW_FACTOR * usual_ms, usual_ms + SLOW_MARGIN_MS)


def _ended_at(probe: Probe) -> datetime:
    return probe.at + timedelta(milliseconds=probe.latency_ms)
