"""Asking incident-management for incidents, many at a time, until it has answered.

Alerts that wait are asked for at once. What nobody waits for any more is in
the database, and taken up from there: after a failure, or after the process
that had stored it has died.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import sentry_sdk
import structlog
from anyio import to_thread
from sqlalchemy.exc import SQLAlchemyError

from services.alert_ingestion.arrival import Opening
from services.alert_ingestion.store import Alerts
from services.common.client import Dependency
from services.common.errors import ServiceError, UpstreamFailed
from services.common.poller import Poller

log = structlog.get_logger()

NAME = "alert-ingestion"
CALL_TIMEOUT_S = 2.0
SWEEP_EVERY_S = 0.5
BATCH_LIMIT = 200
ASKERS = 2
"""While one batch is on its way the next one is asked for."""


class Openings:
    """Incidents that are asked for and not there yet."""

    def __init__(self, alerts: Alerts, incident_management: Dependency, *, wait_s: float) -> None:
        self._alerts = alerts
        self._incident_management = incident_management
        self._wait_s = wait_s
        self._wanted: dict[Opening, asyncio.Future[UUID | None]] = {}
        self._queue: asyncio.Queue[Opening] = asyncio.Queue()
        self._is_away = False

    async def incident_for(self, opening: Opening) -> UUID | None:
        """The incident of an opening, with its alerts in it; ``None`` if it cannot be had in time.

        While incident-management is away nobody is kept waiting to find that out again.
        """
        if self._is_away:
            return None
        future = self._want(opening)
        try:
            async with asyncio.timeout(self._wait_s):
                return await asyncio.shield(future)
        except TimeoutError:
            return None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask while the block lasts."""
        tasks = [asyncio.create_task(self._keep_asking()) for _ in range(ASKERS)]
        try:
            async with Poller("sweep", self._sweep, every_s=SWEEP_EVERY_S).running():
                yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._incident_management.aclose()

    def _want(self, opening: Opening) -> "asyncio.Future[UUID | None]":
        if opening not in self._wanted:
            self._wanted[opening] = asyncio.get_running_loop().create_future()
            self._queue.put_nowait(opening)
        return self._wanted[opening]

    async def _keep_asking(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < BATCH_LIMIT and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            # Who comes while we ask waits for the same answer, so what is asked for stays until it is in.
            found = await self._open(batch)
            for opening in batch:
                self._wanted.pop(opening).set_result(found.get(opening.key))

    async def _open(self, batch: list[Opening]) -> dict[UUID, UUID]:
        """The incidents by key; empty when they cannot be had now."""
        try:
            found = await self._ask(batch)
            await to_thread.run_sync(self._alerts.settle, list(found))
        except (ServiceError, SQLAlchemyError) as error:
            if not self._is_away:
                log.warning("incidents.postponed", count=len(batch), error=str(error).partition("\n")[0])
            self._is_away = True
            return {}
        except Exception as error:
            # These alerts stay pending, and the next ones are asked for all the same.
            sentry_sdk.capture_exception(error)
            log.error("incidents.failed", count=len(batch), error=repr(error), exc_info=error)
            return {}
        if self._is_away:
            log.info("incidents.back", count=len(batch))
        self._is_away = False
        return found

    async def _ask(self, batch: list[Opening]) -> dict[UUID, UUID]:
        wanted = [
            {
                "title": opening.title,
                "service": opening.service,
                "severity": opening.severity,
                "idempotency_key": str(opening.key),
            }
            for opening in batch
        ]
        answer = await self._incident_management.call(
            "POST",
            "/api/v1/incidents/batch",
            at_most_s=CALL_TIMEOUT_S,
            json={"incidents": wanted},
            headers={"x-actor": NAME},
        )
        if 400 <= answer.status_code < 500 and len(batch) > 1:
            # One that is refused must not keep the others out.
            half = len(batch) // 2
            return await self._ask(batch[:half]) | await self._ask(batch[half:])
        if answer.status_code == 422:
            log.error("incident.refused", key=str(batch[0].key), answer=answer.text[:200])
            return {}
        if answer.status_code != 201:
            raise UpstreamFailed(f"incident-management: status {answer.status_code}: {answer.text[:200]}")
        try:
            items = answer.json()["items"]
            return {UUID(one["idempotency_key"]): UUID(one["incident_id"]) for one in items}
        except (ValueError, KeyError, TypeError) as error:
            raise UpstreamFailed(f"incident-management: not understood: {answer.text[:200]}") from error

    async def _sweep(self) -> None:
        # In a storm too: what a replica that died has left must not wait until it is over.
        for opening in await to_thread.run_sync(self._take_up):
            self._want(opening)

    def _take_up(self) -> list[Opening]:
        """Settle what a process that died has left, and claim what has not been asked for with success."""
        left = self._alerts.unsettled(limit=BATCH_LIMIT)
        if left:
            self._alerts.settle(left)
        return self._alerts.claim_waiting(limit=BATCH_LIMIT)
