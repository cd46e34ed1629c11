"""The primary acquirer refuses the cards of one range, with a code that this release does not know.

Seen as: payments of the customers with such a card answered 500, a ``ValueError`` for each that names
the range; all other payments are well.
Undone by: ``backup_card_ranges`` with that range, or ``acquirer`` = ``backup``.
"""

from services.common.failure_modes import FailureMode
from services.payment.world import PaymentWorld

ACQUIRER = "primary"
CARD_RANGE = "424242"


def enter(world: PaymentWorld, *, resume: bool) -> None:
    """Let the acquirer refuse them; it goes on doing so whatever restarts here."""
    if not resume:
        world.ledger.set_refusals(ACQUIRER, card_ranges=[CARD_RANGE])


def leave(world: PaymentWorld) -> None:
    """Let the acquirer take all cards again."""
    world.ledger.set_refusals(ACQUIRER, card_ranges=[])


MODE = FailureMode[PaymentWorld]("card_range_declined", enter=enter, leave=leave)
