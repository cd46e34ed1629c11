"""The stock-taking job: it locks the stock to count it, in a session of its own."""

import select as io_select
import threading
from collections.abc import Callable

import psycopg2
import structlog
from psycopg2 import extensions
from sqlalchemy.engine import URL

log = structlog.get_logger()

APPLICATION_NAME = "stock-take"
WATCH_EVERY_S = 0.2
RETRY_EVERY_S = 0.5


class StockTake:
    """A job that holds locks on rows of the stock until it is stopped or its session is ended.

    ``on_ended`` is called when somebody ended its session in Postgres, and not
    when Postgres itself went away: then the job goes on as soon as it is back.
    """

    def __init__(self, url: URL, *, on_ended: Callable[[], None]) -> None:
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._on_ended = on_ended
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, *, skus: list[str] | None = None, wait_s: float = 5.0) -> None:
        """Lock the rows of ``skus`` (all by default) and hold them.

        Returns once they are locked. Raises ``psycopg2.Error`` when Postgres is
        away and ``TimeoutError`` when the locks are not had within ``wait_s``.
        """
        self._stop.clear()
        session = self._lock(skus, wait_s=wait_s)
        self._thread = threading.Thread(
            target=self._hold, args=(session, skus), name=APPLICATION_NAME, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Give the locks back and end the session; ``wait`` tells when that is done."""
        self._stop.set()

    def wait(self) -> None:
        """Wait until the job has ended."""
        if self._thread is not None:
            self._thread.join()

    def _lock(self, skus: list[str] | None, *, wait_s: float) -> extensions.connection:
        session = psycopg2.connect(self._dsn, application_name=APPLICATION_NAME, connect_timeout=2)
        with session.cursor() as cursor:
            try:
                # At least a millisecond: Postgres reads 0 as "wait for ever".
                wait_ms = max(1, int(wait_s * 1000))
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{wait_ms}ms"])
                cursor.execute(
                    "SELECT sku, available FROM inventory.stock"
                    " WHERE %(skus)s::text[] IS NULL OR sku = ANY(%(skus)s) ORDER BY sku FOR UPDATE",
                    {"skus": skus},
                )
            except psycopg2.errors.LockNotAvailable as error:
                session.close()
                raise TimeoutError(f"the stock stayed locked for {wait_s:.1f} s") from error
        return session

    def _hold(self, session: extensions.connection, skus: list[str] | None) -> None:
        started_at = _postmaster_started_at(self._dsn)
        log.info("stock_take.counting", backend=session.get_backend_pid())
        while not self._stop.wait(WATCH_EVERY_S):
            # A session that idles in its transaction has nothing to say, unless it is being ended.
            if not io_select.select([session], [], [], 0)[0]:
                continue
            session.close()
            if self._postgres_is_the_same(started_at):
                log.warning("stock_take.session_ended")
                self._on_ended()
                return
            again = self._lock_again(skus)
            if again is None:
                return
            session, started_at = again, _postmaster_started_at(self._dsn)
        session.close()

    def _postgres_is_the_same(self, started_at: object) -> bool:
        try:
            return _postmaster_started_at(self._dsn) == started_at
        except psycopg2.OperationalError:
            return False

    def _lock_again(self, skus: list[str] | None) -> extensions.connection | None:
        while not self._stop.wait(RETRY_EVERY_S):
            try:
                return self._lock(skus, wait_s=RETRY_EVERY_S)
            except (psycopg2.OperationalError, TimeoutError) as error:
                log.warning("stock_take.waiting", error=str(error).strip())
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
