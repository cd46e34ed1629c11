"""``python -m database``: bring the database up to date, as a job of its own.

Reads ``ADMIN_DATABASE_URL`` (a superuser's URL of the lab's database) and
``<ROLE>_DB_PASSWORD`` of each role. Waits up to a minute for the server.
"""

import os
import sys
import time
from contextlib import closing

import psycopg2

import database

_WAIT_S = 60.0
_POLL_S = 0.5


def main() -> None:
    """Apply the schema; ends with status 1 and a line that says why when that cannot be done."""
    admin_url = os.environ["ADMIN_DATABASE_URL"]
    passwords = {role: os.environ[f"{role.upper()}_DB_PASSWORD"] for role in database.ROLES}
    try:
        _wait_for(admin_url)
        with closing(psycopg2.connect(admin_url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        database.apply(admin_url, passwords=passwords)
    except psycopg2.Error as error:
        print(f"the database could not be prepared: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    print("the database is up to date")


def _wait_for(url: str) -> None:
    """Return when the server takes connections; the driver's error when it does not within the time."""
    ends_at = time.monotonic() + _WAIT_S
    while True:
        try:
            psycopg2.connect(url, connect_timeout=2).close()
        except psycopg2.OperationalError:
            if time.monotonic() > ends_at:
                raise
            time.sleep(_POLL_S)
        else:
            return


if __name__ == "__main__":
    main()
