"""PromQL's functions, those that rules, dashboards and the console need."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from embedded.monitoring.promql.arithmetic import divided
from embedded.monitoring.promql.nodes import (
    Instant,
    InstantSelector,
    Moment,
    RangeSelector,
    Scalar,
    Vector,
    distinct,
    unnamed,
)
from embedded.monitoring.store import NAME, Labels, Match, Window
from services.common.regex import Regex

_REFERENCE = re.compile(r"\$(?:(\w+)|\{(\w+)\}|(\$))")


# Over a range of samples


def _extrapolated(window: Window, *, is_counter: bool) -> float | None:
    """How much a value rose, extrapolated to the whole window (promql/functions.go, ``extrapolatedRate``)."""
    at_ms, values = window.at_ms, window.values
    if len(values) < 2:
        return None
    rise = values[-1] - values[0]
    if is_counter:
        rise += sum(before for before, after in pairwise(values) if after < before)
    sampled_s = (at_ms[-1] - at_ms[0]) / 1000
    between_s = sampled_s / (len(values) - 1)
    to_start_s = (at_ms[0] - window.start_ms) / 1000
    to_end_s = (window.end_ms - at_ms[-1]) / 1000
    if is_counter and rise > 0 and values[0] >= 0:
        # A counter was not below zero, however far back the window goes.
        to_start_s = min(to_start_s, sampled_s * values[0] / rise)
    threshold_s = between_s * 1.1
    covered_s = sampled_s
    covered_s += to_start_s if to_start_s < threshold_s else between_s / 2
    covered_s += to_end_s if to_end_s < threshold_s else between_s / 2
    return rise * (covered_s / sampled_s)


def _rate(window: Window) -> float | None:
    rise = _extrapolated(window, is_counter=True)
    return None if rise is None else rise / ((window.end_ms - window.start_ms) / 1000)


def _last_step(window: Window, *, is_rate: bool) -> float | None:
    if len(window.values) < 2:
        return None
    before, last = window.values[-2], window.values[-1]
    if not is_rate:
        return last - before
    rise = last if last < before else last - before
    return rise / ((window.at_ms[-1] - window.at_ms[-2]) / 1000)


def _changes(window: Window) -> float:
    return float(sum(a != b and not (a != a and b != b) for a, b in pairwise(window.values)))


def _resets(window: Window) -> float:
    return float(sum(b < a for a, b in pairwise(window.values)))


def _largest(window: Window) -> float:
    return max((value for value in window.values if value == value), default=math.nan)


def _smallest(window: Window) -> float:
    return min((value for value in window.values if value == value), default=math.nan)


OVER_RANGE: dict[str, Callable[[Window], float | None]] = {
    "rate": _rate,
    "increase": lambda window: _extrapolated(window, is_counter=True),
    "delta": lambda window: _extrapolated(window, is_counter=False),
    "irate": lambda window: _last_step(window, is_rate=True),
    "idelta": lambda window: _last_step(window, is_rate=False),
    "changes": _changes,
    "resets": _resets,
    "avg_over_time": lambda window: sum(window.values) / len(window.values),
    "min_over_time": _smallest,
    "max_over_time": _largest,
    "sum_over_time": lambda window: sum(window.values),
    "count_over_time": lambda window: float(len(window.values)),
    "last_over_time": lambda window: window.values[-1],
    "present_over_time": lambda _window: 1.0,
}
_KEEPS_NAME = "last_over_time"


@dataclass(frozen=True)
class OverRange(Instant):
    """One of ``OVER_RANGE`` for each series."""

    function: str
    operand: RangeSelector

    def vector(self, moment: Moment) -> Vector:
        compute = OVER_RANGE[self.function]
        windows = self.operand.windows(moment)
        computed = [(labels, result) for labels, w in windows if (result := compute(w)) is not None]
        return dict(computed) if self.function == _KEEPS_NAME else unnamed(computed)


# Element by element


def _defined(function: Callable[[float], float]) -> Callable[[float], float]:
    """Where Python raises, Go has NaN or an infinity."""

    def compute(value: float) -> float:
        try:
            return float(function(value))
        except ValueError:
            return -math.inf if value == 0 else math.nan
        except OverflowError:
            return value if math.isinf(value) else math.inf

    return compute


def _sign(value: float) -> float:
    return value if value != value or value == 0 else math.copysign(1.0, value)


def _whole(function: Callable[[float], int]) -> Callable[[float], float]:
    return lambda value: float(function(value)) if math.isfinite(value) else value


ELEMENTWISE: dict[str, Callable[[float], float]] = {
    "abs": abs,
    "ceil": _whole(math.ceil),
    "floor": _whole(math.floor),
    "exp": _defined(math.exp),
    "sqrt": lambda value: math.sqrt(value) if value >= 0 else math.nan,
    "ln": _defined(math.log),
    "log2": _defined(math.log2),
    "log10": _defined(math.log10),
    "sgn": _sign,
}


@dataclass(frozen=True)
class Elementwise(Instant):
    """One of ``ELEMENTWISE`` for each element."""

    function: str
    operand: Instant

    def vector(self, moment: Moment) -> Vector:
        compute = ELEMENTWISE[self.function]
        return unnamed((labels, compute(value)) for labels, value in self.operand.vector(moment).items())


@dataclass(frozen=True)
class Clamp(Instant):
    """Each element, but not below ``lowest`` nor above ``highest``; nothing if these cross."""

    operand: Instant
    lowest: Scalar | None = None
    highest: Scalar | None = None

    def vector(self, moment: Moment) -> Vector:
        lowest = self.lowest.value(moment) if self.lowest else -math.inf
        highest = self.highest.value(moment) if self.highest else math.inf
        if highest < lowest:
            return {}
        elements = self.operand.vector(moment).items()
        if lowest != lowest or highest != highest:
            return unnamed((labels, math.nan) for labels, _ in elements)
        # In this order what is not a number stays what it is.
        return unnamed((labels, min(max(value, lowest), highest)) for labels, value in elements)


@dataclass(frozen=True)
class Round(Instant):
    """Each element to the nearest multiple of ``to``, halves upwards."""

    operand: Instant
    to: Scalar

    def vector(self, moment: Moment) -> Vector:
        per_step = divided(1.0, self.to.value(moment))

        def rounded(value: float) -> float:
            scaled = value * per_step + 0.5
            return divided(math.floor(scaled), per_step) if math.isfinite(scaled) else value

        return unnamed((labels, rounded(value)) for labels, value in self.operand.vector(moment).items())


# Between numbers and vectors, and what is not there


@dataclass(frozen=True)
class AsVector(Instant):
    """``vector(scalar)``: one element without labels."""

    number: Scalar

    def vector(self, moment: Moment) -> Vector:
        return {(): self.number.value(moment)}


@dataclass(frozen=True)
class AsScalar(Scalar):
    """``scalar(vector)``: the value of the only element, NaN unless there is just one."""

    operand: Instant

    def value(self, moment: Moment) -> float:
        vector = self.operand.vector(moment)
        return next(iter(vector.values())) if len(vector) == 1 else math.nan


@dataclass(frozen=True)
class Timestamp(Instant):
    """When the samples of a selector were taken, in seconds since the epoch."""

    operand: Instant

    def vector(self, moment: Moment) -> Vector:
        if isinstance(self.operand, InstantSelector):
            return unnamed((labels, at_ms / 1000) for labels, at_ms, _ in self.operand.samples(moment))
        return unnamed((labels, moment.at_ms / 1000) for labels in self.operand.vector(moment))


@dataclass(frozen=True)
class Absent(Instant):
    """1 when the operand is empty, under the labels that its selector asks to be equal to something."""

    operand: Instant | RangeSelector

    def vector(self, moment: Moment) -> Vector:
        if isinstance(self.operand, RangeSelector):
            present = any(True for _ in self.operand.windows(moment))
        else:
            present = bool(self.operand.vector(moment))
        return {} if present else {self._labels(): 1.0}

    def _labels(self) -> Labels:
        if not isinstance(self.operand, InstantSelector | RangeSelector):
            return ()
        equal: dict[str, str] = {}
        seen: set[str] = set()
        for matcher in self.operand.selector.matchers:
            if matcher.label == NAME:
                continue
            if matcher.match is Match.EQUAL and matcher.label not in seen:
                equal[matcher.label] = matcher.value
            else:
                # Asked for twice: what its value would be is not known.
                equal.pop(matcher.label, None)
            seen.add(matcher.label)
        return tuple(sorted((label, value) for label, value in equal.items() if value))


# Order and labels


@dataclass(frozen=True)
class Sorted(Instant):
    """The elements in the order of their values, what is not a number last."""

    operand: Instant
    descending: bool

    def vector(self, moment: Moment) -> Vector:
        sign = -1 if self.descending else 1
        elements = self.operand.vector(moment).items()
        return dict(sorted(elements, key=lambda element: (math.isnan(element[1]), sign * element[1])))


@dataclass(frozen=True)
class LabelReplace(Instant):
    """Set a label from another that ``pattern`` matches entirely; ``$1`` in ``value`` is its first group."""

    operand: Instant
    label: str
    value: str
    source: str
    pattern: Regex

    def vector(self, moment: Moment) -> Vector:
        return distinct((self._relabelled(labels), v) for labels, v in self.operand.vector(moment).items())

    def _relabelled(self, labels: Labels) -> Labels:
        pairs = dict(labels)
        caught = self.pattern.groups(pairs.get(self.source, ""))
        if caught is None:
            return labels
        pairs.pop(self.label, None)
        value = _REFERENCE.sub(lambda reference: _group(caught, reference), self.value)
        if value:
            pairs[self.label] = value
        return tuple(sorted(pairs.items()))


def _group(caught: Mapping[str, str], reference: re.Match[str]) -> str:
    return "$" if reference[3] else caught.get(reference[1] or reference[2], "")
