"""A session that takes row locks and holds them, as a job or a person does who forgets to commit."""

import select as io_select
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

import psycopg2
import structlog
from psycopg2 import extensions
from sqlalchemy.engine import URL

from services.common.errors import ServiceError

log = structlog.get_logger()

WATCH_EVERY_S = 0.2
RETRY_EVERY_S = 0.5


class HeldLocks:
    """Holds the locks that ``statement`` takes until it is stopped or its session is ended. Started once.

    ``on_ended`` is called when somebody ended the session in Postgres, and not
    when Postgres itself went away: then it goes on as soon as that is back. It
    is called again for as long as it raises ``ServiceError``.
    """

    def __init__(
        self, url: URL, *, application_name: str, statement: str, on_ended: Callable[[], None]
    ) -> None:
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._application_name = application_name
        self._statement = statement
        self._on_ended = on_ended
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, parameters: Mapping[str, object], *, wait_s: float = 5.0) -> None:
        """Run the statement with these parameters and hold what it has locked.

        Returns once it is locked, and gives the locks back at once if it was
        stopped meanwhile. Raises ``psycopg2.Error`` when Postgres is away and
        ``TimeoutError`` when the locks are not had within ``wait_s``.
        """
        locked = self._lock(parameters, wait_s=wait_s)
        self._thread = threading.Thread(
            target=self._hold, args=(locked, parameters), name=self._application_name, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Give the locks back and end the session; ``wait`` tells when that is done."""
        self._stop.set()

    def wait(self) -> None:
        """Wait until the session has ended."""
        if self._thread is not None:
            self._thread.join()

    def _lock(self, parameters: Mapping[str, object], *, wait_s: float) -> "_Locked":
        session = psycopg2.connect(self._dsn, application_name=self._application_name, connect_timeout=2)
        try:
            with session.cursor() as cursor:
                # At least a millisecond: Postgres reads 0 as "wait for ever".
                wait_ms = max(1, int(wait_s * 1000))
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{wait_ms}ms"])
                started_at = _postmaster_started_at(cursor)
                # The last one: what people see the session idle after.
                cursor.execute(self._statement, parameters)
        except psycopg2.errors.LockNotAvailable as error:
            session.close()
            raise TimeoutError(f"what it needs stayed locked for {wait_s:.1f} s") from error
        except BaseException:
            session.close()
            raise
        return _Locked(session, started_at)

    def _hold(self, locked: "_Locked", parameters: Mapping[str, object]) -> None:
        while not self._stop.wait(WATCH_EVERY_S):
            # A session that idles in its transaction has nothing to say, unless it is being ended.
            if not io_select.select([locked.session], [], [], 0)[0]:
                continue
            locked.session.close()
            if self._postgres_is_the_same(locked.postgres_started_at):
                log.warning("session.was_ended", application=self._application_name)
                self._tell_that_it_was_ended()
                return
            again = self._lock_again(parameters)
            if again is None:
                return
            locked = again
        locked.session.close()

    def _postgres_is_the_same(self, started_at: datetime) -> bool:
        try:
            with closing(psycopg2.connect(self._dsn, connect_timeout=2)) as probe, probe.cursor() as cursor:
                return _postmaster_started_at(cursor) == started_at
        except psycopg2.Error as error:
            self._warn("session.postgres_is_away", error)
            return False

    def _tell_that_it_was_ended(self) -> None:
        while True:
            try:
                self._on_ended()
            except ServiceError as error:
                self._warn("session.end_not_recorded", error)
            else:
                return
            if self._stop.wait(RETRY_EVERY_S):
                return

    def _lock_again(self, parameters: Mapping[str, object]) -> "_Locked | None":
        while not self._stop.wait(RETRY_EVERY_S):
            try:
                return self._lock(parameters, wait_s=RETRY_EVERY_S)
            except (psycopg2.Error, TimeoutError) as error:
                self._warn("session.waits_for_locks", error)
        return None

    def _warn(self, event: str, error: Exception) -> None:
        log.warning(event, application=self._application_name, error=str(error).strip())


class Job:
    """Work that holds locks for as long as an operator allows it.

    ``holds`` makes what holds them, anew for each start.
    """

    def __init__(self, holds: Callable[[], HeldLocks], *, is_allowed: Callable[[], bool]) -> None:
        self._holds = holds
        self._is_allowed = is_allowed
        self._held: HeldLocks | None = None
        self._lock = threading.Lock()

    def start(self, parameters: Mapping[str, object]) -> bool:
        """Hold the locks of these parameters; false, and nothing held, if that is not allowed.

        Raises what ``HeldLocks.start`` raises.
        """
        held = self._holds()
        with self._lock:
            if not self._is_allowed():
                return False
            # Known before it has its locks: it waits for them, and may be stopped before it has them.
            self._held = held
        try:
            held.start(parameters)
        except BaseException:
            with self._lock:
                self._held = None
            raise
        return True

    def end(self) -> None:
        """Give the locks back if there are any, and wait until that is done."""
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            held.stop()
            held.wait()

    def follow(self) -> None:
        """Give the locks back if they are not allowed any more.

        Not waited for: the job may be waiting itself, to record that its session was ended.
        """
        with self._lock:
            held = self._held
        if held is not None and not self._is_allowed():
            held.stop()


@dataclass(frozen=True)
class _Locked:
    """A session that has its locks, and since when the Postgres runs that gave it them."""

    session: extensions.connection
    postgres_started_at: datetime


def _postmaster_started_at(cursor: extensions.cursor) -> datetime:
    cursor.execute("SELECT pg_postmaster_start_time()")
    row = cursor.fetchone()
    assert row is not None
    started_at: datetime = row[0]
    return started_at
