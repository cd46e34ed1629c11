"""Deadlines: how much time a request has left, carried from hop to hop.

The header ``x-deadline-ms`` says how many milliseconds the caller will wait.
A service never works for longer than that, and gives what it calls in turn
strictly less than it has itself.
"""

import time
from contextvars import ContextVar

from services.common.errors import DeadlineExceeded

HEADER = "x-deadline-ms"
HOP_MARGIN_S = 0.05
"""What a hop keeps for itself, to answer before its caller gives up."""

_ends_at: ContextVar[float | None] = ContextVar("deadline_ends_at", default=None)


def start(header: str | None, *, default_s: float) -> None:
    """Start the request's deadline: the caller's, at most ``default_s`` seconds from now."""
    budget_s = default_s
    if header is not None and header.isascii() and header.isdigit() and len(header) <= 9:
        budget_s = min(budget_s, int(header) / 1000)
    _ends_at.set(time.monotonic() + budget_s)


def shorten(budget_s: float) -> None:
    """End the current request's deadline after ``budget_s`` seconds, if it would end later."""
    ends_at = time.monotonic() + budget_s
    current = _ends_at.get()
    _ends_at.set(ends_at if current is None else min(current, ends_at))


def remaining_s(*, at_most: float) -> float:
    """Seconds left, at most ``at_most``; raises ``DeadlineExceeded`` when nothing is left."""
    ends_at = _ends_at.get()
    left = at_most if ends_at is None else min(at_most, ends_at - time.monotonic())
    if left <= 0:
        raise DeadlineExceeded("the deadline of this request has passed")
    return left


def for_next_hop_s(*, at_most: float) -> float:
    """Seconds that a call may take: what is left less this hop's margin, at most ``at_most``."""
    left = remaining_s(at_most=at_most + HOP_MARGIN_S) - HOP_MARGIN_S
    if left <= 0:
        raise DeadlineExceeded("too little of this request's deadline is left for another call")
    return left
