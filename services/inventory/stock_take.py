"""The stock-taking job: it locks the stock to count it, in a session of its own."""

from collections.abc import Callable

from sqlalchemy.engine import URL

from services.common.held_locks import HeldLocks

APPLICATION_NAME = "stock-take"
COUNT = (
    "SELECT sku, available FROM inventory.stock"
    " WHERE %(skus)s::text[] IS NULL OR sku = ANY(%(skus)s) ORDER BY sku FOR UPDATE"
)
"""Counts the articles ``skus``, or all of them without any."""


def stock_take(url: URL, *, on_ended: Callable[[], None]) -> HeldLocks:
    """The job; started with the parameter ``skus``. ``on_ended``: somebody ended its session in Postgres."""
    return HeldLocks(url, application_name=APPLICATION_NAME, statement=COUNT, on_ended=on_ended)
