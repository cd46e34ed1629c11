"""Numbers as Go computes them: divisions by zero and overflows have values and raise nothing."""

import math
import operator
from collections.abc import Callable

Operator = Callable[[float, float], float]
Comparison = Callable[[float, float], bool]


def divided(a: float, b: float) -> float:
    """IEEE 754 division."""
    if b:
        return a / b
    if a == 0 or a != a or b != b:
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def _remainder(a: float, b: float) -> float:
    try:
        return math.fmod(a, b)
    except ValueError:
        return math.nan


def _power(a: float, b: float) -> float:
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0 and b % 2 == 1 else math.inf
    except ValueError:
        # Zero to a negative power, and a negative number to a broken one.
        return math.inf if a == 0 else math.nan


ARITHMETIC: dict[str, Operator] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": divided,
    "%": _remainder,
    "^": _power,
}
COMPARISONS: dict[str, Comparison] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
