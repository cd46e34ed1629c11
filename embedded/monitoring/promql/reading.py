"""From text to an expression that can be evaluated; what is not supported is refused here, never later."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import promql_parser as syntax

from embedded.monitoring.promql.aggregation import (
    AGGREGATIONS,
    ONE_GROUP,
    SELECTIONS,
    Aggregation,
    Grouping,
    Selection,
)
from embedded.monitoring.promql.arithmetic import ARITHMETIC, COMPARISONS
from embedded.monitoring.promql.binary import (
    ALL_LABELS,
    ManyToOne,
    Matching,
    OneToOne,
    ScalarOperation,
    ScaledVector,
    SetOperation,
)
from embedded.monitoring.promql.errors import InvalidQuery, refusing_depth
from embedded.monitoring.promql.functions import (
    ELEMENTWISE,
    OVER_RANGE,
    Absent,
    AsScalar,
    AsVector,
    Clamp,
    Elementwise,
    LabelReplace,
    OverRange,
    Round,
    Sorted,
    Timestamp,
)
from embedded.monitoring.promql.histogram import HistogramQuantile
from embedded.monitoring.promql.nodes import (
    Instant,
    InstantSelector,
    Negative,
    NegativeScalar,
    Number,
    RangeSelector,
    Scalar,
    Time,
)
from embedded.monitoring.store import NAME, Match, Matcher, Selector
from services.common.regex import InvalidRegex, regex

Node = Scalar | Instant | RangeSelector

MAX_CHARS = 2_000
"""Four times the longest of the rules and dashboards. The parser goes as deep into its stack as a text is
nested, without a limit of its own: a sum of 4,500 ones, 9,000 characters, ends the process."""
_SET_OPERATORS = ("and", "or", "unless")
_SIGNS = (
    (syntax.MatchOp.Equal, Match.EQUAL),
    (syntax.MatchOp.NotEqual, Match.NOT_EQUAL),
    (syntax.MatchOp.Re, Match.REGEX),
    (syntax.MatchOp.NotRe, Match.NOT_REGEX),
)


@dataclass(frozen=True)
class Expression:
    """An expression with the text that it was read from."""

    text: str
    root: Node


def read(text: str) -> Expression:
    """Read PromQL. Raises ``InvalidQuery`` for what is not PromQL, and for what is not evaluated here."""
    if len(text) > MAX_CHARS:
        raise InvalidQuery(
            f"an expression of {len(text):,} characters, and at most {MAX_CHARS:,} are read: {text[:100]!r}…"
        )
    try:
        parsed = syntax.parse(text)
        with refusing_depth():
            return Expression(text, _node(parsed))
    except (InvalidQuery, ValueError) as error:
        raise InvalidQuery(f"{error}: {text!r}") from error


def _node(part: syntax.Expr) -> Node:
    if isinstance(part, syntax.ParenExpr):
        return _node(part.expr)
    if isinstance(part, syntax.NumberLiteral):
        return Number(part.val)
    if isinstance(part, syntax.VectorSelector):
        return InstantSelector(_selector(part), _milliseconds(part.offset))
    if isinstance(part, syntax.MatrixSelector):
        inner = part.vector_selector
        return RangeSelector(_selector(inner), _milliseconds(part.range), _milliseconds(inner.offset))
    if isinstance(part, syntax.UnaryExpr):
        operand = _node(part.expr)
        return NegativeScalar(operand) if isinstance(operand, Scalar) else Negative(_as_instant(operand))
    if isinstance(part, syntax.Call):
        return _call(part.func.name, part.args)
    if isinstance(part, syntax.AggregateExpr):
        return _aggregation(part)
    if isinstance(part, syntax.BinaryExpr):
        return _binary(part)
    if isinstance(part, syntax.SubqueryExpr):
        raise InvalidQuery("subqueries are not supported")
    raise InvalidQuery(f"{type(part).__name__} is not supported here")


def _instant(part: syntax.Expr) -> Instant:
    return _as_instant(_node(part))


def _as_instant(node: Node) -> Instant:
    if not isinstance(node, Instant):
        raise InvalidQuery("an instant vector is needed")
    return node


def _scalar(part: syntax.Expr) -> Scalar:
    node = _node(part)
    if not isinstance(node, Scalar):
        raise InvalidQuery("a scalar is needed")
    return node


def _range(part: syntax.Expr) -> RangeSelector:
    node = _node(part)
    if not isinstance(node, RangeSelector):
        raise InvalidQuery("a range selector is needed")
    return node


def _string(part: syntax.Expr) -> str:
    if not isinstance(part, syntax.StringLiteral):
        raise InvalidQuery("a string is needed")
    return part.val


def _milliseconds(duration: timedelta | None) -> int:
    return round(duration.total_seconds() * 1000) if duration else 0


# Selectors


def _selector(part: syntax.VectorSelector) -> Selector:
    if part.at is not None:
        raise InvalidQuery("the @ modifier is not supported")
    if part.matchers.or_matchers:
        raise InvalidQuery("or between matchers is not supported")
    name = part.name
    matchers = []
    for parsed in part.matchers.matchers:
        sign = next(match for operator, match in _SIGNS if operator == parsed.op)
        matcher = Matcher(parsed.name, sign, parsed.value)
        if name is None and matcher.label == NAME and matcher.match is Match.EQUAL:
            name = matcher.value
        else:
            matchers.append(_readable(matcher))
    return Selector(name, tuple(matchers))


def _readable(matcher: Matcher) -> Matcher:
    """The matcher, if RE2 reads its regex too: the parser's are in Rust's dialect."""
    try:
        matcher.test()
    except InvalidRegex as error:
        raise InvalidQuery(f"the regex {matcher.value!r} is not supported: {error}") from error
    return matcher


# Functions


def _call(name: str, arguments: list[syntax.Expr]) -> Node:
    if name in OVER_RANGE:
        return OverRange(name, _range(arguments[0]))
    if name in ELEMENTWISE:
        return Elementwise(name, _instant(arguments[0]))
    if name not in _CALLS:
        raise InvalidQuery(f"the function {name}() is not supported")
    return _CALLS[name](arguments)


def _round(arguments: list[syntax.Expr]) -> Round:
    return Round(_instant(arguments[0]), _scalar(arguments[1]) if len(arguments) > 1 else Number(1.0))


def _label_replace(arguments: list[syntax.Expr]) -> LabelReplace:
    label, value, source, pattern = (_string(argument) for argument in arguments[1:])
    if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", label):
        raise InvalidQuery(f"invalid destination label name in label_replace(): {label}")
    try:
        return LabelReplace(_instant(arguments[0]), label, value, source, regex(pattern))
    except InvalidRegex as error:
        raise InvalidQuery(f"the regex {pattern!r} is not supported: {error}") from error


_CALLS: dict[str, Callable[[list[syntax.Expr]], Node]] = {
    "time": lambda _: Time(),
    "vector": lambda arguments: AsVector(_scalar(arguments[0])),
    "scalar": lambda arguments: AsScalar(_instant(arguments[0])),
    "timestamp": lambda arguments: Timestamp(_instant(arguments[0])),
    "absent": lambda arguments: Absent(_instant(arguments[0])),
    "absent_over_time": lambda arguments: Absent(_range(arguments[0])),
    "clamp": lambda arguments: Clamp(
        _instant(arguments[0]), lowest=_scalar(arguments[1]), highest=_scalar(arguments[2])
    ),
    "clamp_min": lambda arguments: Clamp(_instant(arguments[0]), lowest=_scalar(arguments[1])),
    "clamp_max": lambda arguments: Clamp(_instant(arguments[0]), highest=_scalar(arguments[1])),
    "round": _round,
    "sort": lambda arguments: Sorted(_instant(arguments[0]), descending=False),
    "sort_desc": lambda arguments: Sorted(_instant(arguments[0]), descending=True),
    "histogram_quantile": lambda arguments: HistogramQuantile(_scalar(arguments[0]), _instant(arguments[1])),
    "label_replace": _label_replace,
}


# Operators


def _aggregation(part: syntax.AggregateExpr) -> Instant:
    operator = str(part.op)
    grouping = _grouping(part.modifier)
    if operator in AGGREGATIONS:
        return Aggregation(operator, _instant(part.expr), grouping)
    if operator in SELECTIONS and part.param is not None:
        return Selection(operator == "topk", _scalar(part.param), _instant(part.expr), grouping)
    raise InvalidQuery(f"the aggregation {operator}() is not supported")


def _grouping(modifier: syntax.AggModifier | None) -> Grouping:
    if modifier is None:
        return ONE_GROUP
    return Grouping(by=modifier.type == syntax.AggModifierType.By, labels=frozenset(modifier.labels))


def _binary(part: syntax.BinaryExpr) -> Node:
    # The operator's text may carry its modifiers.
    sign = str(part.op).split()[0]
    if sign not in ARITHMETIC and sign not in COMPARISONS and sign not in _SET_OPERATORS:
        raise InvalidQuery(f"the operator {sign} is not supported")
    modifier = part.modifier
    as_bool = modifier is not None and modifier.return_bool
    left, right = _node(part.lhs), _node(part.rhs)
    if isinstance(left, Scalar) and isinstance(right, Scalar):
        return ScalarOperation(sign, left, right)
    if isinstance(left, Scalar):
        return ScaledVector(sign, _as_instant(right), left, number_first=True, as_bool=as_bool)
    if isinstance(right, Scalar):
        return ScaledVector(sign, _as_instant(left), right, number_first=False, as_bool=as_bool)
    return _between_vectors(sign, _as_instant(left), _as_instant(right), modifier)


def _between_vectors(
    sign: str, left: Instant, right: Instant, modifier: syntax.BinModifier | None
) -> Instant:
    if modifier is None:
        return OneToOne(sign, left, right, ALL_LABELS, as_bool=False)
    if modifier.fill_values.lhs is not None or modifier.fill_values.rhs is not None:
        raise InvalidQuery("fill values are not supported")
    matching = _matching(modifier.matching)
    if sign in _SET_OPERATORS:
        return SetOperation(sign, left, right, matching)
    if modifier.card == syntax.VectorMatchCardinality.OneToOne:
        return OneToOne(sign, left, right, matching, as_bool=modifier.return_bool)
    many_first = modifier.card == syntax.VectorMatchCardinality.ManyToOne
    return ManyToOne(
        sign,
        many=left if many_first else right,
        one=right if many_first else left,
        many_first=many_first,
        matching=matching,
        included=tuple(modifier.group_labels or ()),
        as_bool=modifier.return_bool,
    )


def _matching(modifier: syntax.LabelModifier | None) -> Matching:
    if modifier is None:
        return ALL_LABELS
    return Matching(on=modifier.type == syntax.LabelModifierType.Include, labels=frozenset(modifier.labels))
