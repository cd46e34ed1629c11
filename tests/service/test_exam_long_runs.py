"""A run's metrics, evidence and openers on a real database, with a Prometheus that forgets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

import pytest
from sqlalchemy import text

from services.common.database import Database
from services.exam.diagnosis import Diagnosis
from services.exam.journal import EvidenceFinding, Series
from services.exam.prometheus import Prometheus
from services.exam.recordings import Recordings
from services.exam.schemas import NewRun
from services.exam.store import Runs
from services.exam.timeline import TimelineReader
from tests.conftest import LabDatabase

BACKDATE = text("UPDATE exam.runs SET started_at = now() - interval '3 hours' WHERE id = :run")
OPEN = text(
    "WITH made AS (INSERT INTO incident.incidents (title, service, severity) VALUES ('t', 'payment', 'high')"
    " RETURNING id)"
    " INSERT INTO incident.timeline (incident_id, actor, what) SELECT id, :actor, 'created' FROM made"
)


@dataclass
class Forgetful:
    """A Prometheus that has one sample a minute of its last hour; a service began at ``began_at``."""

    began_at: datetime
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)
    now: datetime | None = None

    def golden_signals(self, *, since: datetime, until: datetime) -> list[Series]:
        self.asked.append((since, until))
        oldest = (self.now or until) - timedelta(hours=1)
        minutes = range(0, int((until - since).total_seconds()), 60)
        times = [since + timedelta(seconds=second) for second in minutes]
        points = tuple((at.timestamp(), 1.0) for at in times if at >= oldest)
        return [Series(name="rate", service="payment", unit="requests/s", points=points)]

    def restarts(
        self, *, since: datetime, until: datetime, looked_since: datetime | None = None
    ) -> Sequence[tuple[str, datetime]]:
        return [("payment", self.began_at)] if since < self.began_at <= until else []


@pytest.fixture
def database(lab_database: LabDatabase) -> Database:
    return Database(lab_database.url("examiner"), service="exam", schema="exam")


def under_way(runs: Runs, database: Database) -> UUID:
    """A run that began three hours ago."""
    new = NewRun(scenario="payment-dns", candidate="ana", minutes=240, open=True)
    run_id = runs.create(new, scenario="payment-dns", soak_s=0, token_hash="h").id
    runs.start(run_id)
    runs.begin(run_id, world=None, detail={})
    with database.transaction() as db:
        db.execute(BACKDATE, {"run": run_id})
    return run_id


def test_a_run_of_three_hours_has_its_signals_and_restarts_whole_though_an_hour_is_remembered(
    database: Database,
) -> None:
    runs = Runs(database)
    run_id = under_way(runs, database)
    row = runs.run(run_id)
    assert row.started_at is not None
    prometheus = Forgetful(began_at=row.started_at + timedelta(minutes=10))
    recordings = Recordings(database, cast(Prometheus, prometheus))

    for minutes in range(30, 181, 30):
        now = row.started_at + timedelta(minutes=minutes)
        recordings.record(row.__class__(**{**vars(row), "now": now}))

    kept = recordings.of(run_id)
    assert [len(one.points) for one in kept.signals] == [180]
    assert kept.restarts == (("payment", prometheus.began_at),)
    assert all(until - since == timedelta(minutes=30) for since, until in prometheus.asked)


def test_time_is_up_when_it_was_up_also_where_the_exam_notices_late(database: Database) -> None:
    runs = Runs(database)
    run_id = under_way(runs, database)
    runs.keep(run_id, minutes=60)

    runs.time_up(run_id)

    row = runs.run(run_id)
    assert row.started_at is not None
    assert row.ended_at is not None
    assert (row.ended_at - row.started_at).total_seconds() == pytest.approx(3600, abs=0.01)
    assert [event.at for event in runs.events(run_id) if event.kind == "run.ended"] == [row.ended_at]


def test_what_became_of_a_submissions_evidence_is_kept_with_it(database: Database) -> None:
    runs = Runs(database)
    run_id = under_way(runs, database)
    runs.submit(run_id, Diagnosis(), draft=True)
    recordings = Recordings(database, cast(Prometheus, Forgetful(began_at=runs.run(run_id).now)))
    found = EvidenceFinding(ref="t1", kind="trace", exists=True, bears=True, why="is of payment")

    before = recordings.unchecked(run_id)
    recordings.keep_findings(run_id, 1, [found])

    assert (before, recordings.unchecked(run_id)) == ([1], [])
    assert recordings.findings(run_id, 1) == [found]


def test_an_incident_is_told_of_who_opened_it(database: Database, lab_database: LabDatabase) -> None:
    runs = Runs(database)
    row = runs.run(under_way(runs, database))
    assert row.started_at is not None
    with lab_database.engine("platform").begin() as db:
        db.execute(OPEN, {"actor": "alert-ingestion"})
        db.execute(OPEN, {"actor": "ana"})
    reader = TimelineReader(database, cast(Prometheus, Forgetful(began_at=row.started_at)))

    told = reader.events(since=row.started_at, until=row.now + timedelta(minutes=1))

    opened = [event.actor for event in told if event.kind == "incident.opened"]
    assert sorted(opened) == ["alert-ingestion", "ana"]
