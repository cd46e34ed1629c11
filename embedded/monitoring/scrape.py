"""Scraping: each target at a fixed beat, its samples into the store, and what vanished marked as stale."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import httpx
import structlog

from embedded.monitoring.exposition import ExpositionError, samples, series_labels
from embedded.monitoring.store import NAME, Labels, Series, Store, StoreFull, labels_of
from embedded.monitoring.targets import Target

log = structlog.get_logger()

MAX_BODY_BYTES = 8 * 2**20
MAX_SAMPLES = 10_000
_ACCEPT = {"accept": "text/plain;version=0.0.4;q=1,*/*;q=0.1", "user-agent": "firedrill-monitoring"}


class ScrapeFailed(Exception):
    """A target that gave no samples; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """How the last scrape of a target went; ``health`` is in Prometheus' words."""

    health: Literal["up", "down", "unknown"] = "unknown"
    error: str = ""
    began_at: datetime | None = None
    duration_s: float = 0.0


class Scraper:
    """Scrapes one target. ``clock`` gives seconds since the epoch."""

    def __init__(
        self,
        target: Target,
        *,
        store: Store,
        client: httpx.AsyncClient,
        timeout_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.target = target
        self.outcome = Outcome()
        self._store = store
        self._client = client
        self.timeout_s = timeout_s
        self._clock = clock
        self._known: dict[str, Series] = {}
        """Series by the text that names them: their labels are read once."""
        self._present: set[str] = set()
        own = {name: labels_of({NAME: name, **target.labels}) for name in _OWN_METRICS}
        self._own: dict[str, Labels] = own

    async def run(self, *, interval_s: float, offset_s: float) -> None:
        """Scrape for ever, ``offset_s`` after each full interval. A scrape that is late leaves one out."""
        while True:
            now_s = self._clock()
            await asyncio.sleep(interval_s - (now_s - offset_s) % interval_s)
            await self.scrape()

    async def scrape(self) -> None:
        """Scrape once. A target that cannot be scraped is down, which is a sample too."""
        at_ms = int(self._clock() * 1000)
        began_s = time.perf_counter()
        error, added = "", 0
        try:
            added = self._add(await self._fetch(), at_ms)
        except (ScrapeFailed, ExpositionError, StoreFull) as failure:
            error = str(failure)
            self._end_missing(set(), at_ms)
        duration_s = time.perf_counter() - began_s
        self._note(error, at_ms=at_ms, duration_s=duration_s)
        self._add_own(at_ms, up=not error, duration_s=duration_s, samples=added)

    async def _fetch(self) -> str:
        try:
            async with asyncio.timeout(self.timeout_s):
                async with self._client.stream("GET", self.target.url, headers=_ACCEPT) as answer:
                    if answer.status_code != 200:
                        raise ScrapeFailed(f"server returned HTTP status {answer.status_code}")
                    return await _text(answer)
        except TimeoutError as error:
            raise ScrapeFailed(f"no answer within {self.timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise ScrapeFailed(f"{type(error).__name__}: {error}") from error
        except UnicodeDecodeError as error:
            raise ScrapeFailed(f"not UTF-8: {error}") from error

    def _add(self, body: str, at_ms: int) -> int:
        """Add all samples or, when one of them cannot be read, none."""
        read = list(self._read(body))
        for _, series, value in read:
            series.append(at_ms, value)
        self._end_missing({text for text, _, _ in read}, at_ms)
        return len(read)

    def _read(self, body: str) -> Iterator[tuple[str, Series, float]]:
        # Known is what was read whole: of a body that breaks off, the store forgets the empty series again.
        new: dict[str, Series] = {}
        for count, (text, value) in enumerate(samples(body)):
            if count >= MAX_SAMPLES:
                raise ScrapeFailed(f"more than {MAX_SAMPLES} samples")
            series = self._known[text] if text in self._known else new.get(text)
            # As when nothing was scraped for an hour, because the machine slept.
            if series is None or series.is_forgotten:
                series = new[text] = self._store.series(self._labels(text))
            yield text, series, value
        self._known |= new

    def _labels(self, text: str) -> Labels:
        name, exposed = series_labels(text)
        given = self.target.labels
        own = {f"exported_{label}" if label in given else label: v for label, v in exposed.items()}
        return labels_of({**own, **given, NAME: name})

    def _end_missing(self, present: set[str], at_ms: int) -> None:
        for text in self._present - present:
            # The store forgets an ended series some day; one that comes back is looked up anew.
            self._known.pop(text).end(at_ms)
        self._present = present

    def _add_own(self, at_ms: int, *, up: bool, duration_s: float, samples: int) -> None:
        values = {
            "up": float(up),
            "scrape_duration_seconds": duration_s,
            "scrape_samples_scraped": float(samples),
        }
        try:
            for name, labels in self._own.items():
                self._store.series(labels).append(at_ms, values[name])
        except StoreFull as error:
            log.error("scrape.store_full", job=self.target.job, error=str(error))

    def _note(self, error: str, *, at_ms: int, duration_s: float) -> None:
        if error and error != self.outcome.error:
            log.warning("scrape.failed", job=self.target.job, url=self.target.url, error=error)
        elif not error and self.outcome.error:
            log.info("scrape.recovered", job=self.target.job)
        began_at = datetime.fromtimestamp(at_ms / 1000, UTC)
        self.outcome = Outcome("down" if error else "up", error, began_at, duration_s)


_OWN_METRICS = ("up", "scrape_duration_seconds", "scrape_samples_scraped")


async def _text(answer: httpx.Response) -> str:
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ScrapeFailed(f"more than {MAX_BODY_BYTES} bytes")
    return body.decode()
