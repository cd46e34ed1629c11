"""The lab's schema and seed data: numbered SQL files, and the one runner that applies them.

The files are idempotent. They run in the order of their numbers on one
connection, so a role or search path that one file sets holds in the next.
"""

from collections.abc import Mapping
from pathlib import Path

import psycopg2
from psycopg2 import sql
from sqlalchemy.engine import make_url

FOLDER = Path(__file__).parent
_LOCK = 7_210_001
"""Number of the advisory lock that keeps two runners apart."""


def apply(admin_url: str, *, passwords: Mapping[str, str]) -> None:
    """Create roles, schemas, tables and seed rows in the database of ``admin_url``.

    ``admin_url`` is a URL of a role that may create roles (``postgresql://…``);
    ``passwords`` are set for the roles that they name. Raises
    ``psycopg2.Error``; what ran before the failing file stays.
    """
    url = make_url(admin_url).set(drivername="postgresql")
    connection = psycopg2.connect(url.render_as_string(hide_password=False))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET client_min_messages TO warning")
            cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
            for file in sorted(FOLDER.glob("[0-9]*.sql")):
                cursor.execute(file.read_text())
            for role, password in passwords.items():
                cursor.execute(
                    sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
                )
    finally:
        connection.close()
