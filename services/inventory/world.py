"""What the inventory's failure modes act on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import structlog
from anyio import to_thread

from services.common.held_locks import Job
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
        self._job = Job(
            partial(stock_take, store.database.url, on_ended=self._record_that_it_was_ended),
            is_allowed=lambda: operator.in_force.stock_take != "stopped",
        )

    @asynccontextmanager
    async def closing(self) -> AsyncIterator[None]:
        """End the job's session when the service ends."""
        yield
        await to_thread.run_sync(self.end_stock_take)

    def start_stock_take(self) -> None:
        """Start the job, unless an operator has stopped it."""
        if self._job.start({"skus": None}):
            log.info("stock_take.counting")

    def end_stock_take(self) -> None:
        """Stop the job if it runs, and wait for its end."""
        self._job.end()

    def follow(self, _settings: InventoryOperatorSettings) -> None:
        """Stop the job as soon as an operator says so."""
        self._job.follow()

    def _record_that_it_was_ended(self) -> None:
        self._operator.change({"stock_take": "stopped"}, actor="postgres-session-ended")
