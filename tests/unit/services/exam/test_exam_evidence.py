"""Evidence: is it there, and does it bear on what was wrong."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from exam.agents.playbooks import PLAYBOOKS, Playbook
from scenarios.model import NO_FAULT, Scenario, load_all
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
SCENARIOS = load_all()
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


def ran(statement: str, *, at_s: float, error: str | None = None) -> Event:
    detail: dict[str, Any] = {"statement": statement, "error": error}
    return Event(at=after(at_s), kind="sql.run", actor="candidate", detail=detail)


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
    """A Prometheus in which every expression has a value; two metrics are of one service alone."""

    def finds_something(self, *_: object, **__: object) -> bool:
        return True

    def services_of(self, selector: str, **_: object) -> frozenset[str]:
        """By the name and the outcome that are asked for."""
        if selector.startswith("http_request_retries") or "unresolved" in selector:
            return frozenset({"payment"})
        return frozenset({"payment", "gateway", "profile"})


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
        (COUNT, 20 * 60 + 1, False),
        ("SELECT 1 -- payment.transactions", 60, False),
        ("SELECT /* payment.transactions */ 1", 60, False),
        ("SELECT 'payment.transactions'", 60, False),
        ("SELECT $$ FROM payment.transactions $$", 60, False),
        ('SELECT 1 AS "payment.transactions"', 60, False),
        ("SELECT t.id FROM payment.customers AS c, payment.transactions AS t", 60, True),
        ("SELECT c.id FROM payment.customers AS c\nJOIN payment.transactions AS t ON true", 60, True),
        ("CREATE INDEX CONCURRENTLY ON payment.transactions (id)", 60, True),
        # With what lies beside it, which tells more of it.
        ("SELECT 1 FROM payment.transactions AS t JOIN payment.customers AS c ON true", 60, True),
        ("SELECT 1 FROM payment.transactions AS t, unnest(pg_blocking_pids(1)) AS b (pid)", 60, True),
        ("WITH old AS (SELECT 1 FROM payment.transactions) SELECT * FROM old", 60, True),
        ("SELECT 1 FROM payment.transactions WHERE reason = ' FROM profile.users'", 60, True),
        # With what is no neighbour it is a guess at all faults at once.
        ("SELECT count(*) FROM payment.transactions, pg_stat_activity", 60, False),
        ("SELECT count(*) FROM payment.transactions CROSS JOIN pg_catalog.pg_locks", 60, False),
        ("SELECT (payment.transactions.id) FROM payment . transactions, profile . users", 60, False),
        ("SELECT (pg_stat_activity.pid) FROM payment.transactions, pg_catalog . pg_stat_activity", 60, False),
        ("SELECT 1 FROM payment.transactions; SELECT 1 FROM profile.users", 60, False),
        ('SELECT (SELECT count(*) FROM "profile"."users"), count(*) FROM payment.transactions', 60, False),
        ("SELECT 1 FROM payment.transactions, LATERAL (SELECT 1 FROM inventory.stock) AS s", 60, False),
    ],
)
def test_a_query_bears_on_it_that_read_where_it_shows_while_it_was_broken(
    ref: str, ran_at_s: float, bears: bool
) -> None:
    assert found("query", ref, statements=[ran(ref, at_s=ran_at_s)]) == (True, bears)


@pytest.mark.parametrize(
    ("statements", "finding"),
    [
        ([ran(COUNT, at_s=50, error="timeout")], (True, False)),
        ([ran(COUNT, at_s=50, error="timeout"), ran(COUNT, at_s=60)], (True, True)),
        ([], (False, False)),
    ],
    ids=["failed", "failed and ran", "nobody ran it"],
)
def test_a_query_bears_on_it_if_it_did_not_fail_each_time(
    statements: list[Event], finding: tuple[bool, bool]
) -> None:
    assert found("query", COUNT, statements=statements) == finding


@pytest.mark.parametrize(
    ("ref", "bears"),
    [
        ("rate(http_requests_total[1m])", False),
        ("sum(http_requests_total)", False),
        ('http_requests_total{status="503"}', False),
        ("http_request_retries_total", True),
        ("sum(rate(http_request_retries_total[1m]))", True),
        ('rate(http_requests_total{outcome="unresolved"}[1m])', True),
        ('http_requests_total{job="payment"}', True),
        ('http_requests_total{job="web-ui"}', False),
        ("http_requests_total{route='/x}', service='payment'}", True),
        ("http_requests_total{route!='service=\"payment\"'}", False),
        ("web_ui_total # http_requests_total{service='payment'}", False),
        ('http_requests_total{service=~".*"}', False),
        ('http_requests_total{service=~".+"}', False),
        ('http_requests_total{service!=""}', False),
        ('http_requests_total{service!="web-ui"}', False),
        ('http_requests_total{service=~"payment|gateway|profile|inventory|fraud|dns"}', False),
        ('http_requests_total{service=~"payment|fraud", service!="payment"}', False),
        # What it selects it must read of what shows the fault.
        ('http_requests_total * on () group_left () up{service="payment"}', False),
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


def _finds(scenario: Scenario, *references: Evidence) -> list[bool]:
    """Which of them bear on a scenario's fault, where every query ran and every metric has a value."""
    bears = scenario.bears_on
    bearing = replace(
        BEARING, services=bears.services, relations=bears.relations, metrics=bears.metrics, paths=[]
    )
    checker = EvidenceChecker(cast(Database, Rows({})), cast(Prometheus, AnyMetric()))
    statements = [ran(one.ref, at_s=60) for one in references]
    return [one.bears for one in checker.check(references, bearing=bearing, statements=statements)]


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda one: one.mechanism)
def test_what_the_reference_agent_gives_as_evidence_bears_on_its_fault(playbook: Playbook) -> None:
    [scenario] = [
        one
        for one in SCENARIOS.values()
        if (one.truth.component, one.truth.mechanism) == (playbook.component, playbook.mechanism)
    ]
    metric, query = (
        Evidence(kind="metric", ref=playbook.metric),
        Evidence(kind="query", ref=playbook.statement),
    )

    assert _finds(scenario, metric, query) == [True, True]


def test_no_one_query_and_no_metric_of_all_services_bears_on_most_faults() -> None:
    query = "SELECT count(*) FROM payment.transactions, pg_stat_activity"
    metric = Evidence(kind="metric", ref="http_requests_total")
    faults = [one for one in SCENARIOS.values() if one.truth.component != NO_FAULT]

    found = [_finds(one, metric, Evidence(kind="query", ref=query)) for one in faults]

    assert sum(of_metric for of_metric, _ in found) == 0
    assert [one.name for one, (_, of_query) in zip(faults, found, strict=True) if of_query] == [
        "forgotten-session"
    ]


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
