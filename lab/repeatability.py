"""How alike the same incident is each time: the figures of a run, and how far those of several lie apart."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from scenarios.probes import p95_ms
from services.exam.journal import Journal

SETTLED = timedelta(seconds=15)
"""So long after the fault began its symptom is complete: a pool runs dry, a cached address expires."""


@dataclass(frozen=True)
class Measured:
    """One run. Times are seconds from the fault; ``None``: nobody was told."""

    to_alert_s: float | None
    to_page_s: float | None
    error_ratio: float
    """Of the prober's requests to affected routes once the fault had settled; to all, if none is affected."""
    p95_ms: float
    """Of the same requests."""
    alerts: frozenset[str]
    """``alert of service``: what fired between the fault and the end."""


@dataclass(frozen=True)
class Spread:
    """The least, the median and the most of some figures."""

    low: float
    median: float
    high: float


def measure(journal: Journal) -> Measured:
    """The figures of one run. Raises ``ValueError`` where a run ended before its fault had settled."""
    began_at = journal.run.injected_at or journal.run.started_at
    since = began_at + SETTLED
    probes = [probe for probe in journal.probes if probe.at >= since]
    counted = [probe for probe in probes if probe.affected] or probes
    if not counted:
        raise ValueError(f"run {journal.run.id} has no probes {SETTLED.seconds} s after its fault")

    def first_s(kind: str) -> float | None:
        times = (event.at for event in journal.events if event.kind == kind and event.at >= began_at)
        return next(((at - began_at).total_seconds() for at in times), None)

    return Measured(
        to_alert_s=first_s("alert.fired"),
        to_page_s=first_s("page.sent"),
        error_ratio=sum(not probe.ok for probe in counted) / len(counted),
        p95_ms=p95_ms(probe.latency_ms for probe in counted),
        alerts=frozenset(
            f"{event.detail['alertname']} of {event.detail['service']}"
            for event in journal.events
            if event.kind == "alert.fired" and event.at >= began_at
        ),
    )


def spread(figures: Sequence[float]) -> Spread:
    """How far figures lie apart; there is at least one."""
    return Spread(min(figures), statistics.median(figures), max(figures))


def row(scenario: str, measured: Sequence[Measured]) -> str:
    """One scenario as a row of a Markdown table: least, median and most of each figure."""
    alerts = {one.alerts for one in measured}
    sure, seen = frozenset.intersection(*alerts), frozenset.union(*alerts)
    told = "none" if not seen else f"identical ({len(sure)})"
    if len(alerts) > 1:
        told = f"{len(alerts)} sets; not always: {', '.join(sorted(seen - sure))}"
    cells = (
        scenario,
        str(len(measured)),
        _seconds([one.to_alert_s for one in measured]),
        _seconds([one.to_page_s for one in measured]),
        _figures([100 * one.error_ratio for one in measured], unit=" %"),
        _figures([one.p95_ms for one in measured]),
        told,
    )
    return f"| {' | '.join(cells)} |"


def told(one: Measured) -> str:
    page = "no page" if one.to_page_s is None else f"page after {one.to_page_s:.1f} s"
    return f"{page}, {one.error_ratio:.0%} errors, p95 {one.p95_ms:.0f} ms, {sorted(one.alerts)}"


def _seconds(figures: Sequence[float | None]) -> str:
    known = [one for one in figures if one is not None]
    if not known:
        return "never"
    never = f" (never: {len(figures) - len(known)})" if len(known) < len(figures) else ""
    return f"{_figures(known, digits=1)}{never}"


def _figures(figures: Sequence[float], *, digits: int = 0, unit: str = "") -> str:
    found = spread(figures)
    return f"{found.low:.{digits}f} / {found.median:.{digits}f} / {found.high:.{digits}f}{unit}"
