"""Group commit: many callers, one write.

What comes while a batch is being written gathers and becomes the next one. So
a single caller waits for nobody, and a storm pays for one commit in many.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from anyio import to_thread
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.common.errors import Unavailable

DATABASE_AWAY: tuple[type[Exception], ...] = (OperationalError, InterfaceError, PoolTimeoutError)

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class GroupCommit(Generic[Item, Outcome]):
    """Writes what is submitted, in batches of ``limit`` at most.

    ``write`` stores a batch, in a thread, and returns an outcome for each item in their order; when it
    raises, nothing is stored. An error out of ``away`` concerns the whole batch: it is ``Unavailable`` for
    everybody. Any other is what one of the items brought: the items are written one by one, and it is
    raised to that one alone.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Sequence[Outcome]],
        *,
        limit: int,
        away: tuple[type[Exception], ...] = DATABASE_AWAY,
    ) -> None:
        self._write_all = write
        self._limit = limit
        self._away = away
        self._waiting: list[tuple[Item, asyncio.Future[Outcome]]] = []
        self._arrived = asyncio.Event()

    def submit(self, item: Item) -> "asyncio.Future[Outcome]":
        """Have an item written with the next batch; its outcome, or why it was not stored."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._arrived.set()
        return future

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write what comes while the block lasts; what is left at its end is answered to nobody as stored."""
        writer = asyncio.create_task(self._keep_writing())
        try:
            yield
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _keep_writing(self) -> None:
        while True:
            await self._arrived.wait()
            batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
            if not self._waiting:
                self._arrived.clear()
            await self._write(batch)

    async def _write(self, batch: Sequence[tuple[Item, "asyncio.Future[Outcome]"]]) -> None:
        try:
            outcomes = await to_thread.run_sync(self._write_all, [item for item, _ in batch])
        except self._away as error:
            said = str(error).partition("\n")[0] or type(error).__name__
            _fail(batch, Unavailable(f"database: {said}"))
        except Exception as error:  # noqa: BLE001 - it is one caller's, and the next batch goes on
            if len(batch) == 1:
                _fail(batch, error)
                return
            for one in batch:
                await self._write([one])
        else:
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                # Who asked may be gone; what it brought is stored all the same.
                if not future.done():
                    future.set_result(outcome)


def _fail(batch: Sequence[tuple[Item, "asyncio.Future[Outcome]"]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
