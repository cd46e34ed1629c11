"""What the candidate's role ran, read from the server's own log."""

import socket
import struct
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from embedded.postgres import Server
from tests.conftest import LabDatabase

RAN = text("SELECT statement, error, code FROM guard.candidate_statements(:since, :until)")


Eventually = Callable[[Callable[[], object]], None]
Ran = tuple[str, str | None, str | None]


def since_now(database: LabDatabase) -> Callable[[], list[Ran]]:
    """Asks what the candidate has run from now on: other tests have other databases of the same server."""
    now = datetime.now(UTC)
    hour = {"since": now, "until": now + timedelta(hours=1)}

    def ran() -> list[Ran]:
        with database.engine("examiner").begin() as db:
            return [tuple(row) for row in db.execute(RAN, hour) if "SELECT" in row.statement]

    return ran


def log_in_and_be_refused(database: LabDatabase, *, user: bytes, name: bytes) -> None:
    """A log-in with these names as they are, which the server writes down when it is refused."""
    url = make_url(database.admin_url)
    packet = struct.pack("!I", 196608) + b"user\0" + user + b"\0database\0" + name + b"\0\0"
    with socket.create_connection((str(url.host), url.port or 5432), timeout=10) as server:
        server.sendall(struct.pack("!I", len(packet) + 4) + packet)
        assert server.recv(4096).startswith(b"R")
        # A query instead of the password.
        server.sendall(b"Q\0\0\0\4")
        while server.recv(4096):
            pass


def test_an_error_belongs_to_the_statement_that_it_answers_and_to_no_other(
    lab_database: LabDatabase, eventually: Eventually
) -> None:
    ran = since_now(lab_database)
    with closing(lab_database.connect()) as session, session.cursor() as cursor:
        # A mistake in the syntax is logged as an error alone.
        for statement in ("SELECT 1", "SELEC 2", "SELECT nothing", "SELECT 3", "SELECT 1/0; SELECT 4"):
            with suppress(psycopg2.Error):
                cursor.execute(statement)

    wanted = [
        ("SELECT 1", None, None),
        ("SELECT nothing", 'column "nothing" does not exist', "42703"),
        ("SELECT 3", None, None),
        ("SELECT 1/0; SELECT 4", "division by zero", "22012"),
    ]
    eventually(lambda: ran() == wanted)


def test_a_statement_in_another_database_of_the_server_is_found(
    lab_database: LabDatabase, eventually: Eventually
) -> None:
    ran = since_now(lab_database)
    elsewhere = make_url(lab_database.url("candidate")).set(drivername="postgresql", database="postgres")
    with closing(psycopg2.connect(elsewhere.render_as_string(hide_password=False))) as session:
        session.cursor().execute("SELECT pg_terminate_backend(0)")

    eventually(lambda: ("SELECT pg_terminate_backend(0)", None, None) in ran())


def test_a_name_that_is_no_utf8_keeps_no_statement_from_being_found(
    lab_database: LabDatabase, postgres: Server, eventually: Eventually
) -> None:
    ran = since_now(lab_database)
    log_in_and_be_refused(lab_database, user=b"j\xfcrgen", name=b"firedrill")
    log_in_and_be_refused(lab_database, user=b"candidate", name=b"f\xfcr")
    eventually(lambda: postgres.json_log.read_bytes().count(b"\xfc") >= 2)
    with closing(lab_database.connect()) as session, session.cursor() as cursor:
        cursor.execute("SELECT 'für'")

    eventually(lambda: ran() == [("SELECT 'für'", None, None)])


def test_a_statement_longer_than_what_is_read_at_once_is_found_whole(
    lab_database: LabDatabase, eventually: Eventually
) -> None:
    ran = since_now(lab_database)
    statement = f"SELECT length('{'ü' * 10_000_000}')"
    with closing(lab_database.connect()) as session, session.cursor() as cursor:
        cursor.execute(statement)

    eventually(lambda: ran() == [(statement, None, None)])


@pytest.mark.parametrize(
    ("message", "statements"),
    [
        ("statement: SELECT 'a: b'", ["SELECT 'a: b'"]),
        ("execute <unnamed>: SELECT 'a: b'", ["SELECT 'a: b'"]),
        ("execute a:b: DROP INDEX c", ["DROP INDEX c"]),
        ("execute a: b: DROP INDEX c", ["b: DROP INDEX c", "DROP INDEX c"]),
        ("execute a: select 1 as b: DROP INDEX c", ["select 1 as b: DROP INDEX c", "DROP INDEX c"]),
        ("execute " + "a: " * 30 + "DROP INDEX c", ["DROP INDEX c"]),
        ('fastpath function call: "pg_terminate_backend" (OID 2096)', ["SELECT pg_terminate_backend()"]),
        ("duration: 3.1 ms", []),
    ],
)
def test_no_name_hides_what_was_prepared_or_called(
    lab_database: LabDatabase, message: str, statements: list[str]
) -> None:
    with closing(lab_database.connect("postgres")) as session, session.cursor() as cursor:
        cursor.execute("SELECT * FROM guard.statements_of(%s)", [message])
        found = [row[0] for row in cursor]

    assert found[:1] == statements[:1] or "a: " * 30 in message
    assert set(statements) <= set(found)
    assert found[-1:] == statements[-1:]
