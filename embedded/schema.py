"""The lab's database: made if it is not there, brought up to date. Runs in a process of its own."""

from collections.abc import Mapping
from contextlib import closing

import psycopg2
from psycopg2 import sql

import database
from embedded.environment import DATABASE_NAME


def prepare(admin_url: str, lab_url: str, passwords: Mapping[str, str]) -> None:
    """Create the database of ``lab_url`` through ``admin_url`` (both superuser URLs) and apply the schema.

    Raises ``psycopg2.Error`` when the server refuses.
    """
    with closing(psycopg2.connect(_plain(admin_url))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE_NAME,))
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE_NAME)))
    with closing(psycopg2.connect(_plain(lab_url))) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_stat_statements'")
        if cursor.fetchone():
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    database.apply(lab_url, passwords=passwords)


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg2://", "postgresql://", 1)
