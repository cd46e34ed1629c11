"""``lab psql``: psql on the lab's database."""

import os
import shutil
from collections.abc import Sequence
from urllib.parse import parse_qsl, unquote, urlsplit

from embedded.environment import Settings
from embedded.errors import LabError
from embedded.postgres import Server, wheel_binaries
from lab.tools.seat import candidate_database_url, server_url
from services.common.catalog import DATABASE_NAME


def exec_psql(lab: Settings, arguments: Sequence[str], *, admin: bool) -> None:
    """Become psql, as ``candidate`` or as the superuser. ``LabError`` if there is no psql."""
    connection = _superuser(lab) if admin else libpq_variables(candidate_database_url(lab))
    environment = {**os.environ, **connection, "PGAPPNAME": "lab psql"}
    program = _program()
    os.execve(program, [program, *arguments], environment)  # noqa: S606


def libpq_variables(url: str) -> dict[str, str]:
    """The parts of a database's URL as the variables of libpq, so that psql's own options go first."""
    parts = urlsplit(url)
    return {
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port or 5432),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.lstrip("/")) or DATABASE_NAME,
        # sslmode is PGSSLMODE, connect_timeout PGCONNECT_TIMEOUT, and so on.
        **{f"PG{name.upper()}": value for name, value in parse_qsl(parts.query)},
    }


def _superuser(lab: Settings) -> dict[str, str]:
    given = lab.external_database or Server(lab.directory / "postgres", port=lab.postgres_port).url()
    place = urlsplit(server_url(lab))
    return {
        **libpq_variables(given),
        "PGHOST": place.hostname or "",
        "PGPORT": str(place.port or 5432),
        "PGDATABASE": DATABASE_NAME,
    }


def _program() -> str:
    try:
        own = wheel_binaries() / "psql"
    except LabError:
        own = None
    found = str(own) if own and own.exists() else shutil.which("psql")
    if found is None:
        raise LabError("there is no psql here: run `make setup`, or install PostgreSQL's client")
    return found
