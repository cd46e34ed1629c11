"""What the exam makes of what others answer."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from services.exam.incidents import Incidents
from services.exam.prometheus import Prometheus

ENDED = datetime(2026, 1, 1, 12, tzinfo=UTC)
BEGAN = ENDED - timedelta(minutes=10)


def answering(*series: dict[str, object]) -> Prometheus:
    """A Prometheus that answers every query with these series."""
    body = {"status": "success", "data": {"resultType": "matrix", "result": list(series)}}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=body))
    return Prometheus("http://prometheus.invalid", client=httpx.Client(transport=transport))


class Written:
    """An incident-management with one incident, whose postmortem was written at these seconds after the end.

    ``while_read`` is written as soon as somebody has read one.
    """

    def __init__(self, *at_s: float, while_read: float | None = None) -> None:
        self._at_s = list(at_s)
        self._while_read = while_read

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/postmortem"):
            if self._while_read is not None:
                self._at_s.append(self._while_read)
            return httpx.Response(200, text="# Postmortem")
        moments = [(ENDED + timedelta(seconds=one)).isoformat() for one in self._at_s]
        steps = [{"at": at, "what": "postmortem"} for at in moments]
        return httpx.Response(200, json={"id": "i1", "timeline": steps})


@pytest.mark.parametrize(
    ("written", "counts"),
    [
        (Written(), False),
        (Written(-1), True),
        (Written(1), False),
        (Written(-20, -1), True),
        (Written(-20, 1), False),
        (Written(-20, while_read=1), False),
    ],
)
def test_a_postmortem_counts_that_was_last_written_before_the_run_ended(
    written: Written, counts: bool
) -> None:
    client = httpx.Client(transport=httpx.MockTransport(written))
    incidents = Incidents("http://incidents.invalid", client=client)

    found = incidents.postmortems(incidents.details(["i1"]), until=ENDED)

    assert found == ({"i1": "# Postmortem"} if counts else {})


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
