"""The profile service's own database when it runs alone: the same tables and costs on SQLite."""

import sqlite3
import time
from pathlib import Path

from sqlalchemy import create_engine, event, func, select
from sqlalchemy.engine import URL
from sqlalchemy.pool import ConnectionPoolEntry

import database
from services.common import ops
from services.common.database import Database
from services.profile import tables

_NO_SCHEMAS = {"schema_translate_map": {"profile": None, "ops": None}}
LOOKUP_KEY_COST_S = 0.002


def lookup_key(email: str) -> str:
    """What Postgres' function of that name does: the same result at the same cost."""
    time.sleep(LOOKUP_KEY_COST_S)
    return email.strip().lower()


def on_connect(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    """Give a new connection the function, and let readers go on while one writes."""
    connection.create_function("lookup_key", 1, lookup_key, deterministic=True)
    connection.execute("PRAGMA journal_mode = WAL")


def prepare(url: URL) -> int:
    """Create the tables and the seed rows where they are missing; returns the number of users."""
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, execution_options=_NO_SCHEMAS)
    event.listen(engine, "connect", on_connect)
    try:
        tables.metadata.create_all(engine)
        ops.metadata.create_all(engine)
        with engine.begin() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            driver.executescript((database.FOLDER / "21-profile-seed.sql").read_text())
            return connection.scalar(select(func.count()).select_from(tables.users)) or 0
    finally:
        engine.dispose()


def cancel_after(connection: sqlite3.Connection, timeout_ms: int) -> None:
    """Interrupt what the connection runs once ``timeout_ms`` have passed from now."""
    ends_at = time.monotonic() + timeout_ms / 1000
    connection.set_progress_handler(lambda: int(time.monotonic() > ends_at), 1)


def drop_added_indexes(db: Database) -> None:
    """Drop the indexes on ``users`` that are not the table's own."""
    with db.control_transaction() as connection:
        names = connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'users' AND sql IS NOT NULL"
        ).scalars()
        for name in names.all():
            connection.exec_driver_sql(f'DROP INDEX "{name}"')
