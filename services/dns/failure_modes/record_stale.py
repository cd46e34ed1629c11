"""The record ``fraud-api`` gets an address at which nobody listens, to be remembered for an hour.

Seen as: connections refused; payments and refunds above 1,000 that need a fraud check answer 503,
everything else is well, also after the record was put right.
Undone by: the record (``PUT /ops/records/fraud-api``, or the zone file) together with payment's
``remember_addresses`` = false or a restart of payment; or payment's ``fraud_policy`` = ``degraded``.
"""

from services.common.failure_modes import FailureMode
from services.dns.failure_modes.record_missing import RECORD
from services.dns.zone import LiveZone

NOBODY = "127.0.0.66"
TTL_S = 3600


def enter(zone: LiveZone, *, resume: bool) -> None:
    """Change the record; a restart takes nothing away that would have to be changed again."""
    if not resume:
        zone.put(RECORD, "A", NOBODY, ttl_s=TTL_S)


def leave(zone: LiveZone) -> None:
    """Put the shipped zone back."""
    zone.restore()


MODE = FailureMode[LiveZone]("record_stale", enter=enter, leave=leave)
