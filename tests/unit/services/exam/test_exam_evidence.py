"""Evidence: is it there, and does it bear on what was wrong."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.common.database import Database
from services.common.errors import Unavailable
from services.exam.diagnosis import Evidence
from services.exam.evidence import Bearing, EvidenceChecker
from services.exam.journal import Event, EvidenceFinding
from services.exam.prometheus import GaveUp, Prometheus

BROKEN = datetime(2026, 1, 1, 12, tzinfo=UTC)
BEARING = Bearing(
    services=["payment", "gateway"],
    paths=["/api/payment"],
    relations=["payment.transactions"],
    metrics=["http_request"],
    since=BROKEN,
    until=BROKEN + timedelta(minutes=20),
)
SIGNAL = "00000000-0000-4000-8000-000000000001"
COUNT = "SELECT count(*) FROM payment.transactions"


def after(seconds: float) -> datetime:
    return BROKEN + timedelta(seconds=seconds)


def trace(**what: Any) -> SimpleNamespace:
    """A healthy request that has nothing to do with it, but for ``what``."""
    usual = {"services": ["gateway", "payment"], "ended_at": after(60), "errors": 0, "duration_ms": 12.0}
    return SimpleNamespace(**{**usual, "routes": ["/api/transactions"], **what})


def signal(**what: Any) -> SimpleNamespace:
    usual = {"service": "payment", "timestamp": after(60), "level": "INFO", "trace_id": "t1"}
    return SimpleNamespace(**{**usual, **what})


class Rows:
    """A database that has these rows by their ids."""

    def __init__(self, rows: Mapping[str, SimpleNamespace]) -> None:
        self._rows = rows

    @contextmanager
    def transaction(self) -> Iterator["Rows"]:
        yield self

    def execute(self, _query: object, wanted: Mapping[str, object]) -> SimpleNamespace:
        return SimpleNamespace(one_or_none=lambda: self._rows.get(str(wanted["ref"])))


class AnyMetric:
    """A Prometheus in which every expression has a value."""

    def finds_something(self, *_: object, **__: object) -> bool:
        return True


def found(kind: str, ref: str, *, statements: list[Event] | None = None, **rows: Any) -> tuple[bool, bool]:
    """Whether it is there, whether it bears on the fault."""
    known = {"t1": rows.get("trace"), SIGNAL: rows.get("signal")}
    database = cast(Database, Rows({ref: row for ref, row in known.items() if row is not None}))
    checker = EvidenceChecker(database, cast(Prometheus, AnyMetric()))
    given = Evidence.model_validate({"kind": kind, "ref": ref})
    [finding] = checker.check([given], bearing=BEARING, statements=statements or [])
    return finding.exists, finding.bears


@pytest.mark.parametrize(
    ("what", "bears"),
    [
        ({}, False),
        ({"errors": 1}, True),
        ({"duration_ms": 2000.0}, True),
        ({"routes": ["/api/payment"]}, True),
        ({"errors": 1, "services": ["profile"]}, False),
        ({"errors": 1, "ended_at": after(-60)}, False),
    ],
)
def test_a_trace_bears_on_it_that_failed_was_slow_or_went_over_a_broken_route(
    what: dict[str, Any], bears: bool
) -> None:
    assert found("trace", "t1", trace=trace(**what)) == (True, bears)


@pytest.mark.parametrize(
    ("what", "of", "bears"),
    [
        ({}, {}, False),
        ({"level": "ERROR"}, {}, True),
        ({}, {"errors": 1}, True),
        ({"trace_id": None}, {}, True),
        ({"level": "ERROR", "service": "profile"}, {}, False),
    ],
)
def test_an_everyday_log_line_bears_on_it_as_its_request_does(
    what: dict[str, Any], of: dict[str, Any], bears: bool
) -> None:
    assert found("signal", f" {SIGNAL}", signal=signal(**what), trace=trace(**of)) == (True, bears)


@pytest.mark.parametrize(
    ("ref", "ran_at_s", "bears"),
    [
        (COUNT, 60, True),
        ('SELECT count(*) FROM "payment"."transactions"', 60, True),
        (COUNT, -60, False),
        ("SELECT 1 -- payment.transactions", 60, False),
        ("SELECT /* payment.transactions */ 1", 60, False),
        ("SELECT 'payment.transactions'", 60, False),
        ("SELECT $$ FROM payment.transactions $$", 60, False),
        ('SELECT 1 AS "payment.transactions"', 60, False),
        ("SELECT t.id FROM payment.customers AS c, payment.transactions AS t", 60, True),
        ("SELECT c.id FROM payment.customers AS c\nJOIN payment.transactions AS t ON true", 60, True),
        ("CREATE INDEX CONCURRENTLY ON payment.transactions (id)", 60, True),
    ],
)
def test_a_query_bears_on_it_that_read_where_it_shows_while_it_was_broken(
    ref: str, ran_at_s: float, bears: bool
) -> None:
    ran = Event(
        at=after(ran_at_s), kind="sql.run", actor="candidate", detail={"statement": ref, "error": None}
    )

    assert found("query", ref, statements=[ran]) == (True, bears)


@pytest.mark.parametrize(
    ("ref", "bears"),
    [
        ("rate(http_requests_total[1m])", True),
        ('up{job="http_request"}', False),
        ('http_requests_total{service="payment"}', True),
        ('http_requests_total{service=~"payment|fraud"}', True),
        ('http_requests_total{service="web-ui"}', False),
        ('http_requests_total{service=~"web-.*"}', False),
        ('http_requests_total{service=~"("}', False),
        # Tried one way after another, this takes longer than any exam.
        ('http_requests_total{service=~"(?:(?:.?){12}){13}x"}', False),
    ],
)
def test_a_metric_bears_on_it_by_its_name_and_not_by_what_stands_in_quotes(ref: str, bears: bool) -> None:
    assert found("metric", ref) == (True, bears)


class Troubled:
    """A Prometheus that raises this."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def finds_something(self, *_: object, **__: object) -> bool:
        raise self._error


def check_metric(error: Exception) -> list[EvidenceFinding]:
    checker = EvidenceChecker(cast(Database, Rows({})), cast(Prometheus, Troubled(error)))
    return checker.check([Evidence(kind="metric", ref="up")], bearing=BEARING, statements=[])


def test_a_metric_that_prometheus_gives_up_on_was_not_checked() -> None:
    [finding] = check_metric(GaveUp("too long"))

    assert (finding.checked, finding.why) == (False, "could not be checked: too long")


def test_evidence_waits_for_a_prometheus_that_is_away() -> None:
    with pytest.raises(Unavailable):
        check_metric(Unavailable("refused"))
