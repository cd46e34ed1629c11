"""The pause before the next attempt."""

from datetime import timedelta
from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from services.notification.backoff import pause

ONE = UUID("7a1d8f7e-0d5b-4c59-9a2e-1f6f3a9c2b11")


@given(delivery_id=st.uuids(), attempt=st.integers(1, 1000))
def test_a_pause_is_between_half_and_all_of_the_doubled_base_and_never_beyond_the_cap(
    delivery_id: UUID, attempt: int
) -> None:
    longest = min(300.0, 1.0 * 2 ** (attempt - 1))

    paused = pause(delivery_id, after_attempt=attempt, base_s=1.0, cap_s=300.0)

    # A timedelta is kept in whole microseconds.
    assert timedelta(seconds=longest / 2) <= paused <= timedelta(seconds=longest)


def test_the_same_delivery_pauses_as_long_in_every_run() -> None:
    pauses = [pause(ONE, after_attempt=n, base_s=1.0, cap_s=300.0).total_seconds() for n in (1, 2, 3)]

    assert pauses == [0.689467, 1.726206, 2.371248]


def test_deliveries_that_failed_together_do_not_come_back_together() -> None:
    ids = [uuid5(ONE, str(n)) for n in range(100)]

    pauses = {pause(one, after_attempt=4, base_s=1.0, cap_s=300.0) for one in ids}

    assert len(pauses) == 100
