"""The schedule and the exam: one lab, one of them at a time."""

import io
import json
from collections.abc import Iterator

import pytest
from fake_service import BREAK, RESTORE, FakeService, Timeline, schedule_over
from sqlalchemy import text

from scenarios.model import Scenario
from scenarios.schedule import Schedule
from tests.conftest import LabDatabase

START = text(
    "INSERT INTO exam.runs (scenario, seed, candidate, minutes, soak_s, blind, token_hash, state)"
    " VALUES ('quiet-night', 1, 'ana', 5, 1, true, 'x', 'waiting')"
)
END = text("UPDATE exam.runs SET state = 'aborted'")
OPEN_PHASES = text("SELECT count(*) FROM exam.phases WHERE ended_at IS NULL")


@pytest.fixture
def schedule(
    timeline: Timeline, service: FakeService, log: io.StringIO, lab_database: LabDatabase
) -> Iterator[Schedule]:
    with schedule_over(service, timeline, log=log, examiner_url=lab_database.url("examiner")) as schedule:
        yield schedule


def execute(lab_database: LabDatabase, statement: object) -> None:
    with lab_database.engine("examiner").begin() as db:
        db.execute(statement)  # type: ignore[call-overload]


def let_in(lab_database: LabDatabase, connections: int) -> None:
    """Let so many in besides the superuser, -1 for any number."""
    with lab_database.connect("postgres").cursor() as cursor:
        # A limit of this database alone: a role without LOGIN would be locked out of every test's.
        cursor.execute(f"ALTER DATABASE {cursor.connection.info.dbname} CONNECTION LIMIT {connections}")


def test_nothing_is_broken_while_a_run_has_the_lab_and_the_soak_begins_anew_after_it(
    schedule: Schedule,
    service: FakeService,
    timeline: Timeline,
    incident: Scenario,
    lab_database: LabDatabase,
) -> None:
    timeline.at(4.5, lambda: execute(lab_database, START))
    timeline.at(99.5, lambda: execute(lab_database, END))

    schedule.play(incident)

    assert service.calls == [(110, BREAK), (150, RESTORE)]


def test_a_run_that_begins_in_the_last_second_of_the_soak_is_not_broken_into(
    schedule: Schedule,
    service: FakeService,
    timeline: Timeline,
    incident: Scenario,
    lab_database: LabDatabase,
) -> None:
    timeline.at(9.5, lambda: execute(lab_database, START))
    timeline.at(59.5, lambda: execute(lab_database, END))

    schedule.play(incident)

    assert service.calls == [(70, BREAK), (110, RESTORE)]


def test_a_run_keeps_the_lab_while_the_database_cannot_say(
    schedule: Schedule,
    service: FakeService,
    timeline: Timeline,
    incident: Scenario,
    lab_database: LabDatabase,
) -> None:
    timeline.at(4.5, lambda: execute(lab_database, START))
    timeline.at(20.5, lambda: let_in(lab_database, 0))
    timeline.at(80.5, lambda: let_in(lab_database, -1))
    timeline.at(99.5, lambda: execute(lab_database, END))

    schedule.play(incident)

    assert service.calls == [(110, BREAK), (150, RESTORE)]


def test_no_phase_is_open_while_a_run_has_the_lab(
    schedule: Schedule, timeline: Timeline, incident: Scenario, lab_database: LabDatabase
) -> None:
    seen: list[int] = []

    def look() -> None:
        with lab_database.engine("examiner").connect() as db:
            seen.append(db.execute(OPEN_PHASES).scalar_one())

    timeline.at(4.5, lambda: execute(lab_database, START))
    timeline.at(50.5, look)
    timeline.at(99.5, lambda: execute(lab_database, END))

    schedule.play(incident)

    assert seen == [0]


def test_a_hold_that_has_begun_is_played_to_its_end(
    schedule: Schedule,
    service: FakeService,
    timeline: Timeline,
    incident: Scenario,
    lab_database: LabDatabase,
    log: io.StringIO,
) -> None:
    timeline.at(20.5, lambda: execute(lab_database, START))

    schedule.play(incident)

    assert service.calls == [(10, BREAK), (50, RESTORE)]
    assert [json.loads(line)["event"] for line in log.getvalue().splitlines()][-2:] == [
        "phase.started",
        "phase.ended",
    ]
