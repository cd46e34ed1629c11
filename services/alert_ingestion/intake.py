"""Taking alerts in: a bounded number under way, stored in batches that share one commit.

While one batch is being written, the alerts that come meanwhile gather and
become the next one. So a single alert waits for nobody, and a storm pays for
one commit in many alerts.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

from anyio import to_thread
from sqlalchemy.exc import SQLAlchemyError

from services.alert_ingestion import metrics
from services.alert_ingestion.arrival import Arrival, Stored
from services.alert_ingestion.correlation import Outcome, Raced
from services.alert_ingestion.openings import Openings
from services.alert_ingestion.store import Alerts
from services.common.errors import TooManyRequests, Unavailable, Unprocessable

BATCH_LIMIT = 250

Waiting = tuple[Arrival, "asyncio.Future[Outcome]"]


class Intake:
    """Alerts on their way from a request into the database and into their incident."""

    def __init__(self, alerts: Alerts, openings: Openings, *, max_in_flight: int) -> None:
        self._alerts = alerts
        self._openings = openings
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._waiting: list[Waiting] = []
        self._arrived = asyncio.Event()
        metrics.in_flight.set_function(lambda: self._in_flight)

    @contextmanager
    def admission(self, count: int = 1) -> Iterator[None]:
        """Room for so many alerts, from before their body is read until they are answered.

        Raises ``TooManyRequests`` when there is none. A group that is bigger
        than all the room there is, is let in when nothing else is under way.
        """
        if self._in_flight and self._in_flight + count > self._max_in_flight:
            metrics.refused.inc(count)
            raise TooManyRequests(f"{self._in_flight} alerts are under way: try again later")
        self._in_flight += count
        started = time.perf_counter()
        try:
            yield
        finally:
            self._in_flight -= count
            metrics.ingestion.observe(time.perf_counter() - started)

    async def take(self, arrival: Arrival) -> Stored:
        """Store an alert and wait a while for its incident; without one it is pending, and safe.

        Raises ``Unavailable`` when it could not be stored, ``Unprocessable``
        when its key came with another alert before.
        """
        outcome = await self._stored(arrival)
        if not isinstance(outcome, Stored):
            raise Unprocessable("this Idempotency-Key was used for a different request")
        if outcome.incident_id is not None or outcome.opening is None:
            return outcome
        return replace(outcome, incident_id=await self._openings.incident_for(outcome.opening))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Store what comes while the block lasts; what is left at its end is answered to nobody as stored."""
        writer = asyncio.create_task(self._keep_writing())
        try:
            yield
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    def _stored(self, arrival: Arrival) -> "asyncio.Future[Outcome]":
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((arrival, future))
        self._arrived.set()
        return future

    async def _keep_writing(self) -> None:
        while True:
            await self._arrived.wait()
            batch, self._waiting = self._waiting[:BATCH_LIMIT], self._waiting[BATCH_LIMIT:]
            if not self._waiting:
                self._arrived.clear()
            await self._write(batch)

    async def _write(self, batch: Sequence[Waiting]) -> None:
        try:
            outcomes = await to_thread.run_sync(self._alerts.record, [arrival for arrival, _ in batch])
        except (SQLAlchemyError, Raced) as error:
            refusal = Unavailable(f"database: {str(error).partition(chr(10))[0] or type(error).__name__}")
            _fail(batch, refusal)
            return
        except Exception as error:  # noqa: BLE001 - it is every request's of the batch, and the next batch goes on
            _fail(batch, error)
            return
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            # Who asked may be gone; the alert is stored all the same.
            if not future.done():
                future.set_result(outcome)


def _fail(batch: Sequence[Waiting], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
