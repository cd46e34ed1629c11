"""``python -m embedded.schema``: the lab's database, made if it is not there and brought up to date.

Reads ``ADMIN_DATABASE_URL`` and ``LAB_DATABASE_URL`` (superuser's URLs of the
server and of the lab's database) and ``<ROLE>_DB_PASSWORD`` of each role.
"""

import os
from collections.abc import Mapping
from contextlib import closing

import psycopg2
from psycopg2 import sql

import database
from services.common.catalog import DATABASE_NAME


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


if __name__ == "__main__":
    prepare(
        os.environ["ADMIN_DATABASE_URL"],
        os.environ["LAB_DATABASE_URL"],
        {role: os.environ[f"{role.upper()}_DB_PASSWORD"] for role in database.ROLES},
    )
