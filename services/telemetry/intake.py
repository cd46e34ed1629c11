"""Taking telemetry in: a bounded number of requests under way, stored in batches before they are answered."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from services.common.errors import ServiceError, TooManyRequests
from services.common.group_commit import GroupCommit
from services.telemetry import metrics
from services.telemetry.encoding import decoded
from services.telemetry.records import Arrivals
from services.telemetry.store import Store

PARSERS = 2
"""Requests that are parsed at the same time; more would only wait for each other."""
SMALL_BODY_BYTES = 4096
"""What is parsed faster than another thread is asked to."""
BIGGEST_AT_ONCE = 4
"""So many bodies of the greatest size fit into the service's memory: parsed, each takes several times it."""
_REASONS = {400: "malformed", 413: "too_big", 422: "malformed", 429: "busy", 503: "database"}

T = TypeVar("T")


class Intake:
    """Requests with telemetry on their way into the database."""

    def __init__(self, store: Store, *, max_in_flight: int, max_body_bytes: int) -> None:
        self._max_in_flight = max_in_flight
        self._max_body_bytes = max_body_bytes
        self._in_flight = 0
        self._bytes_in_flight = 0
        self._parsers = CapacityLimiter(PARSERS)
        self._commits: GroupCommit[Arrivals, int] = GroupCommit(store.add, limit=max_in_flight)
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
            with self._admission(self._announced(request)):
                taken = await self._take(request, parse=parse)
        except (ServiceError, HTTPException, ValidationError) as error:
            metrics.refused.labels(_reason(error)).inc()
            raise
        metrics.ingest.labels(door).observe(time.perf_counter() - started)
        return taken

    def running(self) -> AbstractAsyncContextManager[None]:
        """Store what comes while the block lasts."""
        return self._commits.running()

    @contextmanager
    def _admission(self, size_bytes: int) -> Iterator[None]:
        room_bytes = BIGGEST_AT_ONCE * self._max_body_bytes - self._bytes_in_flight
        if self._in_flight >= self._max_in_flight or size_bytes > room_bytes:
            raise TooManyRequests(f"{self._in_flight} requests are under way: try again later")
        self._in_flight += 1
        self._bytes_in_flight += size_bytes
        try:
            yield
        finally:
            self._in_flight -= 1
            self._bytes_in_flight -= size_bytes

    def _announced(self, request: Request) -> int:
        """The size of the body as its sender says; the greatest if that is not said."""
        announced = request.headers.get("content-length", "")
        return int(announced) if announced.isdecimal() else self._max_body_bytes

    async def _take(self, request: Request, *, parse: Callable[[bytes], tuple[T, Arrivals]]) -> tuple[T, int]:
        body = await request.body()
        encoding = request.headers.get("content-encoding", "identity").strip().lower()

        def read() -> tuple[T, Arrivals]:
            return parse(decoded(body, encoding=encoding, at_most=self._max_body_bytes))

        is_small = len(body) <= SMALL_BODY_BYTES and encoding == "identity"
        parsed, arrivals = read() if is_small else await to_thread.run_sync(read, limiter=self._parsers)
        for kind, count in arrivals.seen.items():
            metrics.received.labels(kind).inc(count)
        return parsed, 0 if arrivals.is_empty else await self._commits.submit(arrivals)


def _reason(error: ServiceError | HTTPException | ValidationError) -> str:
    match error:
        case ServiceError():
            return _REASONS.get(error.status, "other")
        case HTTPException():
            return _REASONS.get(error.status_code, "other")
    return "malformed"
