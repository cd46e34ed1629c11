"""The golden signals and the marks of incidents in their charts."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.web_ui.backends import Prometheus, Series
from services.web_ui.charts import line_chart
from services.web_ui.schemas import Incident
from services.web_ui.signals import STEP_S, WINDOW, Point, last, read_signals

NOW = datetime(2026, 11, 21, 4, 30, 7, tzinfo=UTC)
END = datetime(2026, 11, 21, 4, 30, tzinfo=UTC)


class FakePrometheus(Prometheus):
    """Answers each query from a table of the words that are in it."""

    def __init__(self, answers: dict[str, list[Series]]) -> None:
        self._answers = answers

    async def range(self, query: str, *, start: datetime, end: datetime, step_s: int) -> list[Series]:
        return next((found for word, found in self._answers.items() if word in query), [])


def series(service: str, *values: tuple[int, str]) -> Series:
    """Values by their age in steps."""
    end_s = END.timestamp()
    points = [(end_s - steps * STEP_S, text) for steps, text in values]
    return Series(metric={"service": service}, values=points)


def test_signals_lie_on_one_grid_and_gaps_stay_gaps() -> None:
    prometheus = FakePrometheus(
        {
            "quantile": [series("payment", (2, "NaN"), (1, "0.5"))],
            "5..": [series("payment", (1, "0.25"), (0, "0.5"))],
            "rate": [series("payment", (1, "4"), (0, "5")), series("dns", (0, "1"))],
        }
    )

    signals = asyncio.run(read_signals(prometheus, clock=lambda: NOW))

    payment = signals.by_service["payment"]
    assert signals.start == END - WINDOW
    assert len(payment.rate) == WINDOW.total_seconds() / STEP_S + 1
    assert [value for _, value in payment.rate][-3:] == [None, 4.0, 5.0]
    assert [value for _, value in payment.p95_s][-3:] == [None, 0.5, None]
    assert payment.rate[-1][0] == END.timestamp() * 1000


def test_what_begins_after_the_newest_point_is_marked_at_once() -> None:
    signals = asyncio.run(read_signals(FakePrometheus({}), clock=lambda: NOW))
    began = incident(began=END - NOW)

    options = line_chart(
        [], [began], name="Requests", start=signals.start, end=signals.end, unit="/s", at_least=1.0
    )

    assert NOW > END
    assert [mark["xAxis"] for mark in marks(options, "markLine")] == [NOW.timestamp() * 1000]


def test_a_service_that_never_failed_has_an_error_ratio_of_nothing() -> None:
    prometheus = FakePrometheus({"5..": [], "quantile": [], "rate": [series("dns", (1, "0"), (0, "2"))]})

    signals = asyncio.run(read_signals(prometheus, clock=lambda: NOW))

    assert [value for _, value in signals.by_service["dns"].error_ratio][-2:] == [None, 0.0]


@pytest.mark.parametrize(
    ("points", "value"),
    [([], None), ([(0, 1.0)], 1.0), ([(0, 1.0), (1, None)], 1.0), ([(0, 1.0), (1, None), (2, None)], None)],
)
def test_the_figure_is_the_newest_value_unless_it_is_old(points: list[Point], value: float | None) -> None:
    assert last(points) == value


def incident(*, began: timedelta, ended: timedelta | None = None) -> Incident:
    return Incident(
        id=UUID(int=1),
        title="Payments fail",
        service="payment",
        severity="critical",
        status="resolved" if ended else "open",
        assigned_to=None,
        created_at=END - began,
        acknowledged_at=None,
        acknowledged_by=None,
        resolved_at=END - ended if ended is not None else None,
        resolved_by=None,
        reopened_from=None,
        mtta_seconds=None,
        mttr_seconds=None,
    )


def chart(*incidents: Incident, points: list[Point] | None = None) -> dict[str, Any]:
    return line_chart(
        points or [], incidents, name="Requests", start=END - WINDOW, end=END, unit="/s", at_least=1.0
    )


def marks(options: dict[str, Any], kind: str) -> Any:
    return options["series"][0][kind]["data"]


def test_an_incident_is_marked_where_it_began_and_where_it_ended() -> None:
    options = chart(incident(began=timedelta(minutes=10), ended=timedelta(minutes=4)))

    edges = [END - timedelta(minutes=10), END - timedelta(minutes=4)]
    assert [mark["xAxis"] for mark in marks(options, "markLine")] == [at.timestamp() * 1000 for at in edges]
    [[left, right]] = marks(options, "markArea")
    assert [left["xAxis"], right["xAxis"]] == [at.timestamp() * 1000 for at in edges]


def test_an_incident_that_lasts_and_began_before_the_chart_fills_it_without_an_edge() -> None:
    options = chart(incident(began=timedelta(hours=2)))

    [[left, right]] = marks(options, "markArea")
    assert (left["xAxis"], right["xAxis"]) == (options["xAxis"]["min"], options["xAxis"]["max"])
    assert marks(options, "markLine") == []


def test_an_incident_that_was_over_before_the_chart_is_not_marked() -> None:
    options = chart(incident(began=timedelta(hours=2), ended=timedelta(hours=1)))

    assert marks(options, "markArea") == []


@pytest.mark.parametrize(
    ("highest", "axis"), [(0.2, 1.0), (4.02, 6.0), (1.0, 1.0), (73.0, 80.0), (900.0, 1000.0)]
)
def test_the_axis_ends_at_a_round_figure_above_the_line(highest: float, axis: float) -> None:
    assert chart(points=[(0, None), (1, highest)])["yAxis"]["max"] == pytest.approx(axis)
