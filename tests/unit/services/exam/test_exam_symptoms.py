"""What the prober's requests say of the shop."""

from datetime import UTC, datetime, timedelta

from services.exam.journal import Probe, RouteBaseline
from services.exam.symptoms import baseline, changes

INJECTED = datetime(2026, 1, 1, 12, tzinfo=UTC)
ROUTE = "POST /api/payment"
BEFORE = {ROUTE: RouteBaseline(error_ratio=0, p95_ms=100)}


def probe(at_s: float, *, ok: bool = True, latency_ms: float = 100, affected: bool = True) -> Probe:
    at = INJECTED + timedelta(seconds=at_s)
    return Probe(at=at, route=ROUTE, affected=affected, ok=ok, status=201, latency_ms=latency_ms)


def story(*states: tuple[int, bool]) -> list[Probe]:
    """So many requests, three seconds apart, good or bad."""
    flags = [ok for count, ok in states for _ in range(count)]
    return [probe(3 * place, ok=ok) for place, ok in enumerate(flags)]


def told(probes: list[Probe]) -> list[tuple[str, float]]:
    found = changes(probes, before=BEFORE, since=INJECTED)
    return [(event.kind, (event.at - INJECTED).total_seconds()) for event in found]


def test_a_symptom_is_gone_since_the_first_good_request_of_fifteen_good_seconds() -> None:
    assert told(story((4, False), (10, True))) == [("symptom.recovered", 12)]


def test_a_symptom_that_comes_again_is_told_again() -> None:
    kinds = [kind for kind, _ in told(story((4, False), (9, True), (3, False), (9, True)))]

    assert kinds == ["symptom.recovered", "symptom.back", "symptom.recovered"]


def test_one_bad_request_is_no_symptom_and_ten_good_seconds_are_no_recovery() -> None:
    assert told(story((3, True), (1, False), (9, True))) == []
    assert told(story((4, False), (4, True))) == []


def test_a_slow_answer_is_a_bad_one() -> None:
    slow = [probe(3 * place, latency_ms=700) for place in range(4)]
    good = [probe(12 + 3 * place) for place in range(10)]

    assert told(slow + good) == [("symptom.recovered", 12)]


def test_a_route_whose_first_request_fails_late_holds_the_recovery_up() -> None:
    first = story((4, False), (10, True))
    late = probe(15, ok=False).model_copy(update={"route": "POST /api/refund"})
    well = [probe(16 + 3 * n).model_copy(update={"route": "POST /api/refund"}) for n in range(8)]

    assert told(sorted([*first, late, *well], key=lambda one: one.at)) == [("symptom.recovered", 16)]


def test_routes_that_were_to_stay_well_make_no_symptom() -> None:
    found = [one.model_copy(update={"affected": False}) for one in story((4, False), (9, True))]

    assert told(found) == []


def test_the_baseline_leaves_out_what_was_under_way_when_the_fault_came() -> None:
    found = [probe(-6, latency_ms=50), probe(-3, latency_ms=80), probe(-0.1, ok=False, latency_ms=300)]

    assert baseline(found, until=INJECTED) == {ROUTE: RouteBaseline(error_ratio=0, p95_ms=80)}
