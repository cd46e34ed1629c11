"""Taking telemetry in: a bounded number of requests under way, each stored before it is answered."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from services.common.errors import ServiceError, TooManyRequests, Unavailable
from services.telemetry import metrics
from services.telemetry.encoding import decoded
from services.telemetry.records import Arrivals
from services.telemetry.store import Store

WRITERS = 3
"""Requests that are parsed and stored at the same time; more would only wait for each other."""
_REASONS = {400: "malformed", 413: "too_big", 422: "malformed", 429: "busy", 503: "database"}

T = TypeVar("T")


class Intake:
    """Requests with telemetry on their way into the database."""

    def __init__(self, store: Store, *, max_in_flight: int, max_body_bytes: int) -> None:
        self._store = store
        self._max_in_flight = max_in_flight
        self._max_body_bytes = max_body_bytes
        self._in_flight = 0
        self._writers = CapacityLimiter(WRITERS)
        metrics.in_flight.set_function(lambda: self._in_flight)

    async def take(
        self, request: Request, *, door: str, parse: Callable[[bytes], T], arrivals: Callable[[T], Arrivals]
    ) -> tuple[T, int]:
        """Read, parse and store what a request brings: what ``parse`` made of it, and how many rows are new.

        Raises ``TooManyRequests`` when too much is under way, ``Unavailable``
        when the database does not take it, and what ``parse`` raises.
        """
        started = time.perf_counter()
        try:
            taken = await self._admitted(request, parse=parse, arrivals=arrivals)
        except ServiceError as error:
            metrics.refused.labels(_REASONS.get(error.status, "other")).inc()
            raise
        except ValidationError:
            metrics.refused.labels("malformed").inc()
            raise
        except HTTPException as error:
            metrics.refused.labels(_REASONS.get(error.status_code, "other")).inc()
            raise
        metrics.ingest.labels(door).observe(time.perf_counter() - started)
        return taken

    async def _admitted(
        self, request: Request, *, parse: Callable[[bytes], T], arrivals: Callable[[T], Arrivals]
    ) -> tuple[T, int]:
        with self._admission():
            body = await request.body()
            encoding = request.headers.get("content-encoding", "identity").strip().lower()

            def store() -> tuple[T, int]:
                parsed = parse(decoded(body, encoding=encoding, at_most=self._max_body_bytes))
                return parsed, self._store.add(arrivals(parsed))

            try:
                return await to_thread.run_sync(store, limiter=self._writers)
            except SQLAlchemyError as error:
                raise Unavailable(f"database: {str(error).partition(chr(10))[0]}") from error

    @contextmanager
    def _admission(self) -> Iterator[None]:
        if self._in_flight >= self._max_in_flight:
            raise TooManyRequests(f"{self._in_flight} requests are under way: try again later")
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
