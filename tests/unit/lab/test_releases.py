"""Which release ran before the present one, out of what monitoring has seen."""

from typing import Any

from lab.tools.metrics import Metrics
from lab.tools.seat import Seat

HEALTHY, LEAKS, COMBINED = "7d3a9e1", "d40f3b2", "e18c5a9"


class Seen(Metrics):
    """Metrics in which the releases ran at these times."""

    def __init__(self, seen: dict[str, list[tuple[float, float]]]) -> None:
        super().__init__(Seat("", "", "test", {"prometheus": "http://127.0.0.1:1"}, ("127.0.0.1", 1), ""))
        self._seen = seen

    def query_metrics_over_time(self, *_: Any, **__: Any) -> dict[str, Any]:
        def samples(spans: list[tuple[float, float]]) -> list[list[object]]:
            return [[at, "1"] for start, end in spans for at in range(int(start), int(end), 5)]

        return {
            "result": [
                {"metric": {"release": name}, "values": samples(spans)} for name, spans in self._seen.items()
            ]
        }


def test_a_release_that_came_back_is_the_one_that_ran_before() -> None:
    seen = Seen({HEALTHY: [(0, 100), (200, 300)], LEAKS: [(100, 200)], COMBINED: [(300, 330)]})

    assert seen.releases("profile") == [HEALTHY, LEAKS, HEALTHY, COMBINED]


def test_a_restart_and_a_failed_scrape_begin_no_release() -> None:
    seen = Seen({HEALTHY: [(0, 100), (105, 200), (230, 300)], COMBINED: [(300, 330)]})

    assert seen.releases("profile") == [HEALTHY, COMBINED]


def test_a_service_that_nobody_has_seen_ran_as_none() -> None:
    assert Seen({}).releases("profile") == []
