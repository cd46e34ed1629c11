"""Answering queries: one moment, or many of them in a row without holding up the scrapes."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from embedded.monitoring.promql import (
    Expression,
    Instant,
    InvalidQuery,
    Moment,
    RangeSelector,
    Scalar,
    Vector,
    refusing_depth,
)
from embedded.monitoring.store import Labels, Store, Window

MAX_STEPS = 11_000
"""Prometheus' own limit."""
TIMEOUT_S = 10.0

Points = list[tuple[int, float]]
"""Times in Unix milliseconds, each with a value."""


class QueryTimedOut(Exception):
    """A query took longer than ``TIMEOUT_S``."""


@dataclass(frozen=True)
class Steps:
    """The moments of a range query: from ``start_ms`` to ``end_ms``, both included."""

    start_ms: int
    end_ms: int
    step_ms: int

    def __post_init__(self) -> None:
        if self.end_ms < self.start_ms:
            raise InvalidQuery("end timestamp must not be before start time")
        if self.step_ms <= 0:
            raise InvalidQuery(
                "zero or negative query resolution step widths are not accepted. Try a positive integer"
            )
        if (self.end_ms - self.start_ms) / self.step_ms > MAX_STEPS:
            raise InvalidQuery(
                f"exceeded maximum resolution of {MAX_STEPS:,} points per timeseries."
                " Try decreasing the query resolution (?step=XX)"
            )

    def moments(self) -> Sequence[int]:
        """Unix milliseconds."""
        return range(self.start_ms, self.end_ms + 1, self.step_ms)


def instant(expression: Expression, store: Store, at_ms: int) -> float | Vector | list[tuple[Labels, Window]]:
    """The value at one moment: a number, a vector, or for a range selector the samples themselves.

    Raises ``ExecutionError``, and ``InvalidQuery`` for what is nested too deeply.
    """
    moment = Moment(store, at_ms)
    root = expression.root
    with refusing_depth():
        if isinstance(root, Scalar):
            return root.value(moment)
        if isinstance(root, RangeSelector):
            return list(root.windows(moment))
        return root.vector(moment)


async def over_range(expression: Expression, store: Store, steps: Steps) -> dict[Labels, Points]:
    """The values at each step, by series.

    Raises ``ExecutionError``, ``QueryTimedOut``, and ``InvalidQuery`` for a range selector and for what is
    nested too deeply.
    """
    root = expression.root
    if isinstance(root, RangeSelector):
        raise InvalidQuery(
            'invalid expression type "range vector" for range query, must be Scalar or instant Vector'
        )
    ends_at_s = time.monotonic() + TIMEOUT_S
    series: dict[Labels, Points] = {}
    for at_ms in steps.moments():
        for labels, value in _at(root, Moment(store, at_ms)).items():
            series.setdefault(labels, []).append((at_ms, value))
        if time.monotonic() > ends_at_s:
            raise QueryTimedOut(f"query timed out after {TIMEOUT_S:g} s: {expression.text!r}")
        await asyncio.sleep(0)
    return series


def _at(root: Scalar | Instant, moment: Moment) -> Vector:
    with refusing_depth():
        return {(): root.value(moment)} if isinstance(root, Scalar) else root.vector(moment)
