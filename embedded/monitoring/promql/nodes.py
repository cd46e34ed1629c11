"""An expression, ready to be evaluated: what its parts have in common, and the simplest of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from embedded.monitoring.promql.errors import ExecutionError
from embedded.monitoring.store import NAME, Labels, Selector, Store, Window

LOOKBACK_MS = 300_000
"""How old the last sample of a series may be that did not end: Prometheus' default."""

Vector = dict[Labels, float]
"""One value for each series, in an order that only sorting functions give."""


@dataclass(frozen=True)
class Moment:
    """What an expression is evaluated over, and when: ``at_ms`` is milliseconds since the epoch."""

    store: Store
    at_ms: int
    lookback_ms: int = LOOKBACK_MS


class Scalar(ABC):
    """An expression whose value is one number."""

    @abstractmethod
    def value(self, moment: Moment) -> float:
        """Its value. Raises ``ExecutionError``."""


class Instant(ABC):
    """An expression whose value is a vector."""

    @abstractmethod
    def vector(self, moment: Moment) -> Vector:
        """Its value. Raises ``ExecutionError``."""


@dataclass(frozen=True)
class Number(Scalar):
    """A literal."""

    number: float

    def value(self, moment: Moment) -> float:  # noqa: ARG002
        return self.number


class Time(Scalar):
    """``time()``: the moment of evaluation in seconds since the epoch."""

    def value(self, moment: Moment) -> float:
        return moment.at_ms / 1000


@dataclass(frozen=True)
class InstantSelector(Instant):
    """The last sample of each series that matches."""

    selector: Selector
    offset_ms: int = 0

    def vector(self, moment: Moment) -> Vector:
        return {labels: value for labels, _, value in self.samples(moment)}

    def samples(self, moment: Moment) -> Iterator[tuple[Labels, int, float]]:
        """Each series with the time (milliseconds) and the value of its last sample."""
        at_ms = moment.at_ms - self.offset_ms
        for series in moment.store.select(self.selector):
            latest = series.latest(at_ms, lookback_ms=moment.lookback_ms)
            if latest is not None:
                yield series.labels, *latest


@dataclass(frozen=True)
class RangeSelector:
    """The samples of each series that matches, over ``range_ms``."""

    selector: Selector
    range_ms: int
    offset_ms: int = 0

    def windows(self, moment: Moment) -> Iterator[tuple[Labels, Window]]:
        """Each series that has samples in the range. Both ends belong to it, as in Prometheus 2."""
        end_ms = moment.at_ms - self.offset_ms
        for series in moment.store.select(self.selector):
            window = series.window(end_ms - self.range_ms, end_ms)
            if window.at_ms:
                yield series.labels, window


@dataclass(frozen=True)
class Negative(Instant):
    """``-vector``."""

    operand: Instant

    def vector(self, moment: Moment) -> Vector:
        return unnamed((labels, -value) for labels, value in self.operand.vector(moment).items())


@dataclass(frozen=True)
class NegativeScalar(Scalar):
    """``-scalar``."""

    operand: Scalar

    def value(self, moment: Moment) -> float:
        return -self.operand.value(moment)


def without_name(labels: Labels) -> Labels:
    """Labels less the metric's name: what is computed is no longer that metric."""
    return tuple(pair for pair in labels if pair[0] != NAME)


def unnamed(samples: Iterable[tuple[Labels, float]]) -> Vector:
    """A vector of what was computed, under labels without the metric's name.

    Raises ``ExecutionError`` when two series differ in nothing else.
    """
    return distinct((without_name(labels), value) for labels, value in samples)


def distinct(samples: Iterable[tuple[Labels, float]]) -> Vector:
    """A vector; raises ``ExecutionError`` when two of its series have the same labels."""
    vector: Vector = {}
    for labels, value in samples:
        if labels in vector:
            raise ExecutionError("vector cannot contain metrics with the same labelset")
        vector[labels] = value
    return vector
