"""What the exam makes of what others answer."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from services.exam.incidents import written_by
from services.exam.prometheus import Prometheus

ENDED = datetime(2026, 1, 1, 12, tzinfo=UTC)
BEGAN = ENDED - timedelta(minutes=10)


def answering(*series: dict[str, object]) -> Prometheus:
    """A Prometheus that answers every query with these series."""
    body = {"status": "success", "data": {"resultType": "matrix", "result": list(series)}}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=body))
    return Prometheus("http://prometheus.invalid", client=httpx.Client(transport=transport))


@pytest.mark.parametrize(("at_s", "counts"), [(-1, True), (1, False)])
def test_a_postmortem_counts_that_was_written_before_the_run_ended(at_s: float, counts: bool) -> None:
    step = {"at": (ENDED + timedelta(seconds=at_s)).isoformat(), "what": "postmortem"}

    assert written_by({"timeline": [step]}, until=ENDED) == counts


def test_what_is_no_number_is_no_point_of_a_signal() -> None:
    values = [[BEGAN.timestamp(), "NaN"], [BEGAN.timestamp() + 5, "0.25"], [BEGAN.timestamp() + 10, "+Inf"]]
    prometheus = answering({"metric": {"service": "payment"}, "values": values})

    signals = prometheus.golden_signals(since=BEGAN, until=ENDED)

    assert {one.points for one in signals} == {((BEGAN.timestamp() + 5, 0.25),)}


def test_a_restart_is_found_that_is_seen_only_after_the_last_look() -> None:
    began_at = BEGAN + timedelta(minutes=4, seconds=58)
    seen = [[BEGAN.timestamp() + 302, str(began_at.timestamp())]]
    prometheus = answering({"metric": {"job": "payment"}, "values": seen})

    found = prometheus.restarts(since=BEGAN, until=ENDED, looked_since=BEGAN + timedelta(minutes=5))

    assert found == [("payment", began_at)]
