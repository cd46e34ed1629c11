"""What was last read from a backend, shared by every browser that looks at it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from services.web_ui.backends import Away, BackendError, Refused

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
RETRY_S = 2.0
"""A backend that is away is asked again this soon, whatever it is asked for."""
KEPT = 50
"""So many different questions of one kind are kept at once."""


@dataclass(frozen=True)
class Reading(Generic[T]):
    """What a backend said last, and what is wrong with it now.

    While a backend is away, ``value`` is its last answer and ``read_at`` says
    from when; both are ``None`` if there never was one.
    """

    value: T | None
    read_at: datetime | None
    error: BackendError | None

    @property
    def is_refused(self) -> bool:
        """Whether the backend is well, and said no."""
        return isinstance(self.error, Refused)


class Latest(Generic[T]):
    """One question to a backend: asked at most every ``every_s`` seconds, however many want to know."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[T]],
        *,
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._every_s = every_s
        self._clock = clock
        self._lock = asyncio.Lock()
        self._fetched_at: float | None = None
        self._changes = 0
        self._reading: Reading[T] = Reading(None, None, None)

    async def get(self) -> Reading[T]:
        """The reading, at most ``every_s`` seconds old."""
        async with self._lock:
            if self._is_old():
                changes = self._changes
                self._reading = await self._read()
                # What was asked before a change may have been answered before it, too.
                self._fetched_at = self._clock() if changes == self._changes else None
            return self._reading

    def forget(self) -> None:
        """Ask anew at the next ``get``: something was changed."""
        self._changes += 1
        self._fetched_at = None

    def _is_old(self) -> bool:
        if self._fetched_at is None:
            return True
        lasts_s = min(self._every_s, RETRY_S) if self._reading.error else self._every_s
        return self._clock() - self._fetched_at >= lasts_s

    async def _read(self) -> Reading[T]:
        try:
            return Reading(await self._fetch(), datetime.now(UTC), None)
        except Away as error:
            return Reading(self._reading.value, self._reading.read_at, error)
        except BackendError as error:
            return Reading(None, None, error)


class Readings(Generic[K, T]):
    """The readings of many questions of one kind; the question that was asked first is let go first."""

    def __init__(self, fetch: Callable[[K], Awaitable[T]], *, every_s: float) -> None:
        self._fetch = fetch
        self._every_s = every_s
        self._kept: dict[K, Latest[T]] = {}

    def of(self, question: K) -> Latest[T]:
        """The reading of one question."""
        if question not in self._kept:
            while len(self._kept) >= KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[question] = Latest(lambda: self._fetch(question), every_s=self._every_s)
        return self._kept[question]

    def forget(self) -> None:
        """Ask all of them anew: something was changed."""
        for latest in self._kept.values():
            latest.forget()
