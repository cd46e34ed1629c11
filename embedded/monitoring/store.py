"""The samples of the last hour, in memory.

Timestamps are whole milliseconds since the epoch, as Prometheus has them. A
series that ended has a stale marker as its last sample: from then on it is
gone at once, not after the look-back.
"""

import math
import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache

from services.common.regex import regex

Labels = tuple[tuple[str, str], ...]
"""A series' labels, its name among them as ``__name__``: pairs in the order of the names, none empty."""

NAME = "__name__"
RETENTION_MS = 3_600_000
MAX_SERIES = 50_000
_MAX_CACHED_SELECTIONS = 512

STALE = struct.unpack("<d", b"\x02\x00\x00\x00\x00\x00\xf8\x7f")[0]
"""The value that ends a series: a NaN that can be told from every NaN that a service exposes."""
_STALE_BYTES = struct.pack("<d", STALE)


class StoreFull(Exception):
    """There are as many series as may be kept."""


def is_stale(value: float) -> bool:
    """Whether a value is the marker that ends a series."""
    return value != value and struct.pack("<d", value) == _STALE_BYTES


def labels_of(pairs: dict[str, str]) -> Labels:
    """Labels in their one form: sorted, without the empty ones, which are as good as absent."""
    return tuple(sorted((name, value) for name, value in pairs.items() if value))


class Match(Enum):
    """How a label's value is compared."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


@dataclass(frozen=True)
class Matcher:
    """A condition on one label; a label that is absent has the value ``""``. Regexes match all of it."""

    label: str
    match: Match
    value: str

    def test(self) -> Callable[[str], bool]:
        """The condition as a function of the label's value. Raises ``InvalidRegex``."""
        if self.match is Match.EQUAL:
            return lambda value: value == self.value
        if self.match is Match.NOT_EQUAL:
            return lambda value: value != self.value
        matches = cache(regex(self.value).matches)  # the same few values stand at many series
        if self.match is Match.REGEX:
            return matches
        return lambda value: not matches(value)


@dataclass(frozen=True)
class Selector:
    """Which series are meant; ``name`` is the metric's name where it is given as such."""

    name: str | None
    matchers: tuple[Matcher, ...]


@dataclass(frozen=True)
class Window:
    """The samples of a series from ``start_ms`` to ``end_ms``, both included, without stale markers."""

    at_ms: Sequence[int]
    values: Sequence[float]
    start_ms: int
    end_ms: int


class Series:
    """One time series; its samples come in the order of their time.

    ``is_forgotten`` once the store has let go of it: what is appended then, no query sees.
    """

    __slots__ = ("_at_ms", "_values", "is_forgotten", "labels")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.is_forgotten = False
        self._at_ms = array("q")
        self._values = array("d")

    def append(self, at_ms: int, value: float) -> None:
        """Add a sample; one that is not later than the last is dropped, as Prometheus does."""
        if self._at_ms and at_ms <= self._at_ms[-1]:
            return
        self._at_ms.append(at_ms)
        self._values.append(value)

    def end(self, at_ms: int) -> None:
        """Say that the series is gone, unless that was said already."""
        if self._values and not is_stale(self._values[-1]):
            self.append(at_ms, STALE)

    def latest(self, at_ms: int, *, lookback_ms: int) -> tuple[int, float] | None:
        """The last sample at or before ``at_ms``; none if it is stale or older than the look-back."""
        place = bisect_right(self._at_ms, at_ms) - 1
        if place < 0 or self._at_ms[place] < at_ms - lookback_ms:
            return None
        value = self._values[place]
        return None if value != value and is_stale(value) else (self._at_ms[place], value)

    def window(self, start_ms: int, end_ms: int) -> Window:
        """The samples of a span of time, which may be none."""
        first = bisect_left(self._at_ms, start_ms)
        after = bisect_right(self._at_ms, end_ms, first)
        at_ms, values = self._at_ms[first:after], self._values[first:after]
        if any(map(math.isnan, values)):
            kept = [(at, value) for at, value in zip(at_ms, values, strict=True) if not is_stale(value)]
            return Window([at for at, _ in kept], [value for _, value in kept], start_ms, end_ms)
        return Window(at_ms, values, start_ms, end_ms)

    def forget_before(self, at_ms: int) -> bool:
        """Drop older samples; whether any is left."""
        keep_from = bisect_left(self._at_ms, at_ms)
        del self._at_ms[:keep_from]
        del self._values[:keep_from]
        return bool(self._at_ms)

    def __len__(self) -> int:
        return len(self._at_ms)


class Store:
    """All series. Bounded: by ``retention_ms`` in time, by ``max_series`` in number."""

    def __init__(self, *, retention_ms: int = RETENTION_MS, max_series: int = MAX_SERIES) -> None:
        self._retention_ms = retention_ms
        self._max_series = max_series
        self._series: dict[Labels, Series] = {}
        self._by_name: dict[str, list[Series]] = {}
        self._selections: dict[Selector, list[Series]] = {}

    def __len__(self) -> int:
        return len(self._series)

    def __iter__(self) -> Iterator[Series]:
        return iter(self._series.values())

    def series(self, labels: Labels) -> Series:
        """The series with these labels, made if need be. Raises ``StoreFull``."""
        found = self._series.get(labels)
        if found is not None:
            return found
        if len(self._series) >= self._max_series:
            raise StoreFull(f"{self._max_series} series are kept already")
        made = self._series[labels] = Series(labels)
        self._by_name.setdefault(dict(labels).get(NAME, ""), []).append(made)
        self._selections.clear()
        return made

    def select(self, selector: Selector) -> list[Series]:
        """The series that a selector means. Remembered until a series comes or goes."""
        found = self._selections.get(selector)
        if found is None:
            if len(self._selections) >= _MAX_CACHED_SELECTIONS:
                self._selections.clear()
            found = self._selections[selector] = list(self._search(selector))
        return found

    def prune(self, now_ms: int) -> None:
        """Forget samples beyond the retention, and series of which none is left."""
        oldest_ms = now_ms - self._retention_ms
        empty = [labels for labels, series in self._series.items() if not series.forget_before(oldest_ms)]
        if not empty:
            return
        for labels in empty:
            self._series.pop(labels).is_forgotten = True
        self._by_name = {}
        for series in self._series.values():
            self._by_name.setdefault(dict(series.labels).get(NAME, ""), []).append(series)
        self._selections.clear()

    def _search(self, selector: Selector) -> Iterator[Series]:
        tests = [(matcher.label, matcher.test()) for matcher in selector.matchers]
        named = selector.name is not None
        candidates = self._by_name.get(selector.name or "", []) if named else self._series.values()
        for series in candidates:
            labels = dict(series.labels)
            if all(test(labels.get(label, "")) for label, test in tests):
                yield series
