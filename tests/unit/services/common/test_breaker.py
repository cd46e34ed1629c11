"""The circuit breaker on a clock of the test's own."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from services.common.breaker import FAILURES_TO_OPEN, OPEN_S, CircuitBreaker


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Callable[[], float]) -> CircuitBreaker:
    breaker = CircuitBreaker(clock=clock)
    breaker.enabled = True
    return breaker


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        assert breaker.allows()
        breaker.failed()


def test_it_opens_after_several_failures_in_a_row(breaker: CircuitBreaker) -> None:
    fail(breaker, FAILURES_TO_OPEN)

    assert not breaker.allows()


def test_a_success_in_between_starts_the_count_anew(breaker: CircuitBreaker) -> None:
    fail(breaker, FAILURES_TO_OPEN - 1)
    breaker.succeeded()
    fail(breaker, FAILURES_TO_OPEN - 1)

    assert breaker.allows()


def test_it_stays_open_for_its_time(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, FAILURES_TO_OPEN)

    clock.now += OPEN_S - 0.001

    assert not breaker.allows()


def test_after_its_time_one_trial_passes_and_no_second(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, FAILURES_TO_OPEN)
    clock.now += OPEN_S

    assert [breaker.allows() for _ in range(3)] == [True, False, False]


def test_a_trial_that_succeeds_closes_it(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, FAILURES_TO_OPEN)
    clock.now += OPEN_S
    breaker.allows()

    breaker.succeeded()

    assert [breaker.allows() for _ in range(3)] == [True, True, True]


def test_a_trial_that_fails_opens_it_for_as_long_again(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, FAILURES_TO_OPEN)
    clock.now += OPEN_S
    breaker.allows()
    clock.now += 1

    breaker.failed()

    clock.now += OPEN_S - 0.001
    assert not breaker.allows()
    clock.now += 0.001
    assert breaker.allows()


def test_a_trial_that_never_ends_is_followed_by_another(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, FAILURES_TO_OPEN)
    clock.now += OPEN_S
    breaker.allows()

    clock.now += OPEN_S

    assert breaker.allows()


def test_while_it_is_off_every_call_passes(breaker: CircuitBreaker) -> None:
    fail(breaker, FAILURES_TO_OPEN)

    breaker.enabled = False

    assert breaker.allows()
