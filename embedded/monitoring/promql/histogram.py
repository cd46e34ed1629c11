"""``histogram_quantile`` over cumulative buckets (Prometheus 2.42, promql/quantile.go)."""

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from embedded.monitoring.promql.nodes import Instant, Moment, Scalar, Vector
from embedded.monitoring.store import NAME, Labels

Buckets = dict[float, float]
"""How many observations are at most so large, by upper bound."""


@dataclass(frozen=True)
class HistogramQuantile(Instant):
    """The quantile of each histogram among the elements, which are its buckets by their label ``le``."""

    quantile: Scalar
    buckets: Instant

    def vector(self, moment: Moment) -> Vector:
        quantile = self.quantile.value(moment)
        histograms: dict[Labels, Buckets] = {}
        for labels, bound, count in _bounded(self.buckets.vector(moment)):
            buckets = histograms.setdefault(labels, {})
            # 0.5 and 0.50 are one bucket.
            buckets[bound] = buckets.get(bound, 0.0) + count
        return {labels: bucket_quantile(quantile, buckets) for labels, buckets in histograms.items()}


def bucket_quantile(quantile: float, buckets: Buckets) -> float:
    """Interpolated linearly within the bucket that the quantile falls into.

    NaN without observations or without a bucket ``+Inf``; the last finite
    bound when the quantile lies beyond it.
    """
    if quantile != quantile:
        return math.nan
    if quantile < 0 or quantile > 1:
        return math.copysign(math.inf, quantile)
    bounds = sorted(buckets)
    if len(bounds) < 2 or bounds[-1] != math.inf:
        return math.nan
    counts = _rising([buckets[bound] for bound in bounds])
    if counts[-1] == 0 or counts[-1] != counts[-1]:
        return math.nan
    rank = quantile * counts[-1]
    place = bisect_left(counts, rank, 0, len(counts) - 1)
    if place == len(bounds) - 1:
        return bounds[-2]
    if place == 0 and bounds[0] <= 0:
        return bounds[0]
    start, below = (bounds[place - 1], counts[place - 1]) if place else (0.0, 0.0)
    within = counts[place] - below
    return start + (bounds[place] - start) * ((rank - below) / within) if within else math.nan


def _rising(counts: list[float]) -> list[float]:
    """Buckets that were scraped or computed apart may fall; each has at least what the one below has."""
    highest = -math.inf
    for place, count in enumerate(counts):
        highest = counts[place] = max(highest, count)
    return counts


def _bounded(vector: Vector) -> Iterator[tuple[Labels, float, float]]:
    for labels, count in vector.items():
        bound = next((value for name, value in labels if name == "le"), None)
        try:
            upper = float(bound) if bound is not None else math.nan
        except ValueError:
            continue
        if upper == upper:
            yield tuple(pair for pair in labels if pair[0] not in ("le", NAME)), upper, count
