"""Work that a service does beside its requests: again and again, and sooner when it is woken."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import sentry_sdk
import structlog
from sqlalchemy.exc import SQLAlchemyError

from services.common.errors import ServiceError

log = structlog.get_logger()


class Poller:
    """Does ``work`` every ``every_s`` seconds while it runs, and as soon as it is woken.

    No error ends it. That the database or another service is away is a warning;
    anything else is an error of our own, logged with its traceback. After
    either the next round waits its time, woken or not: what fails needs no more
    callers now.
    """

    def __init__(self, name: str, work: Callable[[], Awaitable[None]], *, every_s: float) -> None:
        self._name = name
        self._work = work
        self._every_s = every_s
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def wake(self) -> None:
        """Have a round at once; may be called from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._woken.set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work while the block lasts; the round that is under way at its end is cancelled."""
        self._loop = asyncio.get_running_loop()
        task = asyncio.create_task(self._keep_working(), name=self._name)
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _keep_working(self) -> None:
        while True:
            # Not `wait_for`: before Python 3.12 a wake-up that comes with the cancellation swallows it.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._woken.wait()
            self._woken.clear()
            if not await self._round():
                await asyncio.sleep(self._every_s)

    async def _round(self) -> bool:
        try:
            await self._work()
        except (ServiceError, SQLAlchemyError) as error:
            log.warning(f"{self._name}.postponed", error=str(error).partition("\n")[0])
        except Exception as error:
            sentry_sdk.capture_exception(error)
            log.error(f"{self._name}.failed", error=repr(error), exc_info=error)
        else:
            return True
        return False
