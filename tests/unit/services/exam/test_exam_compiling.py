"""What a journal takes from where."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

from services.exam.compiling import preferred, usual
from services.exam.journal import EvidenceFinding, Probe, RouteBaseline
from services.exam.store import RunRow

INJECTED = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_evidence_that_was_there_when_it_was_handed_in_is_not_lost() -> None:
    there, gone = (
        EvidenceFinding(ref="t1", kind="trace", exists=exists, bears=exists, why="")
        for exists in (True, False)
    )

    assert preferred([there, gone], [gone, there]) == [there, there]
    assert preferred([], [gone]) == [gone]


def test_who_makes_the_minutes_before_the_fault_slow_does_not_make_the_outage_usual() -> None:
    checked = {"POST /checkout": {"error_ratio": 0.0, "p95_ms": 90.0}}
    row = cast(RunRow, SimpleNamespace(world={"routes": checked}, injected_at=INJECTED))
    slow = Probe(
        at=INJECTED - timedelta(seconds=5), route="POST /checkout", affected=True, ok=True, latency_ms=900
    )

    assert usual(row, [slow]) == {"POST /checkout": RouteBaseline(error_ratio=0, p95_ms=90)}


def test_without_a_soak_the_check_at_the_start_says_how_a_route_was() -> None:
    checked = {"POST /checkout": {"error_ratio": 0.0, "p95_ms": 900.0}}
    row = cast(RunRow, SimpleNamespace(world={"routes": checked}, injected_at=INJECTED))
    broken = Probe(at=INJECTED, route="POST /checkout", affected=True, ok=False, latency_ms=50)

    assert usual(row, [broken]) == {"POST /checkout": RouteBaseline(error_ratio=0, p95_ms=900)}
