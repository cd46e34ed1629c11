"""Numbers as Go writes them."""

import math
from decimal import Decimal

_EXPONENT_FROM = 21
_EXPONENT_BELOW = -4


def plain(value: float) -> str:
    """Never with an exponent, with the digits that it takes: how Prometheus' API writes samples."""
    if not math.isfinite(value):
        return _not_finite(value)
    text = format(Decimal(repr(value)), "f")
    return text.removesuffix(".0")


def shortest(value: float) -> str:
    """With an exponent only when it is below -4 or from 21 on: how templates write a value."""
    if not math.isfinite(value):
        return _not_finite(value)
    exponent = Decimal(repr(value)).adjusted() if value else 0
    if _EXPONENT_BELOW <= exponent < _EXPONENT_FROM:
        return plain(value)
    return scientific(value)


def scientific(value: float) -> str:
    """Always with an exponent of two digits or more: how Prometheus' API writes an alert's value."""
    if not math.isfinite(value):
        return _not_finite(value)
    number = Decimal(repr(value)).normalize()
    exponent = number.adjusted() if value else 0
    mantissa = format(number.scaleb(-exponent), "f")
    return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _not_finite(value: float) -> str:
    if value != value:
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"
