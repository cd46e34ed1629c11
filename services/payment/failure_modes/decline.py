"""The primary acquirer declines every payment, with a code that this release does not know.

Seen as: payments answered 500, a ``ValueError`` at level ERROR for each.
Undone by: ``acquirer`` = ``backup``.
"""

from services.common.failure_modes import FailureMode
from services.payment.world import PaymentWorld

ACQUIRER = "primary"


def enter(world: PaymentWorld, *, resume: bool) -> None:
    """Let the acquirer decline; it goes on doing so whatever restarts here."""
    if not resume:
        world.ledger.set_acceptance(ACQUIRER, accepts=False)


def leave(world: PaymentWorld) -> None:
    """Let the acquirer accept again."""
    world.ledger.set_acceptance(ACQUIRER, accepts=True)


MODE = FailureMode[PaymentWorld]("decline", enter=enter, leave=leave)
