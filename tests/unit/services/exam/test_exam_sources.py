"""What the exam makes of what others answer."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from services.common.errors import Unavailable
from services.exam.incidents import Incidents
from services.exam.prometheus import GaveUp, Prometheus

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


class LongExam:
    """A Prometheus that stops what asks for more than ten minutes at once.

    It has one sample, so many minutes before the end; ``asked`` are the ends of what it was asked for.
    """

    def __init__(self, *, sample_min: float) -> None:
        self._sample_at = (ENDED - timedelta(minutes=sample_min)).timestamp()
        self.asked: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        begins, ends = float(request.url.params["start"]), float(request.url.params["end"])
        if ends - begins > 600:
            return httpx.Response(503, json=TIMED_OUT)
        self.asked.append(ends)
        found = begins <= self._sample_at <= ends
        series = [{"metric": {}, "values": [[self._sample_at, "1"]]}] if found else []
        return httpx.Response(200, json={"status": "success", "data": {"result": series}})


TIMED_OUT = {"status": "error", "errorType": "timeout", "error": "query timed out after 10 s"}


@pytest.mark.parametrize(("sample_min", "there", "windows"), [(5, True, 1), (58, True, 6), (70, False, 6)])
def test_a_metric_of_a_long_exam_is_asked_for_in_windows_the_newest_first(
    sample_min: float, there: bool, windows: int
) -> None:
    exam = LongExam(sample_min=sample_min)
    prometheus = Prometheus("http://p.invalid", client=httpx.Client(transport=httpx.MockTransport(exam)))

    found = prometheus.finds_something("up", since=ENDED - timedelta(minutes=60), until=ENDED)

    assert found is there
    assert exam.asked == [(ENDED - timedelta(minutes=10 * n)).timestamp() for n in range(windows)]


def test_the_services_of_a_metric_are_those_of_its_series() -> None:
    values = [[BEGAN.timestamp(), "1"]]
    series = [
        {"metric": {"service": "payment", "job": "other"}, "values": values},
        {"metric": {"job": "postgres-exporter"}, "values": values},
    ]
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["query"])
        return httpx.Response(200, json={"status": "success", "data": {"result": series}})

    prometheus = Prometheus("http://p.invalid", client=httpx.Client(transport=httpx.MockTransport(answer)))

    found = prometheus.services_of('x{a="b"}', since=BEGAN, until=ENDED)

    assert found == {"payment", "postgres-exporter"}
    assert set(asked) == {'count by (service, job) (x{a="b"})'}


def test_what_is_no_selector_is_of_no_service() -> None:
    refusing = httpx.MockTransport(lambda _: httpx.Response(400, json={"error": "parse error"}))
    prometheus = Prometheus("http://p.invalid", client=httpx.Client(transport=refusing))

    assert prometheus.services_of("sum", since=BEGAN, until=ENDED) == frozenset()


def refuses(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


def hangs(_: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("too long")


@pytest.mark.parametrize(
    ("answer", "gives_up"),
    [
        (refuses, False),
        (lambda _: httpx.Response(503, text="Service Unavailable"), False),
        (hangs, True),
        (lambda _: httpx.Response(503, json=TIMED_OUT), True),
        (lambda _: httpx.Response(500, text="Internal Server Error"), True),
    ],
)
def test_a_prometheus_that_is_away_is_not_one_that_gives_up(
    answer: Callable[[httpx.Request], httpx.Response], gives_up: bool
) -> None:
    prometheus = Prometheus("http://p.invalid", client=httpx.Client(transport=httpx.MockTransport(answer)))

    with pytest.raises(Unavailable) as raised:
        prometheus.finds_something("up", since=BEGAN, until=ENDED)

    assert isinstance(raised.value, GaveUp) is gives_up
