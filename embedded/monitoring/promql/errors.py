"""What can be wrong with a query."""


class QueryError(Exception):
    """A query that has no answer."""


class InvalidQuery(QueryError):
    """Not PromQL, or PromQL that this engine does not evaluate. The message says what and where."""


class ExecutionError(QueryError):
    """A query that cannot be answered over the samples that there are, for instance an ambiguous match."""
