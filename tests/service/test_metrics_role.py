"""What the exporter of Postgres' metrics may see: how many sessions there are, and not the examiner's."""

import psycopg2
import pytest

from tests.conftest import LabDatabase

SESSIONS = "SELECT application, state, sessions, longest_transaction_seconds FROM metrics.sessions()"


def test_the_sessions_of_the_shop_are_counted_by_state_and_those_of_the_examiner_are_not(
    lab_database: LabDatabase,
) -> None:
    with lab_database.engine("shop").connect() as shop, lab_database.engine("examiner").connect() as examiner:
        for connection in (shop, examiner):
            connection.exec_driver_sql("SET application_name = 'under-test'")
        examiner.exec_driver_sql("SELECT pg_sleep(0)")
        exporter = lab_database.connect("metrics")
        with exporter.cursor() as cursor:
            cursor.execute(SESSIONS)
            found = [row for row in cursor.fetchall() if row[0] == "under-test"]
        exporter.close()

    assert [(state, count) for _, state, count, _ in found] == [("idle in transaction", 1)]
    assert found[0][3] > 0


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM incident.incidents",
        "SELECT * FROM exam.phases",
        "SELECT * FROM profile.profiles",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'",
        "CREATE TABLE metrics.mine (a int)",
    ],
)
def test_the_exporter_may_do_nothing_else(lab_database: LabDatabase, statement: str) -> None:
    exporter = lab_database.connect("metrics")
    with (
        lab_database.engine("shop").connect(),
        exporter.cursor() as cursor,
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
    ):
        cursor.execute(statement)
    exporter.close()


def test_nobody_else_may_ask_for_the_sessions(lab_database: LabDatabase) -> None:
    observer = lab_database.connect("observer")
    with observer.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute(SESSIONS)
    observer.close()
