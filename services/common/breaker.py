"""A circuit breaker: after several failures in a row, fail at once for a while."""

import time
from collections.abc import Callable

FAILURES_TO_OPEN = 5
OPEN_S = 10.0


class CircuitBreaker:
    """Closed until ``FAILURES_TO_OPEN`` calls in a row fail; then open for ``OPEN_S`` seconds.

    After that one call is let through: its success closes the breaker, its
    failure opens it for as long again. While ``enabled`` is false every call passes.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.enabled = False
        self._clock = clock
        self._failures = 0
        self._closed_again_at = 0.0

    def allows(self) -> bool:
        """Whether a call may be made now."""
        if not self.enabled or self._failures < FAILURES_TO_OPEN:
            return True
        if self._clock() < self._closed_again_at:
            return False
        # Others keep failing at once until this one trial has its answer.
        self._closed_again_at = self._clock() + OPEN_S
        return True

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self) -> None:
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN:
            self._closed_again_at = self._clock() + OPEN_S
