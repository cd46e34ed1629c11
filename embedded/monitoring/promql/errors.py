"""What can be wrong with a query."""

from collections.abc import Iterator
from contextlib import contextmanager


class QueryError(Exception):
    """A query that has no answer."""


class InvalidQuery(QueryError):
    """Not PromQL, or PromQL that this engine does not evaluate. The message says what and where."""


class ExecutionError(QueryError):
    """A query that cannot be answered over the samples that there are, for instance an ambiguous match."""


@contextmanager
def refusing_depth() -> Iterator[None]:
    """Refuse, as ``InvalidQuery``, what is nested deeper than Python's stack goes."""
    try:
        yield
    except RecursionError as error:
        raise InvalidQuery("the expression is nested too deeply") from error
