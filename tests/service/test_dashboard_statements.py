"""What the dashboards' statements make of incidents whose times are known, asked as Grafana asks them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from monitoring.grafana.queries import POSTGRES, Chosen, Query, filled_in, queries, read_dashboards
from services.incident_management.tables import incidents
from tests.conftest import LabDatabase

MONDAY = datetime(2026, 11, 9, tzinfo=UTC)
CHOSEN = Chosen(since=MONDAY, until=MONDAY + timedelta(days=13))
WEEKLY_BUDGET_S = 7 * 24 * 3600 * 0.005
STATEMENTS = [query for query in queries(read_dashboards()) if query.source == POSTGRES]


def incident(
    opened: datetime,
    *,
    severity: str = "critical",
    service: str = "payment",
    person: str = "ada",
    acknowledged_s: float | None = None,
    resolved_s: float | None = None,
) -> dict[str, Any]:
    def after(seconds: float | None) -> datetime | None:
        return None if seconds is None else opened + timedelta(seconds=seconds)

    return {
        "title": "t",
        "service": service,
        "severity": severity,
        "status": "open" if resolved_s is None else "resolved",
        "assigned_to": person,
        "created_at": opened,
        "acknowledged_at": after(acknowledged_s),
        "acknowledged_by": None if acknowledged_s is None else person,
        "resolved_at": after(resolved_s),
        "resolved_by": None if resolved_s is None else person,
    }


@pytest.fixture
def history(lab_database: LabDatabase) -> LabDatabase:
    """Two weeks: ada has two critical incidents at once in the first, grace one in the second."""
    rows = [
        incident(MONDAY, acknowledged_s=60, resolved_s=600),
        incident(MONDAY + timedelta(seconds=300), acknowledged_s=120, resolved_s=600),
        incident(MONDAY + timedelta(days=8), person="grace", acknowledged_s=30, resolved_s=3024),
        incident(MONDAY + timedelta(days=8), person="grace", severity="low", service="profile"),
    ]
    with lab_database.engine("platform").begin() as db:
        for row in rows:
            db.execute(insert(incidents).values(row))
    return lab_database


def answer(history: LabDatabase, panel: str, *, chosen: Chosen = CHOSEN) -> list[tuple[Any, ...]]:
    """What a panel shows, by the beginning of its title; seconds and shares as numbers."""
    query = next(query for query in STATEMENTS if query.panel.startswith(panel))
    connection = history.connect("observer")
    with connection.cursor() as cursor:
        cursor.execute(filled_in(query, chosen))
        rows = cursor.fetchall()
    connection.close()
    return [tuple(pytest.approx(float(v)) if is_number(v) else v for v in row) for row in rows]


def is_number(value: object) -> bool:
    return not isinstance(value, str | datetime | None)


def test_time_to_acknowledge_is_told_by_week_and_by_person(history: LabDatabase) -> None:
    assert answer(history, "Time to acknowledge by week") == [("2026-W46", 90, 114), ("2026-W47", 30, 30)]
    assert answer(history, "Time to acknowledge by person") == [("ada", 90, 114), ("grace", 30, 30)]


def test_time_to_resolve_is_told_by_week_and_by_person(history: LabDatabase) -> None:
    assert answer(history, "Time to resolve by week") == [("2026-W46", 600, 600), ("2026-W47", 3024, 3024)]
    assert answer(history, "Time to resolve by person") == [("ada", 600, 600), ("grace", 3024, 3024)]


def test_a_weeks_budget_is_spent_once_by_incidents_at_the_same_time(history: LabDatabase) -> None:
    assert answer(history, "Week's budget spent in critical") == [
        ("2026-W46", 900 / WEEKLY_BUDGET_S),
        ("2026-W47", 1),
    ]


def test_the_budget_is_told_by_person_and_by_both_and_spent_once_at_a_time(history: LabDatabase) -> None:
    weeks = 13 / 7
    assert answer(history, "Budget of the weeks shown") == [
        ("ada", 900 / WEEKLY_BUDGET_S / weeks),
        ("grace", 1 / weeks),
    ]
    assert answer(history, "By week and person") == [
        ("2026-W47", "grace", 2, 30, 3024, 1),
        ("2026-W46", "ada", 2, 90, 600, 900 / WEEKLY_BUDGET_S),
    ]


def test_only_incidents_of_the_services_chosen_are_told(history: LabDatabase) -> None:
    profile = Chosen(since=CHOSEN.since, until=CHOSEN.until, service="profile|gateway")

    assert [row[3] for row in answer(history, "Incidents, newest first", chosen=profile)] == ["t"]
    assert answer(history, "Time to resolve by week", chosen=profile) == []


@pytest.mark.parametrize("query", STATEMENTS, ids=lambda query: query.place)
def test_the_observer_may_ask_every_statement(lab_database: LabDatabase, query: Query) -> None:
    connection = lab_database.connect("observer")
    with connection.cursor() as cursor:
        cursor.execute(filled_in(query, CHOSEN))
        assert cursor.description
    connection.close()
