"""PromQL, as much of it as rules, dashboards and the console need.

Instant and range selectors with offset; the functions and operators that
``reading`` knows. Not: subqueries, ``@``, native histograms, ``count_values``,
``quantile``, ``stddev``. Where versions differ it follows Prometheus 2.
"""

from embedded.monitoring.promql.errors import ExecutionError, InvalidQuery, QueryError, refusing_depth
from embedded.monitoring.promql.nodes import Instant, Moment, RangeSelector, Scalar, Vector
from embedded.monitoring.promql.reading import Expression, read

__all__ = [
    "ExecutionError",
    "Expression",
    "Instant",
    "InvalidQuery",
    "Moment",
    "QueryError",
    "RangeSelector",
    "Scalar",
    "Vector",
    "read",
    "refusing_depth",
]
