"""What a journal takes from where."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from services.exam.compiling import _broken_since, preferred, usual
from services.exam.journal import EvidenceFinding, Probe, RouteBaseline
from services.exam.store import RunRow

STARTED = datetime(2026, 1, 1, 11, 55, tzinfo=UTC)
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


@pytest.mark.parametrize(
    ("injected_at", "is_quiet", "since"),
    [(INJECTED, False, INJECTED), (None, False, datetime.max.replace(tzinfo=UTC)), (INJECTED, True, STARTED)],
    ids=["fault", "fault still to come", "quiet night"],
)
def test_nothing_bears_on_a_fault_before_it_came(
    injected_at: datetime | None, is_quiet: bool, since: datetime
) -> None:
    row = cast(RunRow, SimpleNamespace(started_at=STARTED, injected_at=injected_at))

    assert _broken_since(row, is_quiet=is_quiet) == since
