"""SQL under the role ``candidate``: what it may, Postgres says."""

from contextlib import closing
from typing import Annotated

import psycopg2
from pydantic import Field
from pydantic_core import to_jsonable_python

from embedded.errors import LabError
from lab.tools.api import Document
from lab.tools.seat import Seat

CONNECT_WITHIN_S = 5
STATEMENT_TIMEOUT_S = 20
"""Longer than anything that a person on call should run on the live database."""
LONGEST_VALUE = 4_000


class Database:
    """The lab's database as a person on call reaches it: one connection for each statement."""

    def __init__(self, seat: Seat) -> None:
        self._url = seat.database_url

    def run_sql(self, statement: str, limit: Annotated[int, Field(ge=1, le=1000)] = 100) -> Document:
        """Run a statement on the live database and commit it; at most `limit` rows come back.

        The statement, as it is written, can be evidence of kind `query`.
        """
        try:
            with closing(self._connection()) as connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return _answer(cursor, limit=limit)
        except psycopg2.Error as error:
            raise LabError(str(error).strip() or type(error).__name__) from error

    def _connection(self) -> "psycopg2.extensions.connection":
        # Set as it connects: a statement of its own would stand in the log of what the candidate ran.
        options = f"-c statement_timeout={STATEMENT_TIMEOUT_S}s"
        connection = psycopg2.connect(
            self._url, options=options, connect_timeout=CONNECT_WITHIN_S, application_name="lab sql"
        )
        # Not every statement may stand in a transaction, and a forgotten one would hold locks.
        connection.autocommit = True
        return connection


def _answer(cursor: "psycopg2.extensions.cursor", *, limit: int) -> Document:
    if cursor.description is None:
        return {"status": cursor.statusmessage or "", "columns": [], "rows": [], "is_cut": False}
    rows = cursor.fetchmany(limit + 1)
    shown = [[_shown(value) for value in row] for row in rows[:limit]]
    return {
        "status": cursor.statusmessage or "",
        "columns": [column.name for column in cursor.description],
        "rows": to_jsonable_python(shown, fallback=str),
        "is_cut": len(rows) > limit,
    }


def _shown(value: object) -> object:
    return f"{value[:LONGEST_VALUE]}…" if isinstance(value, str) and len(value) > LONGEST_VALUE else value
