"""The lab's schema and seed data: numbered SQL files, and the one runner that applies them.

The files are idempotent. They run in the order of their numbers on one
connection, so a role or search path that one file sets holds in the next.
"""

from collections.abc import Mapping
from pathlib import Path

import psycopg2
from psycopg2 import sql

FOLDER = Path(__file__).parent
ROLES = ("shop", "platform", "examiner", "candidate", "observer", "metrics")
_LOCK = 7_210_001
"""Number of the advisory lock that keeps two runners apart."""


def apply(admin_url: str, *, passwords: Mapping[str, str]) -> None:
    """Create roles, schemas, tables and seed rows in the database of ``admin_url``.

    ``admin_url`` is a URL of a role that may create roles (``postgresql://…``);
    ``passwords`` are set for the roles that they name. Raises
    ``psycopg2.Error``; what ran before the failing file stays.
    """
    # Not parsed with SQLAlchemy: its import would cost the lab's start a second.
    connection = psycopg2.connect(admin_url.replace("postgresql+psycopg2://", "postgresql://", 1))
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
