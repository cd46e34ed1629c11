"""A stock-taking job locks every row of the stock and then idles in its transaction.

Seen as: reservations that hang, payments of orders answered 504; a session
``stock-take`` in ``pg_stat_activity``, ``idle in transaction``, blocking others.
Undone by: ending that session (``pg_terminate_backend``), or ``stock_take`` = ``stopped``.
"""

from services.common.failure_modes import FailureMode
from services.inventory.world import InventoryWorld


def enter(world: InventoryWorld, *, resume: bool) -> None:  # noqa: ARG001 (a restart ends the job either way)
    """Start the job; one that a person has stopped before stays stopped."""
    world.start_stock_take()


def leave(world: InventoryWorld) -> None:
    """Stop the job."""
    world.end_stock_take()


MODE = FailureMode[InventoryWorld]("lock_held", enter=enter, leave=leave)
