"""Create the profile service's tables and its 1,000 users: ``python -m services.profile.seed``."""

import os

from sqlalchemy import create_engine, func, select

import database
from services.common.database import driver_url
from services.profile import sqlite
from services.profile.settings import ProfileSettings
from services.profile.tables import users


def main() -> None:
    """Seed the database of ``DATABASE_URL``; safe to repeat."""
    configured = ProfileSettings().database_url
    assert configured is not None
    url = driver_url(configured)
    if url.get_backend_name() == "sqlite":
        print(f"{sqlite.prepare(url)} users in {os.path.relpath(url.database or ':memory:')}")
        return
    database.apply(configured, passwords={})
    engine = create_engine(url)
    with engine.connect() as connection:
        print(f"{connection.scalar(select(func.count()).select_from(users))} users in {url}")
    engine.dispose()


if __name__ == "__main__":
    main()
