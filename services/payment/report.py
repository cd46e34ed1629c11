"""The nightly report: a slow statement that only reads, in a session of its own. It is in nobody's way."""

import threading
import time

import psycopg2
import structlog
from sqlalchemy.engine import URL

log = structlog.get_logger()

APPLICATION_NAME = "nightly-report"
TURNOVER = (
    "SELECT profile.lookup_key(c.email), t.kind, count(*), sum(t.amount) FROM payment.transactions AS t"
    " JOIN payment.customers AS c ON c.id = t.customer_id"
    " WHERE profile.lookup_key(c.email) <> '' GROUP BY 1, 2"
)
"""Turnover by customer. ``lookup_key`` takes 2 ms a transaction, so this is slow without using the CPU."""
LONGEST_STATEMENT_MS = 120_000
PAUSE_S = 0.2


class NightlyReport:
    """One at a time; a second one takes the first one's place."""

    def __init__(self, url: URL) -> None:
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def run(self, for_s: float) -> None:
        """Read all transactions again and again for so many seconds, in the background."""
        with self._lock:
            self._stop.set()
            self._stop = threading.Event()
            ends_at_s = time.monotonic() + for_s
            threading.Thread(
                target=self._read, args=(self._stop, ends_at_s), name=APPLICATION_NAME, daemon=True
            ).start()

    def stop(self) -> None:
        """No further statement."""
        self._stop.set()

    def _read(self, stop: threading.Event, ends_at_s: float) -> None:
        try:
            session = psycopg2.connect(
                self._dsn,
                application_name=APPLICATION_NAME,
                connect_timeout=2,
                options=f"-c default_transaction_read_only=on -c statement_timeout={LONGEST_STATEMENT_MS}",
            )
            session.autocommit = True
            try:
                while time.monotonic() < ends_at_s and not stop.wait(PAUSE_S):
                    with session.cursor() as cursor:
                        cursor.execute(TURNOVER)
            finally:
                session.close()
        except psycopg2.Error as error:
            log.warning("report.ended_early", error=str(error).strip())
