"""Which release ran before the present one, out of what monitoring has seen."""

from datetime import UTC, datetime
from typing import Any

import pytest

from embedded.errors import LabError
from lab.tools.exam import ExamDesk
from lab.tools.metrics import MOST_POINTS, RELEASE_STEP_S, Metrics, moment
from lab.tools.operations import Operations
from lab.tools.seat import Seat

HEALTHY, LEAKS, COMBINED = "7d3a9e1", "d40f3b2", "e18c5a9"
NOW_S = 3_000
"""A lab in which an exam with a broken release ended at 2,400 s, and the next one began at 2,700 s."""
BEFORE_AND_AFTER = {HEALTHY: [(0, 2000), (2400, NOW_S)], LEAKS: [(2000, 2400)]}


class Seen(Metrics):
    """Metrics in which the releases ran at these times."""

    def __init__(self, seen: dict[str, list[tuple[float, float]]]) -> None:
        super().__init__(seat())
        self._seen = seen

    def query_metrics_over_time(self, _promql: str, since: str = "1h", *_: Any, **__: Any) -> dict[str, Any]:
        start_s = moment(since, now=datetime.fromtimestamp(NOW_S, UTC)).timestamp()
        assert (NOW_S - start_s) / RELEASE_STEP_S < MOST_POINTS

        def samples(spans: list[tuple[float, float]]) -> list[list[object]]:
            return [
                [at, "1"] for start, end in spans for at in range(int(start), int(end), 5) if at >= start_s
            ]

        return {
            "result": [
                {"metric": {"release": name}, "values": found}
                for name, spans in self._seen.items()
                if (found := samples(spans))
            ]
        }


def seat(*, token: str = "") -> Seat:
    urls = dict.fromkeys(("prometheus", "exam", "profile"), "http://127.0.0.1:1")
    return Seat("", token, "test", urls, ("127.0.0.1", 1), "")


class Operator(Operations):
    """An operator whose changes are only noted."""

    def get_settings(self, service: str) -> dict[str, Any]:
        return {"settings": {"release": {"value": HEALTHY}}}

    def change_settings(self, service: str, settings: dict[str, Any]) -> dict[str, Any]:
        return settings


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the exam says of its run's time: it began 300 s ago."""
    time = {"state": "running", "is_paused": False, "elapsed_s": 300.0, "left_s": 900.0}
    monkeypatch.setattr(ExamDesk, "time_left", lambda _: time)
    return time


def test_a_release_that_came_back_is_the_one_that_ran_before() -> None:
    seen = Seen({HEALTHY: [(0, 100), (200, 300)], LEAKS: [(100, 200)], COMBINED: [(300, 330)]})

    assert seen.releases("profile") == [HEALTHY, LEAKS, HEALTHY, COMBINED]


def test_a_restart_and_a_failed_scrape_begin_no_release() -> None:
    seen = Seen({HEALTHY: [(0, 100), (105, 200), (230, 300)], COMBINED: [(300, 330)]})

    assert seen.releases("profile") == [HEALTHY, COMBINED]


def test_a_service_that_nobody_has_seen_ran_as_none() -> None:
    assert Seen({}).releases("profile") == []


def test_without_a_run_a_rollback_goes_to_what_ran_before_within_the_hour() -> None:
    assert Operator(seat(), Seen(BEFORE_AND_AFTER)).rollback("profile") == {"release": LEAKS}


def test_a_rollback_goes_to_what_ran_before_in_this_run(clock: dict[str, Any]) -> None:
    seen = Seen({**BEFORE_AND_AFTER, HEALTHY: [(0, 2000), (2400, 2800)], COMBINED: [(2800, NOW_S)]})

    assert Operator(seat(token="cand-1"), seen).rollback("profile") == {"release": HEALTHY}


def test_a_rollback_does_not_bring_back_the_broken_release_of_an_exam_before(clock: dict[str, Any]) -> None:
    operator = Operator(seat(token="cand-1"), Seen(BEFORE_AND_AFTER))

    with pytest.raises(LabError, match=f"profile runs as {HEALTHY}, and as no other .*: name the one"):
        operator.rollback("profile")
    assert operator.rollback("profile", LEAKS) == {"release": LEAKS}


def test_after_its_run_a_rollback_names_the_release(clock: dict[str, Any]) -> None:
    clock.update(state="graded", elapsed_s=900.0)

    with pytest.raises(LabError, match="the run is graded: name the release"):
        Operator(seat(token="cand-1"), Seen(BEFORE_AND_AFTER)).rollback("profile")


def test_the_releases_of_a_long_run_are_asked_for_in_as_many_points_as_there_may_be(
    clock: dict[str, Any],
) -> None:
    clock.update(elapsed_s=23 * 3600.0)

    assert Operator(seat(token="cand-1"), Seen(BEFORE_AND_AFTER)).rollback("profile") == {"release": LEAKS}
