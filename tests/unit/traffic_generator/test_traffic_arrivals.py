"""Requests are sent at their instants, and a pause neither floods the shop nor reorders the deck."""

from itertools import islice

from arrivals import GIVE_UP_CATCHING_UP_S, send_on_time
from deck import Deal, deal


class Watch:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def time(self) -> float:
        return self.now

    def sleep(self, duration_s: float) -> None:
        self.now += duration_s


def test_each_request_is_sent_at_its_instant() -> None:
    watch, sent = Watch(), list[tuple[int, float]]()
    deals = list(islice(deal(1, rate_per_s=8), 300))

    send_on_time(
        deals,
        send=lambda one: sent.append((one.n, watch.now - 100.0)),
        late=lambda: sent.append((-1, watch.now)),
        clock=watch.time,
        sleep=watch.sleep,
    )

    assert [n for n, _ in sent] == list(range(300))
    assert all(abs(at - one.offset_s) < 1e-6 for (_, at), one in zip(sent, deals, strict=True))


def test_a_request_that_starts_behind_its_instant_counts_as_late() -> None:
    watch, late = Watch(), list[float]()
    deals = list(islice(deal(1, rate_per_s=8), 3))

    def send_slowly(one: Deal) -> None:
        watch.now += 1.0 if one.n == 0 else 0.0

    send_on_time(
        deals, send=send_slowly, late=lambda: late.append(watch.now), clock=watch.time, sleep=watch.sleep
    )

    assert len(late) == 2


def test_after_a_long_pause_the_schedule_moves_and_the_order_stays() -> None:
    watch, sent = Watch(), list[tuple[int, float]]()
    deals = list(islice(deal(1, rate_per_s=8), 100))

    def send(one: Deal) -> None:
        sent.append((one.n, watch.now))
        watch.now += 3600.0 if one.n == 10 else 0.0

    send_on_time(deals, send=send, late=lambda: None, clock=watch.time, sleep=watch.sleep)

    after_pause_s = sent[-1][1] - sent[11][1]
    assert GIVE_UP_CATCHING_UP_S < 3600.0
    assert [n for n, _ in sent] == list(range(100))
    assert abs(after_pause_s - (deals[-1].offset_s - deals[11].offset_s)) < 1e-6
