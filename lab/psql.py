"""``lab psql``: psql on the lab's database."""

import os
import shutil
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from embedded import state
from embedded.environment import DATABASE_NAME, Settings, role_passwords
from embedded.errors import LabError
from embedded.postgres import Server, wheel_binaries


def exec_psql(lab: Settings, arguments: Sequence[str], *, admin: bool) -> None:
    """Become psql, as ``candidate`` or as the superuser. ``LabError`` if there is no psql."""
    connection = _superuser(lab) if admin else _candidate(lab)
    environment = {**os.environ, **connection, "PGDATABASE": DATABASE_NAME, "PGAPPNAME": "lab psql"}
    program = _program()
    os.execve(program, [program, *arguments], environment)  # noqa: S606


def _candidate(lab: Settings) -> dict[str, str]:
    return {**_place(lab), "PGUSER": "candidate", "PGPASSWORD": role_passwords(lab.user)["candidate"]}


def _superuser(lab: Settings) -> dict[str, str]:
    url = lab.external_database or Server(lab.directory / "postgres", port=lab.postgres_port).url()
    parts = urlsplit(url)
    return {
        **_place(lab),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
    }


def _place(lab: Settings) -> dict[str, str]:
    """Where the database is: of the lab that runs, whatever this shell's POSTGRES_PORT says."""
    written = state.read(lab.directory)
    urls = [s.url for s in written.components if s.name == "postgres"] if written else []
    url = lab.external_database or next(iter(urls), None)
    if url is None:
        return {"PGHOST": lab.host, "PGPORT": str(lab.postgres_port)}
    parts = urlsplit(url)
    return {"PGHOST": parts.hostname or "", "PGPORT": str(parts.port or 5432)}


def _program() -> str:
    try:
        own = wheel_binaries() / "psql"
    except LabError:
        own = None
    found = str(own) if own and own.exists() else shutil.which("psql")
    if found is None:
        raise LabError("there is no psql here: run `make setup`, or install PostgreSQL's client")
    return found
