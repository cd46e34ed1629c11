"""Somebody of the back office corrects one customer's account and does not commit.

Seen as: payments and refunds of that customer hang (504 at the gateway) and keep their connections,
until the pool has none left and every route of this service answers 500; a session ``back-office``,
``idle in transaction``, at the head of the queue of those that wait.
Undone by: ending that session (``pg_terminate_backend``), or ``back_office`` = ``closed``.
"""

from services.common.failure_modes import FailureMode
from services.payment.world import PaymentWorld

CUSTOMER = 3


def enter(world: PaymentWorld, *, resume: bool) -> None:  # noqa: ARG001 (a restart ends the session either way)
    """Open the session; what a person has closed before stays closed."""
    world.correct_account(CUSTOMER)


def leave(world: PaymentWorld) -> None:
    """End the session."""
    world.end_correction()


MODE = FailureMode[PaymentWorld]("account_locked", enter=enter, leave=leave)
