"""The shop's indexes: those that the schema's own files say, and those that somebody has added."""

import re
from functools import cache

from sqlalchemy import text
from sqlalchemy.sql import quoted_name

import database
from services.common.database import Database

INDEXES_SQL = """
    SELECT coalesce(array_agg(format('%s.%s', n.nspname, c.relname) ORDER BY n.nspname, c.relname), '{}')
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('profile', 'payment', 'inventory') AND NOT EXISTS (
        SELECT FROM pg_constraint AS p WHERE p.conindid = i.indexrelid AND p.contype IN ('p', 'u', 'x'))
"""
"""The indexes that a candidate may drop, and those that one has left: an array of ``schema.name``."""
LOCK_WITHIN_MS = 1000
_CREATED = re.compile(
    r"^CREATE (?:UNIQUE )?INDEX IF NOT EXISTS (\w+)\s+ON (profile|payment|inventory)\.", re.MULTILINE
)


@cache
def given() -> frozenset[str]:
    """Those of the schema's files, as ``schema.name``."""
    return frozenset(
        f"{schema}.{index}"
        for file in database.FOLDER.glob("*.sql")
        for index, schema in _CREATED.findall(file.read_text())
    )


def drop_added(db: Database, *, schema: str) -> None:
    """Drop the indexes of a schema that its files do not say: back to the schema of the baseline.

    Raises SQLAlchemy's ``OperationalError`` while somebody uses one of the tables for long.
    """
    with db.control_transaction() as session:
        # Who waits for a table makes everybody wait who comes later.
        session.execute(text("SELECT set_config('lock_timeout', :ms, true)"), {"ms": str(LOCK_WITHIN_MS)})
        found = session.scalars(text(INDEXES_SQL)).one()
        quote = session.dialect.identifier_preparer.quote
        for one in sorted({*found} - given()):
            of, _, name = one.partition(".")
            if of == schema:
                session.exec_driver_sql(f"DROP INDEX {schema}.{quote(quoted_name(name, quote=True))}")
