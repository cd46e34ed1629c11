"""The deck deals exact shares, the same for a seed, and money that covers every refund."""

from bisect import insort
from collections import Counter
from decimal import Decimal
from itertools import islice

import pytest
from deck import (
    HUNDRED,
    HUNDREDS_PER_DECK,
    ORDINARY_CUSTOMERS,
    REFUND_GAP,
    SHORT_OF_FUNDS_CUSTOMER,
    TRUSTED_CUSTOMERS,
    Request,
    arrival_offsets,
    deal,
    hot_users,
    hundred,
)
from hypothesis import given, settings
from hypothesis import strategies as st

SEEDS = st.integers(min_value=-(2**63), max_value=2**63)
INDEXES = st.integers(min_value=0, max_value=10_000)
CHECK_FREE_UP_TO = Decimal(1000)
SHARES = {
    "GET /api/users/profile/{id}": 35,
    "GET /api/transactions": 9,
    "GET /api/transactions/{id}": 7,
    "GET /api/customers/{id}": 7,
    "GET /api/accounts/{id}/balance": 7,
    "GET /api/payment-methods/{id}": 3,
    "GET /api/stats": 2,
    "POST /api/payment": 15,
    "POST /api/refund": 9,
    "POST /api/customers": 3,
    "POST /api/webhooks/payment-gateway": 3,
}


def full_deck(seed: int, index: int) -> list[Request]:
    hundreds = range(index * HUNDREDS_PER_DECK, (index + 1) * HUNDREDS_PER_DECK)
    return [request for number in hundreds for request in hundred(seed, number)]


def of_route(requests: list[Request], path: str) -> list[Request]:
    return [request for request in requests if request.method == "POST" and request.path == path]


def amount(request: Request) -> Decimal:
    return Decimal(request.body["amount"])  # type: ignore[index, typeddict-item]


def customer(request: Request) -> int:
    return request.body["customer_id"]  # type: ignore[index, typeddict-item]


def big_refunds(requests: list[Request]) -> list[Request]:
    return [request for request in of_route(requests, "/api/refund") if amount(request) > CHECK_FREE_UP_TO]


@given(seed=SEEDS, index=INDEXES)
@settings(max_examples=50, deadline=None)
def test_every_hundred_has_exactly_its_shares(seed: int, index: int) -> None:
    requests = hundred(seed, index)

    assert Counter(f"{request.method} {request.route}" for request in requests) == SHARES
    assert Counter(request.method for request in requests) == {"GET": 70, "POST": 30}


@given(seed=SEEDS, index=INDEXES)
@settings(max_examples=50, deadline=None)
def test_in_every_hundred_the_ordinary_customers_pay_equally_often(seed: int, index: int) -> None:
    paid = Counter(customer(payment) for payment in of_route(hundred(seed, index), "/api/payment"))

    counts = [paid[one] for one in ORDINARY_CUSTOMERS]
    assert max(counts) - min(counts) <= 1


@given(seed=SEEDS, index=INDEXES)
@settings(max_examples=50, deadline=None)
def test_every_hundred_has_one_unknown_user_and_one_payment_without_funds(seed: int, index: int) -> None:
    requests = hundred(seed, index)

    unknown = [request for request in requests if request.expects == (404,)]
    unfunded = [request for request in requests if request.expects == (402,)]

    assert [request.route for request in unknown] == ["/api/users/profile/{id}"]
    assert int(unknown[0].path.rpartition("/")[2]) > 1000
    assert [request.body for request in unfunded] == [
        {"customer_id": SHORT_OF_FUNDS_CUSTOMER, "amount": "900.00"}
    ]


@given(seed=SEEDS, index=INDEXES)
@settings(max_examples=50, deadline=None)
def test_every_hundred_asks_for_few_users_often_and_for_many_seldom(seed: int, index: int) -> None:
    paths = [request.path for request in hundred(seed, index) if request.route == "/api/users/profile/{id}"]
    known = [user for user in (int(path.rpartition("/")[2]) for path in paths) if user <= 1000]
    hot = hot_users(seed)

    assert 10 <= len(hot) <= 40
    assert sum(user in hot for user in known) == 27
    assert len(known) == 34
    assert min(known) >= 1


@given(seed=SEEDS, index=INDEXES)
@settings(max_examples=50, deadline=None)
def test_eight_of_fifteen_payments_carry_items_and_cost_less_than_two_hundred(seed: int, index: int) -> None:
    payments = of_route(hundred(seed, index), "/api/payment")
    with_items = [payment for payment in payments if "items" in payment.body]  # type: ignore[operator]

    assert len(with_items) == 8
    assert all(amount(payment) < 200 for payment in with_items)


@given(seed=SEEDS, index=INDEXES)
@settings(max_examples=50, deadline=None)
def test_every_big_refund_follows_a_payment_of_the_same_customer_and_amount(seed: int, index: int) -> None:
    requests = hundred(seed, index)
    place = {id(request): n for n, request in enumerate(requests)}
    payments = of_route(requests, "/api/payment")
    refunds = big_refunds(requests)

    assert len(refunds) == 5
    for refund in refunds:
        covering = [payment for payment in payments if payment.body == refund.body]
        assert any(place[id(refund)] - place[id(payment)] >= REFUND_GAP for payment in covering)


@given(seed=SEEDS, index=INDEXES)
@settings(max_examples=20, deadline=None)
def test_a_full_deck_has_eight_percent_trusted_payments_and_twelve_percent_trusted_big_refunds(
    seed: int, index: int
) -> None:
    requests = full_deck(seed, index)
    payments = of_route(requests, "/api/payment")
    refunds = big_refunds(requests)

    assert len(payments) == 75
    assert sum(customer(payment) in TRUSTED_CUSTOMERS for payment in payments) == 6
    assert len(refunds) == 25
    assert sum(customer(refund) in TRUSTED_CUSTOMERS for refund in refunds) == 3


class Ledger:
    """What each customer has paid and not got back, smallest first."""

    def __init__(self) -> None:
        self._refundable: dict[int, list[Decimal]] = {}

    def pay(self, request: Request) -> None:
        insort(self._refundable.setdefault(customer(request), []), amount(request))

    def refund(self, request: Request) -> bool:
        """Take the smallest payment that suffices; ``False`` if none does."""
        payments = self._refundable.get(customer(request), [])
        suiting = [payment for payment in payments if payment >= amount(request)]
        if not suiting:
            return False
        payments.remove(suiting[0])
        insort(payments, suiting[0] - amount(request))
        return True


def uncovered_refunds(requests: list[Request], ledger: Ledger) -> list[Request]:
    uncovered = []
    for request in requests:
        if request.path == "/api/payment" and request.expects != (402,):
            ledger.pay(request)
        elif request.path == "/api/refund" and not ledger.refund(request):
            uncovered.append(request)
    return uncovered


@given(seed=SEEDS)
@settings(max_examples=20, deadline=None)
def test_every_refund_is_covered_from_the_first_request_on(seed: int) -> None:
    assert uncovered_refunds(full_deck(seed, 0) + full_deck(seed, 1), Ledger()) == []


def without_fraud_check(requests: list[Request]) -> list[Request]:
    """What gets through while nothing can be checked: reads, trusted customers, small refunds."""

    def is_checked(request: Request) -> bool:
        is_order = request.path == "/api/payment"
        is_big_refund = request.path == "/api/refund" and amount(request) > CHECK_FREE_UP_TO
        return (is_order or is_big_refund) and customer(request) not in TRUSTED_CUSTOMERS

    return [request for request in requests if not is_checked(request)]


@given(seed=SEEDS)
@settings(max_examples=20, deadline=None)
def test_without_the_fraud_check_exactly_92_and_88_percent_fail_and_small_refunds_are_covered(
    seed: int,
) -> None:
    ledger = Ledger()
    uncovered_refunds(full_deck(seed, 0), ledger)
    broken = full_deck(seed, 1)

    through = without_fraud_check(broken)

    assert len(of_route(through, "/api/payment")) == 75 - 69
    assert len(big_refunds(through)) == 25 - 22
    assert uncovered_refunds(through, ledger) == []


@given(seed=SEEDS, index=INDEXES)
@settings(max_examples=20, deadline=None)
def test_the_same_seed_deals_the_same_requests(seed: int, index: int) -> None:
    assert hundred(seed, index) == hundred(seed, index)


def test_other_seeds_and_other_hundreds_are_dealt_otherwise() -> None:
    assert hundred(1, 0) != hundred(2, 0)
    assert hundred(1, 0) != hundred(1, 1)


def test_a_webhook_is_sometimes_delivered_again() -> None:
    events = [
        [request.body["event_id"] for request in requests if "webhooks" in request.path]  # type: ignore[index, typeddict-item]
        for requests in (hundred(1, index) for index in range(50))
    ]

    assert {len(set(ids)) for ids in events} == {2, 3}


def test_small_refunds_go_to_ordinary_customers() -> None:
    refunds = of_route(full_deck(1, 0), "/api/refund")
    small = [refund for refund in refunds if amount(refund) <= CHECK_FREE_UP_TO]

    assert len(small) == 20
    assert {customer(refund) for refund in small} <= set(ORDINARY_CUSTOMERS)
    assert max(amount(refund) for refund in small) < 10


@given(seed=SEEDS, index=INDEXES, rate=st.floats(min_value=0.1, max_value=200))
@settings(max_examples=50, deadline=None)
def test_a_hundred_arrives_in_order_and_takes_exactly_its_time(seed: int, index: int, rate: float) -> None:
    offsets = arrival_offsets(seed, index, rate_per_s=rate)
    next_offsets = arrival_offsets(seed, index + 1, rate_per_s=rate)

    assert len(offsets) == HUNDRED
    assert offsets == sorted(offsets)
    assert offsets[0] == pytest.approx(index * HUNDRED / rate)
    assert offsets[-1] < next_offsets[0]
    assert next_offsets[0] - offsets[0] == pytest.approx(HUNDRED / rate)


def test_arrivals_come_in_gentle_bursts() -> None:
    offsets = arrival_offsets(1, 0, rate_per_s=8)
    per_second = Counter(int(offset) for offset in offsets)
    full_seconds = [per_second[second] for second in range(12)]

    assert min(full_seconds) < 8 < max(full_seconds)
    assert max(full_seconds) <= 24


def test_deals_are_numbered_across_hundreds() -> None:
    dealt = list(islice(deal(3, rate_per_s=10), 250))

    assert [one.n for one in dealt] == list(range(250))
    assert [one.request for one in dealt[200:]] == hundred(3, 2)[:50]


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_that_is_not_above_zero_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate_per_s"):
        next(deal(1, rate_per_s=rate))
