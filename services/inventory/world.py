"""What the inventory's failure modes act on."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from anyio import to_thread

from services.common.held_locks import HeldLocks
from services.common.ops import OperatorSettings
from services.inventory.settings import InventoryOperatorSettings
from services.inventory.stock_take import stock_take
from services.inventory.store import InventoryStore

log = structlog.get_logger()


class InventoryWorld:
    """The stock, and the job that counts it."""

    def __init__(self, store: InventoryStore, operator: OperatorSettings[InventoryOperatorSettings]) -> None:
        self.store = store
        self._operator = operator
        self._job: HeldLocks | None = None
        self._lock = threading.Lock()

    @asynccontextmanager
    async def closing(self) -> AsyncIterator[None]:
        """End the job's session when the service ends."""
        yield
        await to_thread.run_sync(self.end_stock_take)

    def start_stock_take(self) -> None:
        """Start the job, unless an operator has stopped it."""
        if self._operator.in_force.stock_take == "stopped":
            return
        job = stock_take(self.store.database.url, on_ended=self._record_that_it_was_ended)
        job.start({"skus": None})
        log.info("stock_take.counting")
        with self._lock:
            self._job = job

    def end_stock_take(self) -> None:
        """Stop the job if it runs, and wait for its end."""
        with self._lock:
            job, self._job = self._job, None
        if job is not None:
            job.stop()
            job.wait()

    def follow(self, settings: InventoryOperatorSettings) -> None:
        """Stop the job as soon as an operator says so.

        Not waited for: the job may be waiting itself, to record that its session was ended.
        """
        with self._lock:
            job = self._job
        if job is not None and settings.stock_take == "stopped":
            job.stop()

    def _record_that_it_was_ended(self) -> None:
        self._operator.change({"stock_take": "stopped"}, actor="postgres-session-ended")
