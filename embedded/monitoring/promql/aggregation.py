"""Aggregation operators: many elements of a vector become one for each group, or the topmost of it."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from embedded.monitoring.numbers import scientific
from embedded.monitoring.promql.errors import ExecutionError
from embedded.monitoring.promql.nodes import Instant, Moment, Scalar, Vector
from embedded.monitoring.store import NAME, Labels


@dataclass(frozen=True)
class Grouping:
    """``by`` the labels named, or ``without`` them (``by`` false)."""

    by: bool
    labels: frozenset[str]

    def key(self, labels: Labels) -> Labels:
        """The labels of the group to which an element belongs."""
        if self.by:
            return tuple(pair for pair in labels if pair[0] in self.labels)
        return tuple(pair for pair in labels if pair[0] not in self.labels and pair[0] != NAME)


ONE_GROUP = Grouping(by=True, labels=frozenset())


def _smallest(values: Sequence[float]) -> float:
    return min((value for value in values if value == value), default=math.nan)


def _largest(values: Sequence[float]) -> float:
    return max((value for value in values if value == value), default=math.nan)


AGGREGATIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "sum": sum,
    "avg": lambda values: sum(values) / len(values),
    "min": _smallest,
    "max": _largest,
    "count": lambda values: float(len(values)),
    "group": lambda _values: 1.0,
}
SELECTIONS = ("topk", "bottomk")
_INT64_END = 2.0**63


@dataclass(frozen=True)
class Aggregation(Instant):
    """One of ``AGGREGATIONS`` over each group."""

    operator: str
    operand: Instant
    grouping: Grouping

    def vector(self, moment: Moment) -> Vector:
        groups: dict[Labels, list[float]] = {}
        key = self.grouping.key
        for labels, value in self.operand.vector(moment).items():
            groups.setdefault(key(labels), []).append(value)
        aggregate = AGGREGATIONS[self.operator]
        return {labels: aggregate(values) for labels, values in groups.items()}


@dataclass(frozen=True)
class Selection(Instant):
    """``topk`` and ``bottomk``: the so many largest or smallest of each group, with all their labels."""

    largest: bool
    count: Scalar
    operand: Instant
    grouping: Grouping

    def vector(self, moment: Moment) -> Vector:
        count = _whole(self.count.value(moment))
        if count < 1:
            return {}
        return {labels: value for group in self._groups(moment) for labels, value in group[:count]}

    def _groups(self, moment: Moment) -> Iterator[list[tuple[Labels, float]]]:
        groups: dict[Labels, list[tuple[Labels, float]]] = {}
        for labels, value in self.operand.vector(moment).items():
            groups.setdefault(self.grouping.key(labels), []).append((labels, value))
        sign = -1 if self.largest else 1
        for group in groups.values():
            # What is not a number comes last, whichever end is asked for.
            group.sort(key=lambda element: (math.isnan(element[1]), sign * element[1]))
            yield group


def _whole(number: float) -> int:
    """Without its fraction. Raises ``ExecutionError`` for what no int64 is, NaN as well: as Prometheus 2."""
    if not -_INT64_END <= number < _INT64_END:
        raise ExecutionError(f"Scalar value {scientific(number)} overflows int64")
    return int(number)
