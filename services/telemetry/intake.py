"""Taking telemetry in: a bounded number of requests under way, stored in batches before they are answered."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from services.common.body_limit import whole_body
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
BIGGEST_AT_ONCE = 2
"""So many bodies of the greatest size fit into the service's memory: parsed, each takes seven times it."""
_REASONS = {400: "malformed", 408: "slow", 413: "too_big", 422: "malformed", 429: "busy", 503: "database"}

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
            with self._admission():
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
    def _admission(self) -> Iterator[None]:
        if self._in_flight >= self._max_in_flight:
            raise self._busy()
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    @contextmanager
    def _room(self, size_bytes: int) -> Iterator[None]:
        """Room for a body until it is stored. A small one needs none: their number bounds them."""
        if size_bytes <= SMALL_BODY_BYTES:
            yield
            return
        if self._bytes_in_flight + size_bytes > BIGGEST_AT_ONCE * self._max_body_bytes:
            raise self._busy()
        self._bytes_in_flight += size_bytes
        try:
            yield
        finally:
            self._bytes_in_flight -= size_bytes

    def _busy(self) -> TooManyRequests:
        return TooManyRequests(f"{self._in_flight} requests are under way: try again later")

    def _announced(self, request: Request) -> int:
        """The size of the body as its sender says; the greatest if that is not said."""
        announced = request.headers.get("content-length", "")
        return int(announced) if announced.isdecimal() else self._max_body_bytes

    async def _take(self, request: Request, *, parse: Callable[[bytes], tuple[T, Arrivals]]) -> tuple[T, int]:
        announced_bytes = self._announced(request)
        with self._room(announced_bytes):
            body = await whole_body(request)
            encoding = request.headers.get("content-encoding", "identity").strip().lower()
            if encoding != "identity":
                decode = partial(decoded, body, encoding=encoding, at_most=self._max_body_bytes)
                body = await to_thread.run_sync(decode, limiter=self._parsers)
            # What a compressed body holds is known only now.
            with self._room(len(body) - announced_bytes):
                return await self._store(body, parse=parse)

    async def _store(self, body: bytes, *, parse: Callable[[bytes], tuple[T, Arrivals]]) -> tuple[T, int]:
        is_small = len(body) <= SMALL_BODY_BYTES
        parsed, arrivals = (
            parse(body) if is_small else await to_thread.run_sync(parse, body, limiter=self._parsers)
        )
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
