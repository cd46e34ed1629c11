"""SQL under the role ``candidate``: what it may, Postgres says."""

import math
from collections.abc import Callable
from contextlib import closing
from typing import Annotated

import psycopg2
from psycopg2 import extensions
from pydantic import Field, JsonValue
from pydantic_core import to_jsonable_python

from embedded.errors import LabError
from lab.tools.api import Document
from lab.tools.bounds import written
from lab.tools.seat import Seat

CONNECT_WITHIN_S = 5
STATEMENT_TIMEOUT_S = 20
"""Longer than anything that a person on call should run on the live database."""
LONGEST_VALUE = 4_000
"""Characters of a value, or of its JSON text."""
_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


class Database:
    """The lab's database as a person on call reaches it: one connection for each statement."""

    def __init__(self, seat: Seat) -> None:
        self._url = seat.database_url

    def run_sql(self, statement: str, limit: Annotated[int, Field(ge=1, le=1000)] = 100) -> Document:
        """Run a statement on the live database and commit it; at most `limit` rows come back.

        The statement, as it is written, can be evidence of kind `query`. Give one that finds
        much a LIMIT of its own: `limit` bounds what is shown, not what the database reads and sends.
        """
        if "\0" in statement:
            # The driver would run what stands before it.
            raise LabError("there is a NUL in the statement: it was not run")
        try:
            with closing(self._connection()) as connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return _answer(cursor, limit=limit)
        except (psycopg2.Error, UnicodeEncodeError) as error:
            raise LabError(str(error).strip() or type(error).__name__) from error

    def _connection(self) -> "psycopg2.extensions.connection":
        # Set as it connects: a statement of its own would stand in the log of what the candidate ran.
        options = f"-c statement_timeout={STATEMENT_TIMEOUT_S}s"
        connection = psycopg2.connect(
            self._url, options=options, connect_timeout=CONNECT_WITHIN_S, application_name="lab sql"
        )
        # Not every statement may stand in a transaction, and a forgotten one would hold locks.
        connection.autocommit = True
        _read_every_time(connection)
        return connection


def _answer(cursor: "psycopg2.extensions.cursor", *, limit: int) -> Document:
    if cursor.description is None:
        return {"status": cursor.statusmessage or "", "columns": [], "rows": [], "is_cut": False}
    try:
        rows = cursor.fetchmany(limit + 1)
        shown: list[JsonValue] = [[_shown(value) for value in row] for row in rows[:limit]]
    except (ValueError, OverflowError, RecursionError) as error:
        raise LabError(f"the statement ran, but what it gave cannot be shown: {error}") from error
    return {
        "status": cursor.statusmessage or "",
        "columns": [column.name for column in cursor.description],
        "rows": shown,
        "is_cut": len(rows) > limit,
    }


def _shown(value: object) -> JsonValue:
    shown: JsonValue = to_jsonable_python(_spelt(value), fallback=str)
    text = shown if isinstance(shown, str) else written(shown)
    return f"{text[:LONGEST_VALUE]}…" if len(text) > LONGEST_VALUE else shown


def _spelt(value: object) -> object:
    """Bytes, and numbers that JSON has not, as Postgres writes them."""
    if isinstance(value, list):
        return [_spelt(one) for one in value]
    if isinstance(value, memoryview):
        return rf"\x{value.hex()}"
    if isinstance(value, float) and not math.isfinite(value):
        return _NOT_FINITE.get(value, "NaN")
    return value


def _or_its_text(read: Callable[..., object]) -> Callable[..., object]:
    """``read``, and the text itself where Postgres knows a time that Python does not."""

    def found(text: str | None, cursor: "extensions.cursor") -> object:
        if text is not None and text.endswith("infinity"):
            return text
        try:
            return read(text, cursor)
        except (ValueError, OverflowError):
            return text

    return found


def _read_every_time(connection: "extensions.connection") -> None:
    for name in ("DATE", "DATETIME", "DATETIMETZ", "INTERVAL"):
        # The driver's own readers, each of which knows for which types it is one.
        plain, array = getattr(extensions, f"PY{name}"), getattr(extensions, f"PY{name}ARRAY")
        reader = extensions.new_type(plain.values, name, _or_its_text(plain))
        extensions.register_type(reader, connection)
        extensions.register_type(extensions.new_array_type(array.values, f"{name}ARRAY", reader), connection)
