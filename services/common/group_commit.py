"""Group commit: many callers, one write.

What comes while a batch is being written gathers and becomes the next one. So
a single caller waits for nobody, and a storm pays for one commit in many.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from anyio import to_thread
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from services.common.errors import Unavailable

_OF_AN_ITEM = (DataError, IntegrityError)
"""What the database says of a value; whatever else it says holds for every item."""

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class GroupCommit(Generic[Item, Outcome]):
    """Writes what is submitted, in batches of ``limit`` at most.

    ``write`` stores a batch, in a thread, and returns an outcome for each item in their order; when it
    raises, nothing is stored. What the database says of itself, and an error out of ``away``, is
    ``Unavailable`` for everybody in the batch. Any other error is what one of the items brought: they are
    written one by one, and it is raised to that one alone.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Sequence[Outcome]],
        *,
        limit: int,
        away: tuple[type[Exception], ...] = (),
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

    async def _write(self, batch: Sequence[tuple[Item, "asyncio.Future[Outcome]"]]) -> Unavailable | None:
        """Write a batch and answer everybody in it; what keeps the database from taking any item at all."""
        try:
            outcomes = await to_thread.run_sync(self._write_all, [item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - whoever's it is gets it, and the next batch goes on
            if self._concerns_all(error):
                refusal = Unavailable(f"database: {str(error).partition(chr(10))[0] or type(error).__name__}")
                _fail(batch, refusal)
                return refusal
            if len(batch) == 1:
                _fail(batch, error)
                return None
            return await self._write_each(batch)
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            # Who asked may be gone; what it brought is stored all the same.
            if not future.done():
                future.set_result(outcome)
        return None

    async def _write_each(
        self, batch: Sequence[tuple[Item, "asyncio.Future[Outcome]"]]
    ) -> Unavailable | None:
        for done, one in enumerate(batch, start=1):
            refusal = await self._write([one])
            if refusal is not None:
                # All others wait behind these: nobody waits for the same refusal once more for each of them.
                _fail(batch[done:], refusal)
                return refusal
        return None

    def _concerns_all(self, error: Exception) -> bool:
        if isinstance(error, SQLAlchemyError):
            return not isinstance(error, _OF_AN_ITEM)
        return isinstance(error, self._away)


def _fail(batch: Sequence[tuple[Item, "asyncio.Future[Outcome]"]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
