"""Taking alerts in: a bounded number under way, stored in batches that share one commit."""

import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import replace

from services.alert_ingestion import metrics
from services.alert_ingestion.arrival import Arrival, Stored
from services.alert_ingestion.correlation import Outcome, Raced
from services.alert_ingestion.openings import Openings
from services.alert_ingestion.store import Alerts
from services.common.errors import TooManyRequests, Unprocessable
from services.common.group_commit import GroupCommit

BATCH_LIMIT = 250
MAX_READING = 64
BODY_ROOM_BYTES = 16 * 1024 * 1024
SMALL_BODY_BYTES = 8 * 1024
"""A body up to this size needs none of the room: how many there may be at once bounds them."""


class Intake:
    """Alerts on their way from a request into the database and into their incident."""

    def __init__(
        self, alerts: Alerts, openings: Openings, *, max_in_flight: int, max_body_bytes: int
    ) -> None:
        self._openings = openings
        self._max_in_flight = max_in_flight
        self._max_body_bytes = max_body_bytes
        self._in_flight = 0
        self._reading = 0
        self._body_bytes = 0
        self._commits: GroupCommit[Arrival, Outcome] = GroupCommit(
            alerts.record, limit=BATCH_LIMIT, away=(Raced,)
        )
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

    @contextmanager
    def body(self, announced_bytes: int | None) -> Iterator[None]:
        """Room for a body, from before it is read until it is answered: if no length is announced, the most.

        Raises ``TooManyRequests`` when there is none. A body that is bigger than
        all the room there is, is let in when no other has any.
        """
        size_bytes = self._max_body_bytes if announced_bytes is None else announced_bytes
        if size_bytes <= SMALL_BODY_BYTES:
            yield
            return
        if self._body_bytes and self._body_bytes + size_bytes > BODY_ROOM_BYTES:
            metrics.refused.inc()
            raise TooManyRequests(f"bodies of {self._body_bytes} bytes are under way: try again later")
        self._body_bytes += size_bytes
        try:
            yield
        finally:
            self._body_bytes -= size_bytes

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Room to read a webhook in, of which nobody knows yet how many alerts it holds.

        Raises ``TooManyRequests`` when so many are being read that what they hold would fill the memory.
        """
        if self._reading >= MAX_READING:
            raise TooManyRequests(f"{self._reading} webhooks are being read: try again later")
        self._reading += 1
        try:
            yield
        finally:
            self._reading -= 1

    async def take(self, arrival: Arrival) -> Stored:
        """Store an alert and wait a while for its incident; without one it is pending, and safe.

        Raises ``Unavailable`` when it could not be stored, ``Unprocessable``
        when its key came with another alert before.
        """
        outcome = await self._commits.submit(arrival)
        if not isinstance(outcome, Stored):
            raise Unprocessable("this Idempotency-Key was used for a different request")
        if outcome.incident_id is not None or outcome.opening is None:
            return outcome
        return replace(outcome, incident_id=await self._openings.incident_for(outcome.opening))

    def running(self) -> AbstractAsyncContextManager[None]:
        """Store what comes while the block lasts; what is left at its end is answered to nobody as stored."""
        return self._commits.running()
