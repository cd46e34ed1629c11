"""The primary acquirer declines every payment, with a code that this release does not know.

Seen as: payments answered 500, a ``ValueError`` at level ERROR for each.
Undone by: ``acquirer`` = ``backup``.
"""

from services.common.failure_modes import FailureMode
from services.payment.ledger import Ledger

ACQUIRER = "primary"


def enter(ledger: Ledger, *, resume: bool) -> None:
    """Let the acquirer decline; it goes on doing so whatever restarts here."""
    if not resume:
        ledger.set_acceptance(ACQUIRER, accepts=False)


def leave(ledger: Ledger) -> None:
    """Let the acquirer accept again."""
    ledger.set_acceptance(ACQUIRER, accepts=True)


MODE = FailureMode[Ledger]("decline", enter=enter, leave=leave)
