"""The figures of a normal day, as the candidate's pack has them."""

import httpx
import pytest

from embedded.errors import LabError
from lab.snapshot import dependencies, error_rates, latencies


def prometheus(*answers: list[tuple[dict[str, str], str]]) -> httpx.Client:
    """A Prometheus that gives these answers, one after the other."""
    left = list(answers)

    def answer(_: httpx.Request) -> httpx.Response:
        result = [{"metric": labels, "value": [0, value]} for labels, value in left.pop(0)]
        return httpx.Response(200, json={"status": "success", "data": {"result": result}})

    return httpx.Client(base_url="http://prometheus.test", transport=httpx.MockTransport(answer))


PAY = {"service": "payment", "route": "/api/payment"}
STATS = {"service": "payment", "route": "/api/stats"}


def test_error_rates_are_shares_of_each_routes_requests() -> None:
    text = error_rates(prometheus([(PAY, "0.5"), (STATS, "0")], [], [(PAY, "0.034")]))

    assert text.splitlines() == [
        "service  route         requests/s    5xx    4xx",
        "payment  /api/payment        0.50  0.0 %  6.8 %",
    ]


def test_latencies_are_milliseconds_and_leave_out_routes_that_nobody_asked() -> None:
    text = latencies(prometheus([(PAY, "0.051"), (STATS, "NaN")], [(PAY, "0.2071")], [(PAY, "0.241")]))

    assert text.splitlines()[1:] == ["payment  /api/payment      51     207     241"]


def test_calls_say_who_calls_whom() -> None:
    call = {"service": "payment", "dependency": "fraud"}

    text = dependencies(prometheus([(call, "0.28")], [(call, "0.07")], [(call, "0.037")]))

    assert text.splitlines()[1] == "payment → fraud     0.28  25.0 %      37"


def test_a_prometheus_without_figures_is_an_error_that_says_so() -> None:
    with pytest.raises(LabError, match="no figures yet"):
        error_rates(prometheus([], [], []))


def test_a_prometheus_that_is_away_is_an_error_that_says_so() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    client = httpx.Client(base_url="http://prometheus.test", transport=httpx.MockTransport(refuse))
    with pytest.raises(LabError, match="does not answer"):
        latencies(client)
