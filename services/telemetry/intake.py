"""Taking telemetry in: a bounded number of requests under way, stored before they are answered.

While one batch of requests is being written, those that come meanwhile gather
and become the next one: a single request waits for nobody, and many share a
commit.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from pydantic import ValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from services.common.errors import ServiceError, TooManyRequests, Unavailable
from services.telemetry import metrics
from services.telemetry.encoding import decoded
from services.telemetry.records import Arrivals
from services.telemetry.store import Store

PARSERS = 2
"""Requests that are parsed at the same time; more would only wait for each other."""
SMALL_BODY_BYTES = 4096
"""What is parsed faster than another thread is asked to."""
_DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeoutError)
_REASONS = {400: "malformed", 413: "too_big", 422: "malformed", 429: "busy", 503: "database"}

T = TypeVar("T")
Waiting = tuple[Arrivals, "asyncio.Future[int]"]


class Intake:
    """Requests with telemetry on their way into the database."""

    def __init__(self, store: Store, *, max_in_flight: int, max_body_bytes: int) -> None:
        self._store = store
        self._max_in_flight = max_in_flight
        self._max_body_bytes = max_body_bytes
        self._in_flight = 0
        self._parsers = CapacityLimiter(PARSERS)
        self._waiting: list[Waiting] = []
        self._arrived = asyncio.Event()
        metrics.in_flight.set_function(lambda: self._in_flight)

    async def take(
        self, request: Request, *, door: str, parse: Callable[[bytes], tuple[T, Arrivals]]
    ) -> tuple[T, int]:
        """Read, parse and store what a request brings: what ``parse`` made of it, and how many rows are new.

        Raises ``TooManyRequests`` when too much is under way, ``Unavailable``
        when the database does not take it, and what ``parse`` raises.
        """
        started = time.perf_counter()
        try:
            with self._admission():
                taken = await self._take(request, parse=parse)
        except (ServiceError, HTTPException, ValidationError) as error:
            metrics.refused.labels(_reason(error)).inc()
            raise
        metrics.ingest.labels(door).observe(time.perf_counter() - started)
        return taken

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Store what comes while the block lasts."""
        writer = asyncio.create_task(self._keep_writing())
        try:
            yield
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    @contextmanager
    def _admission(self) -> Iterator[None]:
        if self._in_flight >= self._max_in_flight:
            raise TooManyRequests(f"{self._in_flight} requests are under way: try again later")
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    async def _take(self, request: Request, *, parse: Callable[[bytes], tuple[T, Arrivals]]) -> tuple[T, int]:
        body = await request.body()
        encoding = request.headers.get("content-encoding", "identity").strip().lower()

        def read() -> tuple[T, Arrivals]:
            return parse(decoded(body, encoding=encoding, at_most=self._max_body_bytes))

        is_small = len(body) <= SMALL_BODY_BYTES and encoding == "identity"
        parsed, arrivals = read() if is_small else await to_thread.run_sync(read, limiter=self._parsers)
        for kind, count in arrivals.seen.items():
            metrics.received.labels(kind).inc(count)
        return parsed, 0 if arrivals.is_empty else await self._stored(arrivals)

    def _stored(self, arrivals: Arrivals) -> "asyncio.Future[int]":
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((arrivals, future))
        self._arrived.set()
        return future

    async def _keep_writing(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch, self._waiting = self._waiting, []
            await self._write(batch)

    async def _write(self, batch: Sequence[Waiting]) -> None:
        try:
            counts = await to_thread.run_sync(self._store.add, [arrivals for arrivals, _ in batch])
        except _DATABASE_AWAY as error:
            _fail(batch, Unavailable(f"database: {str(error).partition(chr(10))[0]}"))
        except Exception as error:  # noqa: BLE001 - it is a request's of the batch, and the next batch goes on
            # One of them brought what the database does not take: that is no other's fault.
            if len(batch) == 1:
                _fail(batch, error)
            else:
                for one in batch:
                    await self._write([one])
        else:
            for (_, future), count in zip(batch, counts, strict=True):
                # Who asked may be gone; what it brought is stored all the same.
                if not future.done():
                    future.set_result(count)


def _fail(batch: Sequence[Waiting], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)


def _reason(error: ServiceError | HTTPException | ValidationError) -> str:
    match error:
        case ServiceError():
            return _REASONS.get(error.status, "other")
        case HTTPException():
            return _REASONS.get(error.status_code, "other")
    return "malformed"
