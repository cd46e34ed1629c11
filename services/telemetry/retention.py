"""Keeping it bounded: what is too old or too much is removed, the oldest first."""

from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from anyio import to_thread
from sqlalchemy import ColumnElement, Table, delete, func, or_, select

from services.common.database import Database
from services.common.poller import Poller
from services.telemetry import metrics
from services.telemetry.tables import BOUNDED, spans, traces


class Retention:
    """Removes rows that were received ``max_age`` ago, or before the latest ``max_rows`` of their table.

    A trace goes with the last of its spans, which are many more.
    """

    def __init__(self, database: Database, *, max_age: timedelta, max_rows: int, interval_s: float) -> None:
        self._database = database
        self._max_age = max_age
        self._max_rows = max_rows
        self._enforcing = Poller("retention", self._enforce_all, every_s=interval_s)

    def enforce(self) -> dict[str, int]:
        """Remove what is out of bounds; how many rows of each table went. Raises SQLAlchemy's errors."""
        return {table.name: self._enforce_on(table) for table in BOUNDED}

    def running(self) -> AbstractAsyncContextManager[None]:
        """Enforce it every ``interval_s`` seconds while the block lasts, whatever the database does."""
        return self._enforcing.running()

    async def _enforce_all(self) -> None:
        await to_thread.run_sync(self.enforce)

    def _enforce_on(self, table: Table) -> int:
        received_at = table.c.received_at
        # Rows of one request have one moment: they go together, so that the bound holds.
        first_too_many = (
            select(received_at).order_by(received_at.desc()).offset(self._max_rows).limit(1).scalar_subquery()
        )
        with self._database.transaction() as db:
            too_old = db.execute(delete(table).where(self._is_over(table))).rowcount
            count = db.scalar(select(func.count()).select_from(table)) or 0
            too_many = 0
            if count > self._max_rows:
                too_many = db.execute(delete(table).where(received_at <= first_too_many)).rowcount
        metrics.rows.labels(table.name).set(count - too_many)
        metrics.removed.labels(table.name).inc(too_old + too_many)
        return too_old + too_many

    def _is_over(self, table: Table) -> ColumnElement[bool]:
        is_old = table.c.received_at < func.now() - self._max_age
        if table is not traces:
            return is_old
        oldest_span = select(func.min(spans.c.received_at)).scalar_subquery()
        return or_(is_old, traces.c.received_at < oldest_span)
