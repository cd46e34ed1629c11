"""A session that takes row locks and holds them, as a job or a person does who forgets to commit."""

import select as io_select
import threading
from collections.abc import Callable, Mapping

import psycopg2
import structlog
from psycopg2 import extensions
from sqlalchemy.engine import URL

log = structlog.get_logger()

WATCH_EVERY_S = 0.2
RETRY_EVERY_S = 0.5


class HeldLocks:
    """Holds the locks that ``statement`` takes until it is stopped or its session is ended.

    ``on_ended`` is called when somebody ended the session in Postgres, and not
    when Postgres itself went away: then it goes on as soon as that is back.
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

        Returns once it is locked. Raises ``psycopg2.Error`` when Postgres is
        away and ``TimeoutError`` when the locks are not had within ``wait_s``.
        """
        self._stop.clear()
        session = self._lock(parameters, wait_s=wait_s)
        self._thread = threading.Thread(
            target=self._hold, args=(session, parameters), name=self._application_name, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Give the locks back and end the session; ``wait`` tells when that is done."""
        self._stop.set()

    def wait(self) -> None:
        """Wait until the session has ended."""
        if self._thread is not None:
            self._thread.join()

    def _lock(self, parameters: Mapping[str, object], *, wait_s: float) -> extensions.connection:
        session = psycopg2.connect(self._dsn, application_name=self._application_name, connect_timeout=2)
        with session.cursor() as cursor:
            try:
                # At least a millisecond: Postgres reads 0 as "wait for ever".
                wait_ms = max(1, int(wait_s * 1000))
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{wait_ms}ms"])
                cursor.execute(self._statement, parameters)
            except psycopg2.errors.LockNotAvailable as error:
                session.close()
                raise TimeoutError(f"what it needs stayed locked for {wait_s:.1f} s") from error
        return session

    def _hold(self, session: extensions.connection, parameters: Mapping[str, object]) -> None:
        started_at = _postmaster_started_at(self._dsn)
        while not self._stop.wait(WATCH_EVERY_S):
            # A session that idles in its transaction has nothing to say, unless it is being ended.
            if not io_select.select([session], [], [], 0)[0]:
                continue
            session.close()
            if self._postgres_is_the_same(started_at):
                log.warning("session.was_ended", application=self._application_name)
                self._on_ended()
                return
            again = self._lock_again(parameters)
            if again is None:
                return
            session, started_at = again, _postmaster_started_at(self._dsn)
        session.close()

    def _postgres_is_the_same(self, started_at: object) -> bool:
        try:
            return _postmaster_started_at(self._dsn) == started_at
        except psycopg2.OperationalError:
            return False

    def _lock_again(self, parameters: Mapping[str, object]) -> extensions.connection | None:
        while not self._stop.wait(RETRY_EVERY_S):
            try:
                return self._lock(parameters, wait_s=RETRY_EVERY_S)
            except (psycopg2.OperationalError, TimeoutError) as error:
                log.warning(
                    "session.waits_for_locks", application=self._application_name, error=str(error).strip()
                )
        return None


def _postmaster_started_at(dsn: str) -> object:
    probe = psycopg2.connect(dsn, connect_timeout=2)
    try:
        with probe.cursor() as cursor:
            cursor.execute("SELECT pg_postmaster_start_time()")
            row = cursor.fetchone()
            assert row is not None
            return row[0]
    finally:
        probe.close()
