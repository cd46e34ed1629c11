"""What the candidate's role ran, read from the server's own log."""

from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta

import psycopg2
from sqlalchemy import text

from tests.conftest import LabDatabase

RAN = text("SELECT statement, error, code FROM guard.candidate_statements(:since, :until)")


def test_an_error_belongs_to_the_statement_that_it_answers_and_to_no_other(
    lab_database: LabDatabase, eventually: Callable[[Callable[[], object]], None]
) -> None:
    now = datetime.now(UTC)
    hour = {"since": now - timedelta(hours=1), "until": now + timedelta(hours=1)}
    with closing(lab_database.connect()) as session, session.cursor() as cursor:
        # A mistake in the syntax is logged as an error alone.
        for statement in ("SELECT 1", "SELEC 2", "SELECT nothing", "SELECT 3", "SELECT 1/0; SELECT 4"):
            with suppress(psycopg2.Error):
                cursor.execute(statement)

    def ran() -> list[tuple[str, str | None, str | None]]:
        with lab_database.engine("examiner").begin() as db:
            return [tuple(row) for row in db.execute(RAN, hour) if "SELECT" in row.statement]

    wanted = [
        ("SELECT 1", None, None),
        ("SELECT nothing", 'column "nothing" does not exist', "42703"),
        ("SELECT 3", None, None),
        ("SELECT 1/0; SELECT 4", "division by zero", "22012"),
    ]
    eventually(lambda: ran() == wanted)
