"""Signals: log lines shipped to ``${PRODSENTINEL_URL}/ingest/logs`` as well.

A bounded queue and one background task; a receiver that hangs or is down never
slows a request. What it did not take is sent again, under the same ids, as long
as the queue has room; what is not shipped is counted in ``signals_dropped_total``.
What waits when the service ends goes out with it, to a receiver that takes it at once.
"""

import asyncio
import collections
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import httpx
from structlog.typing import EventDict

from services.common import metrics

QUEUE_LIMIT = 2000
BATCH_SIZE = 200
PROBE_SIZE = 20
"""While the receiver is away: encoding stops every request."""
SHIP_EVERY_S = 2.0
TIMEOUT_S = 3.0
SHUTDOWN_S = 0.3

_LEVELS = {"debug": "INFO", "info": "INFO", "warning": "WARNING", "error": "ERROR", "critical": "CRITICAL"}
_OWN_FIELDS = frozenset({"timestamp", "level", "event", "service", "trace_id", "span_id"})

Signal = dict[str, Any]
Outcome = Literal["taken", "refused", "away"]


class SignalShipper:
    """Turns log lines into signals and posts them in batches."""

    def __init__(self, service: str, base_url: str) -> None:
        self._url = base_url.rstrip("/") + "/ingest/logs"
        self._service = service
        self._queue: collections.deque[Signal] = collections.deque()
        self._dropped = metrics.signals_dropped.labels(service)
        self._is_away = False

    def observe(self, line: EventDict) -> None:
        """Queue one log line; drop it when the queue is full."""
        if len(self._queue) >= QUEUE_LIMIT:
            self._dropped.inc()
            return
        self._queue.append(
            {
                "signal_id": str(uuid.uuid4()),
                "trace_id": line.get("trace_id"),
                "service_name": self._service,
                "timestamp": line["timestamp"],
                "level": _LEVELS.get(line["level"], "INFO"),
                "message": str(line["event"]),
                "attributes": {k: v for k, v in line.items() if k not in _OWN_FIELDS and k[0] != "_"},
            }
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ship while the block lasts, and at its end what is there, for ``SHUTDOWN_S`` at most."""
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            task = asyncio.create_task(self._keep_shipping(client))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait([task])
                await self._ship_the_rest(client)

    async def ship_all(self, client: httpx.AsyncClient) -> None:
        """Ship what waits, until nothing does or the receiver is away."""
        while self._queue:
            size = PROBE_SIZE if self._is_away else BATCH_SIZE
            batch = [self._queue.popleft() for _ in range(min(size, len(self._queue)))]
            try:
                outcome = await self._ship(client, batch)
            except asyncio.CancelledError:
                self._queue.extendleft(reversed(batch))
                raise
            self._is_away = outcome == "away"
            if outcome == "refused":
                self._dropped.inc(len(batch))
            if outcome == "away":
                self._queue.extendleft(reversed(batch))
                return

    async def _ship_the_rest(self, client: httpx.AsyncClient) -> None:
        try:
            async with asyncio.timeout(SHUTDOWN_S):
                await self.ship_all(client)
        except TimeoutError:
            self._dropped.inc(len(self._queue))

    async def _keep_shipping(self, client: httpx.AsyncClient) -> None:
        while True:
            await asyncio.sleep(SHIP_EVERY_S)
            await self.ship_all(client)

    async def _ship(self, client: httpx.AsyncClient, batch: list[Signal]) -> Outcome:
        try:
            # A log line here would become a signal itself; the metric tells instead.
            answer = await client.post(
                self._url,
                content=json.dumps(batch, default=str),
                headers={"content-type": "application/json"},
            )
        except httpx.HTTPError:
            return "away"
        if answer.status_code >= 500 or answer.status_code == 429:
            return "away"
        return "taken" if answer.is_success else "refused"
