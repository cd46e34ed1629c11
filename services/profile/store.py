"""Reading profiles: through the cache and the pool, in the way that the release in force does it."""

import math
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import cachetools
import sentry_sdk
import structlog
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from services.common import deadline, indexes, metrics
from services.common.database import Database
from services.profile import sqlite
from services.profile.releases import Lookup, Release
from services.profile.schemas import Profile
from services.profile.settings import ProfileOperatorSettings
from services.profile.tables import users

log = structlog.get_logger()

CACHE_SIZE = 2000
CACHE_TTL_S = 300
SWEEP_EVERY_S = 5.0
"""How often sessions that a release did not give back are given back."""

_COLUMNS = (*users.c, func.lookup_key(users.c.email).label("account_key"))


@dataclass(frozen=True)
class Behaviour:
    """How reads work now: the release in force, under what an operator has set."""

    release: Release
    cache: bool
    query_timeout_ms: int


class ProfileStore:
    """Profiles in the database, and the cache before it."""

    def __init__(self, database: Database, catalogue: Mapping[str, Release], *, service: str) -> None:
        self._database = database
        self._catalogue = catalogue
        self._cache: cachetools.TTLCache[int, Profile] = cachetools.TTLCache(CACHE_SIZE, CACHE_TTL_S)
        self._cache_lock = threading.Lock()
        self._abandoned: list[Connection] = []
        self._count = {
            result: metrics.cache_requests.labels(service, result) for result in ("hit", "miss", "bypass")
        }
        self._behaviour = Behaviour(next(iter(catalogue.values())), cache=True, query_timeout_ms=1)

    def follow(self, settings: ProfileOperatorSettings) -> None:
        """Behave as these settings say from the next read on."""
        release = self._catalogue[settings.release]
        self._behaviour = Behaviour(
            release,
            cache=release.has_cache if settings.cache is None else settings.cache,
            query_timeout_ms=settings.query_timeout_ms,
        )
        self._database.resize(pool_size=settings.pool_size or release.pool_size, pre_ping=release.pre_ping)
        if release.returns_sessions:
            self.sweep()

    def find(self, user_id: int) -> Profile | None:
        """The profile of a user, or ``None`` if there is none.

        Raises SQLAlchemy's ``TimeoutError`` when no connection comes free, and
        ``OperationalError`` when the database cancels the look-up.
        """
        behaviour = self._behaviour
        if not behaviour.cache:
            self._count["bypass"].inc()
            sentry_sdk.add_breadcrumb(
                category="query", message="extra database read: no cache before it", data={"user_id": user_id}
            )
            return self._read(user_id, behaviour)
        with self._cache_lock:
            cached = self._cache.get(user_id)
        if cached is not None:
            self._count["hit"].inc()
            return cached
        self._count["miss"].inc()
        profile = self._read(user_id, behaviour)
        if profile is not None:
            with self._cache_lock:
                self._cache[user_id] = profile
        return profile

    def sweep(self) -> None:
        """Give back every session that a release did not, also those that somebody ended in Postgres."""
        abandoned, self._abandoned = self._abandoned, []
        for connection in abandoned:
            try:
                connection.close()
            except SQLAlchemyError as error:
                # It has gone back for all that: the pool drops what it cannot roll back.
                log.warning("session.lost", error=str(error).partition("\n")[0])

    def drop_added_indexes(self) -> None:
        """Drop the indexes on ``users`` that somebody added: back to the schema of the baseline."""
        if self._database.is_sqlite:
            sqlite.drop_added_indexes(self._database)
            return
        indexes.drop_added(self._database, schema="profile")

    def _read(self, user_id: int, behaviour: Behaviour) -> Profile | None:
        with self._session(behaviour) as db:
            left_s = deadline.remaining_s(at_most=behaviour.query_timeout_ms / 1000)
            self._limit_time(db, timeout_ms=math.ceil(left_s * 1000))
            if behaviour.release.lookup is Lookup.PRIMARY_KEY:
                found = db.execute(select(*_COLUMNS).where(users.c.id == user_id)).one_or_none()
            else:
                email = db.scalar(select(users.c.email).where(users.c.id == user_id))
                if email is None:
                    return None
                by_key = func.lookup_key(users.c.email) == func.lookup_key(email)
                found = db.execute(select(*_COLUMNS).where(by_key)).first()
            return None if found is None else Profile.model_validate(found)

    @contextmanager
    def _session(self, behaviour: Behaviour) -> Iterator[Connection]:
        connection = self._database.checkout()
        try:
            connection.begin()
            yield connection
        finally:
            if behaviour.release.returns_sessions:
                connection.close()
            else:
                self._abandoned.append(connection)

    def _limit_time(self, db: Connection, *, timeout_ms: int) -> None:
        if not self._database.is_sqlite:
            db.execute(select(func.set_config("statement_timeout", str(timeout_ms), True)))
            return
        driver = db.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        sqlite.cancel_after(driver, timeout_ms)
