"""What an alert costs the database does not grow with the alerts, slots and incidents of before."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event

from services.alert_ingestion.app import SCHEMA
from services.alert_ingestion.arrival import Arrival
from services.alert_ingestion.openings import NAME
from services.alert_ingestion.store import Alerts
from services.common.database import Database
from tests.conftest import LabDatabase

FORMER = 20_000
BATCH = 16

Statement = tuple[str, Any]

_FILL = f"""
    INSERT INTO incident.incidents (id, title, service, severity, status, idempotency_key)
    SELECT gen_random_uuid(), 'former', 'former-' || n, 'high', 'open', 'key-' || n
    FROM generate_series(1, {FORMER}) AS n;
    INSERT INTO incident.correlation_slots (service, severity, opening)
    SELECT service, severity, gen_random_uuid() FROM incident.incidents;
    INSERT INTO incident.alerts (source, service, severity, message, action, opening, incident_id)
    SELECT 'api', service, severity, 'former', 'new_incident', gen_random_uuid(), id FROM incident.incidents;
"""


@pytest.fixture
def long_in_use(lab_database: LabDatabase) -> Iterator[Database]:
    """A database with many slots, alerts and incidents, of which the planner has no statistics yet."""
    with closing(lab_database.connect("platform")) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL search_path TO incident")
        for table in ("incidents", "correlation_slots", "alerts"):
            cursor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        cursor.execute(_FILL)
    database = Database(lab_database.url("platform"), service=NAME, schema=SCHEMA)
    yield database
    database.dispose()


def plans(lab_database: LabDatabase, statements: list[Statement]) -> list[str]:
    """How Postgres would run each statement again."""
    shown = []
    with closing(lab_database.connect("platform")) as connection, connection.cursor() as cursor:
        for statement, parameters in statements:
            cursor.execute(f"EXPLAIN {statement}", parameters)
            shown.append("\n".join(line for (line,) in cursor.fetchall()))
    return shown


@pytest.mark.parametrize("services", ["fresh", "former"])
def test_neither_storing_a_batch_nor_settling_it_reads_a_whole_table(
    long_in_use: Database, lab_database: LabDatabase, services: str
) -> None:
    statements: list[Statement] = []

    @event.listens_for(long_in_use.engine, "before_cursor_execute")
    def collect(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        statements.append((statement, parameters))

    alerts = Alerts(long_in_use, window=timedelta(minutes=5))
    batch = [
        Arrival(
            source="api",
            service=f"{services}-{n}",
            severity="high",
            message="error ratio above 5 %",
            labels={},
            occurred_at=None,
            idempotency_key=str(uuid4()),
            request_hash="hash",
        )
        for n in range(1, BATCH + 1)
    ]
    outcomes = alerts.record(batch)
    alerts.settle([uuid4() for _ in range(BATCH)])

    assert len(outcomes) == BATCH
    assert len(statements) >= 5
    for plan in plans(lab_database, statements):
        assert "Seq Scan" not in plan, plan
