"""How long to wait before the next attempt."""

import hashlib
from datetime import timedelta
from uuid import UUID


def pause(delivery_id: UUID, *, after_attempt: int, base_s: float, cap_s: float) -> timedelta:
    """The pause after failed attempt number ``after_attempt`` (1, 2, …).

    Exponential with equal jitter (half fixed, half spread; M. Brooker,
    "Exponential Backoff and Jitter", AWS Architecture Blog, 2015): between half
    of and all of ``min(cap_s, base_s * 2 ** (after_attempt - 1))`` seconds. The
    spread comes from the delivery's id, so that it is the same in every run.
    """
    longest_s = min(cap_s, base_s * 2.0 ** min(after_attempt - 1, 62))
    digest = hashlib.sha256(f"{delivery_id}:{after_attempt}".encode()).digest()
    spread = int.from_bytes(digest[:8], "big") / 2**64
    return timedelta(seconds=longest_s * (1 + spread) / 2)
