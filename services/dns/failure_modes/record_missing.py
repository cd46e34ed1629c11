"""The zone loses the record ``fraud-api``.

Seen as: NXDOMAIN for ``fraud-api.internal.corp``; payments and refunds above
1,000 that need a fraud check answer 503, everything else is well.
Undone by: the record (``PUT /ops/records/fraud-api``, or the zone file), or
payment's ``fraud_policy`` = ``degraded``.
"""

from services.common.failure_modes import FailureMode
from services.dns.zone import LiveZone

RECORD = "fraud-api"


def enter(zone: LiveZone, *, resume: bool) -> None:
    """Remove the record; a restart takes nothing away that would have to be removed again."""
    if not resume:
        zone.remove(RECORD)


def leave(zone: LiveZone) -> None:
    """Put the shipped zone back."""
    zone.restore()


MODE = FailureMode[LiveZone]("record_missing", enter=enter, leave=leave)
