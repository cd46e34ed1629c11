"""Arrivals: sends each request of the deck at its instant, whatever became of the ones before."""

import logging
from collections.abc import Callable, Iterable

from deck import Deal

LATE_AFTER_S = 0.25
"""A request that starts later than this after its instant counts as late."""
GIVE_UP_CATCHING_UP_S = 5.0
"""A longer pause (a laptop that slept) moves the schedule instead of sending all that was missed at once."""

log = logging.getLogger("traffic.arrivals")


def send_on_time(
    deals: Iterable[Deal],
    *,
    send: Callable[[Deal], None],
    late: Callable[[], None],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    """Call ``send`` with each deal at its ``offset_s`` from now; ``late`` once for each that is behind.

    ``clock`` is monotonic and in seconds. ``send`` must not wait for an answer.
    """
    start = clock()
    for deal in deals:
        early_s = start + deal.offset_s - clock()
        if early_s > 0:
            sleep(early_s)
        elif -early_s > GIVE_UP_CATCHING_UP_S:
            log.warning("traffic.rescheduled", extra={"behind_s": round(-early_s, 1)})
            start = clock() - deal.offset_s
            late()
        elif -early_s > LATE_AFTER_S:
            late()
        send(deal)
