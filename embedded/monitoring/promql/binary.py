"""Binary operators: between numbers and vectors, and between the elements of two vectors that match.

The rules of matching are those of Prometheus' engine (promql/engine.go,
``VectorBinop`` and ``resultMetric``).
"""

from collections.abc import Callable
from dataclasses import dataclass

from embedded.monitoring.promql.arithmetic import ARITHMETIC, COMPARISONS
from embedded.monitoring.promql.errors import ExecutionError
from embedded.monitoring.promql.nodes import Instant, Moment, Scalar, Vector, distinct, without_name
from embedded.monitoring.store import NAME, Labels


@dataclass(frozen=True)
class Matching:
    """Which labels decide that two elements belong together: those named, or (``on`` false) all others."""

    on: bool
    labels: frozenset[str]

    def key(self, labels: Labels) -> Labels:
        """What two elements that belong together have in common."""
        if self.on:
            return tuple(pair for pair in labels if pair[0] in self.labels)
        return tuple(pair for pair in labels if pair[0] not in self.labels and pair[0] != NAME)


ALL_LABELS = Matching(on=False, labels=frozenset())


@dataclass(frozen=True)
class ScalarOperation(Scalar):
    """Between two numbers; a comparison is 1 or 0."""

    sign: str
    left: Scalar
    right: Scalar

    def value(self, moment: Moment) -> float:
        return _computed(self.sign)(self.left.value(moment), self.right.value(moment))


@dataclass(frozen=True)
class ScaledVector(Instant):
    """Between each element of a vector and a number; ``number_first`` says which stands on the left.

    A comparison keeps the elements for which it holds, unless ``as_bool``.
    """

    sign: str
    operand: Instant
    number: Scalar
    number_first: bool
    as_bool: bool

    def vector(self, moment: Moment) -> Vector:
        number = self.number.value(moment)
        elements = self.operand.vector(moment).items()
        if self.sign in COMPARISONS and not self.as_bool:
            holds = COMPARISONS[self.sign]
            if self.number_first:
                return {labels: value for labels, value in elements if holds(number, value)}
            return {labels: value for labels, value in elements if holds(value, number)}
        compute = _computed(self.sign)
        if self.number_first:
            return distinct((without_name(labels), compute(number, value)) for labels, value in elements)
        return distinct((without_name(labels), compute(value, number)) for labels, value in elements)


@dataclass(frozen=True)
class OneToOne(Instant):
    """Between the elements of two vectors, each of which has at most one partner."""

    sign: str
    left: Instant
    right: Instant
    matching: Matching
    as_bool: bool

    def vector(self, moment: Moment) -> Vector:
        partners = _by_key(self.right.vector(moment), self.matching, side="right")
        filters = self.sign in COMPARISONS and not self.as_bool
        result: Vector = {}
        matched: set[Labels] = set()
        for labels, value in self.left.vector(moment).items():
            key = self.matching.key(labels)
            if key not in partners:
                continue
            computed = _computed(self.sign)(value, partners[key][1])
            if filters and not computed:
                continue
            if key in matched:
                raise ExecutionError(
                    "multiple matches for labels:"
                    " many-to-one matching must be explicit (group_left/group_right)"
                )
            matched.add(key)
            result[self._result_labels(labels, key, keep_name=filters)] = value if filters else computed
        return result

    def _result_labels(self, labels: Labels, key: Labels, *, keep_name: bool) -> Labels:
        if self.matching.on or not keep_name:
            return key
        return tuple(pair for pair in labels if pair[0] not in self.matching.labels)


@dataclass(frozen=True)
class ManyToOne(Instant):
    """``group_left`` and ``group_right``: each element of ``many`` with its one partner.

    ``many_first`` says that ``many`` stands on the operator's left;
    ``included`` are labels that are taken over from the partner.
    """

    sign: str
    many: Instant
    one: Instant
    many_first: bool
    matching: Matching
    included: tuple[str, ...]
    as_bool: bool

    def vector(self, moment: Moment) -> Vector:
        partners = _by_key(
            self.one.vector(moment), self.matching, side="right" if self.many_first else "left"
        )
        filters = self.sign in COMPARISONS and not self.as_bool
        compute = _computed(self.sign)
        result: Vector = {}
        for labels, value in self.many.vector(moment).items():
            partner = partners.get(self.matching.key(labels))
            if partner is None:
                continue
            left, right = (value, partner[1]) if self.many_first else (partner[1], value)
            computed = compute(left, right)
            if filters and not computed:
                continue
            named = self._result_labels(labels, partner[0], keep_name=filters)
            if named in result:
                raise ExecutionError(
                    "multiple matches for labels: grouping labels must ensure unique matches"
                )
            result[named] = left if filters else computed
        return result

    def _result_labels(self, labels: Labels, partner: Labels, *, keep_name: bool) -> Labels:
        kept = dict(labels if keep_name else without_name(labels))
        given = dict(partner)
        for label in self.included:
            kept.pop(label, None)
            if label in given:
                kept[label] = given[label]
        return tuple(sorted(kept.items()))


@dataclass(frozen=True)
class SetOperation(Instant):
    """``and``, ``or``, ``unless``: by whether an element has a partner on the other side."""

    sign: str
    left: Instant
    right: Instant
    matching: Matching

    def vector(self, moment: Moment) -> Vector:
        left, right = self.left.vector(moment), self.right.vector(moment)
        key = self.matching.key
        if self.sign == "or":
            present = {key(labels) for labels in left}
            return {**left, **{labels: v for labels, v in right.items() if key(labels) not in present}}
        present = {key(labels) for labels in right}
        wanted = self.sign == "and"
        return {labels: value for labels, value in left.items() if (key(labels) in present) is wanted}


def _computed(sign: str) -> Callable[[float, float], float]:
    if sign in ARITHMETIC:
        return ARITHMETIC[sign]
    comparison = COMPARISONS[sign]
    return lambda a, b: float(comparison(a, b))


def _by_key(vector: Vector, matching: Matching, *, side: str) -> dict[Labels, tuple[Labels, float]]:
    """The elements of the side that has one for each key. Raises ``ExecutionError`` when it has more."""
    found: dict[Labels, tuple[Labels, float]] = {}
    for labels, value in vector.items():
        key = matching.key(labels)
        if key in found:
            group = ", ".join(f'{name}="{value}"' for name, value in key)
            raise ExecutionError(
                f"found duplicate series for the match group {{{group}}} on the {side} hand-side of the"
                " operation: many-to-many matching not allowed: matching labels must be unique on one side"
            )
        found[key] = (labels, value)
    return found
