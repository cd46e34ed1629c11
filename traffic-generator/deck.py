"""The deck: which request the shop gets next, dealt from a seed.

Pure: no I/O, no clock. The same seed always deals the same requests in the same
order, so that two runs of the lab can be compared request by request.

A full deck is five hundreds. Every hundred holds exactly 70 reads and 30 writes
in a shuffled order; what is rarer than one in a hundred (payments and refunds of
trusted customers) comes out exact over the full deck.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import TypedDict

DEFAULT_SEED = 1
HUNDRED = 100
HUNDREDS_PER_DECK = 5

# The cast: who the shop's seed rows say these people are.
ORDINARY_CUSTOMERS = (1, 2, 3)
SHORT_OF_FUNDS_CUSTOMER = 4
TRUSTED_CUSTOMERS = (5, 6)
CUSTOMERS = (*ORDINARY_CUSTOMERS, SHORT_OF_FUNDS_CUSTOMER, *TRUSTED_CUSTOMERS)
CUSTOMERS_WITH_PAYMENT_METHOD = CUSTOMERS[:5]
SEEDED_TRANSACTIONS = (1, 2, 3, 4, 5)
NAMED_USERS = range(1, 11)
LAST_USER = 1000
SKUS = (
    "mug-blue",
    "mug-green",
    "tee-black",
    "tee-white",
    "poster-a2",
    "sticker-pack",
    "cap-navy",
    "bag-canvas",
)
FIRST_NAMES = ("Ada", "Bo", "Chidi", "Dana", "Emre", "Freya", "Goran", "Hana")
LAST_NAMES = ("Arslan", "Berg", "Castro", "Dahl", "Evans", "Fofana", "Gruber", "Horvat")
WEBHOOK_TYPES = ("payment.settled", "payment.disputed", "payout.paid")

OTHER_HOT_USERS = 20
HOT_PROFILES_PER_HUNDRED = 27
LONG_TAIL_PROFILES_PER_HUNDRED = 7
BIG_REFUNDS_PER_HUNDRED = 5
SMALL_REFUNDS_PER_HUNDRED = 4
ORDERS_WITH_ITEMS_PER_HUNDRED = 8
TRUSTED_BIG_REFUNDS_PER_DECK = 3
TRUSTED_SMALL_PAYMENTS_PER_DECK = 3

REFUND_GAP = 10
"""Least number of places between a payment and the refund that it covers: a payment takes time."""


class Item(TypedDict):
    sku: str
    quantity: int


class PaymentBody(TypedDict, total=False):
    customer_id: int
    amount: str
    items: list[Item]


class CustomerBody(TypedDict):
    name: str
    email: str


class WebhookPayload(TypedDict):
    transaction_id: int


class WebhookBody(TypedDict):
    event_id: str
    type: str
    data: WebhookPayload


Body = PaymentBody | CustomerBody | WebhookBody


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the deck, without its place.

    ``route`` is the path with its parameters as names, for statistics;
    ``expects`` are the statuses that a healthy shop may answer;
    ``once`` says that it carries an ``Idempotency-Key``.
    """

    method: str
    path: str
    route: str
    body: Body | None = None
    expects: tuple[int, ...] = (200,)
    once: bool = False


@dataclass(frozen=True, slots=True)
class Deal:
    """A request in its place: ``n`` counts from 0, ``offset_s`` is seconds after the first one."""

    n: int
    offset_s: float
    request: Request


def deal(seed: int, *, rate_per_s: float) -> Iterator[Deal]:
    """The endless sequence of requests with their arrival times.

    Raises ``ValueError`` unless ``rate_per_s`` is above zero.
    """
    if not rate_per_s > 0:
        raise ValueError(f"rate_per_s must be above zero, not {rate_per_s}")
    for index in count():
        arrivals = arrival_offsets(seed, index, rate_per_s=rate_per_s)
        for place, request in enumerate(hundred(seed, index)):
            yield Deal(n=index * HUNDRED + place, offset_s=arrivals[place], request=request)


def arrival_offsets(seed: int, index: int, *, rate_per_s: float) -> list[float]:
    """When the requests of hundred ``index`` arrive, in seconds after the first request of all.

    Uneven, in two gentle waves, but a hundred always takes ``100 / rate_per_s``
    seconds: the long-run rate is exact.
    """
    rng = random.Random(f"{seed}:arrivals:{index}")
    phase = rng.uniform(0, 2 * math.pi)
    gaps = [
        rng.uniform(0.5, 1.5) * (1 + 0.5 * math.sin(phase + 4 * math.pi * place / HUNDRED))
        for place in range(HUNDRED)
    ]
    stretch = HUNDRED / rate_per_s / sum(gaps)
    offset = index * HUNDRED / rate_per_s
    offsets = []
    for gap in gaps:
        offsets.append(offset)
        offset += gap * stretch
    return offsets


def hundred(seed: int, index: int) -> list[Request]:
    """The requests of hundred ``index`` (from 0), in the order they are dealt."""
    rng = random.Random(f"{seed}:hundred:{index}")
    ordinary = _ordinary_customers(rng)
    paired = [request for pair in _covered_refunds(rng, seed, index, ordinary) for request in pair]
    cards = [
        *paired,
        *_reads(rng, seed),
        *_uncovered_payments(rng, seed, index, ordinary),
        *[_new_customer(rng, seed, index, place) for place in range(3)],
        *_webhooks(rng, seed, index),
    ]
    return [cards[card] for card in _order(rng, len(cards), paired=len(paired))]


def _order(rng: random.Random, size: int, *, paired: int) -> list[int]:
    """A shuffled order of ``size`` cards of which the first ``paired`` are payments, each before its refund.

    Every refund comes ``REFUND_GAP`` places or more after its payment.
    """
    pairs = [(card, card + 1) for card in range(0, paired, 2)]
    while True:
        order = rng.sample(range(size), size)
        place = {card: n for n, card in enumerate(order)}
        if any(abs(place[payment] - place[refund]) < REFUND_GAP for payment, refund in pairs):
            continue
        for payment, refund in pairs:
            if place[refund] < place[payment]:
                order[place[payment]], order[place[refund]] = refund, payment
        return order


def _reads(rng: random.Random, seed: int) -> list[Request]:
    hot = hot_users(seed)
    tail = [user for user in range(1, LAST_USER + 1) if user not in hot]
    users = [*rng.choices(hot, k=HOT_PROFILES_PER_HUNDRED), *rng.sample(tail, LONG_TAIL_PROFILES_PER_HUNDRED)]
    return [
        *[_profile(user) for user in users],
        _profile(rng.randint(LAST_USER + 1, 9999), expects=404),
        *[_transactions_page(rng) for _ in range(9)],
        *[_get("/api/transactions/{id}", id=rng.choice(SEEDED_TRANSACTIONS)) for _ in range(7)],
        *[_get("/api/customers/{id}", id=rng.choice(CUSTOMERS)) for _ in range(7)],
        *[_get("/api/accounts/{id}/balance", id=rng.choice(CUSTOMERS)) for _ in range(7)],
        *[_get("/api/payment-methods/{id}", id=rng.choice(CUSTOMERS_WITH_PAYMENT_METHOD)) for _ in range(3)],
        *[_get("/api/stats") for _ in range(2)],
    ]


def hot_users(seed: int) -> list[int]:
    """The users that are looked at most: the named ones and a few that the seed picks."""
    rng = random.Random(f"{seed}:hot")
    others = rng.sample(range(NAMED_USERS.stop, LAST_USER + 1), OTHER_HOT_USERS)
    return [*NAMED_USERS, *others]


def _get(route: str, *, expects: int = 200, **parameters: int) -> Request:
    return Request("GET", route.format(**parameters), route, expects=(expects,))


def _profile(user: int, *, expects: int = 200) -> Request:
    return _get("/api/users/profile/{id}", id=user, expects=expects)


def _transactions_page(rng: random.Random) -> Request:
    limit, offset = rng.choice((10, 20, 50)), rng.choice((0, 0, 20, 40))
    route = "/api/transactions"
    return Request("GET", f"{route}?limit={limit}&offset={offset}", route)


def _ordinary_customers(rng: random.Random) -> Iterator[int]:
    """The ordinary customers in ever new orders, in each hundred one as often as the other, or once more.

    So what goes wrong for one of them goes wrong for the same share of all requests, whatever the seed.
    """
    while True:
        yield from rng.sample(ORDINARY_CUSTOMERS, len(ORDINARY_CUSTOMERS))


def _covered_refunds(
    rng: random.Random, seed: int, index: int, ordinary: Iterator[int]
) -> list[tuple[Request, Request]]:
    """Pairs of a payment and a later refund to the same customer.

    A big refund returns its payment in full. A small one returns a part, so that
    what is left of the small payments covers small refunds through an outage in
    which hardly a payment gets through.
    """
    trusted = _trusted_big_refunds(seed, index)
    pairs = []
    for place in range(BIG_REFUNDS_PER_HUNDRED):
        customer = rng.choice(TRUSTED_CUSTOMERS) if place < trusted else next(ordinary)
        amount = _amount(rng, 1_001, 1_899)
        pairs.append((_payment(customer, amount), _refund(customer, amount)))
    for _ in range(SMALL_REFUNDS_PER_HUNDRED):
        customer = next(ordinary)
        payment = _payment(customer, _amount(rng, 20, 59), items=_items(rng))
        pairs.append((payment, _refund(customer, _amount(rng, 1, 8))))
    return pairs


def _uncovered_payments(rng: random.Random, seed: int, index: int, ordinary: Iterator[int]) -> list[Request]:
    """The payments that nobody asks back: small ones, and one that the balance does not cover."""
    trusted = _trusted_small_payments(seed, index)
    with_items = ORDERS_WITH_ITEMS_PER_HUNDRED - SMALL_REFUNDS_PER_HUNDRED
    small = []
    for place in range(with_items + 1):
        customer = rng.choice(TRUSTED_CUSTOMERS) if place < trusted else next(ordinary)
        items = _items(rng) if place < with_items else None
        small.append(_payment(customer, _amount(rng, 20, 59), items=items))
    return [*small, _payment(SHORT_OF_FUNDS_CUSTOMER, "900.00", expects=(402,))]


def _trusted_big_refunds(seed: int, index: int) -> int:
    return _share(seed, "trusted refunds", index, per_deck=TRUSTED_BIG_REFUNDS_PER_DECK)


def _trusted_small_payments(seed: int, index: int) -> int:
    return _share(seed, "trusted payments", index, per_deck=TRUSTED_SMALL_PAYMENTS_PER_DECK)


def _share(seed: int, name: str, index: int, *, per_deck: int) -> int:
    """How many (0 or 1) of something that comes ``per_deck`` times a full deck fall to hundred ``index``."""
    deck, place = divmod(index, HUNDREDS_PER_DECK)
    chosen = random.Random(f"{seed}:{name}:{deck}").sample(range(HUNDREDS_PER_DECK), per_deck)
    return int(place in chosen)


def _amount(rng: random.Random, lowest: int, highest: int) -> str:
    """A price of ``lowest``.00 to ``highest``.99 as a decimal string."""
    return f"{rng.randint(lowest, highest)}.{rng.randint(0, 99):02}"


def _items(rng: random.Random) -> list[Item]:
    skus = rng.sample(SKUS, rng.choice((1, 1, 2)))
    return [{"sku": sku, "quantity": rng.choice((1, 1, 2))} for sku in skus]


def _payment(
    customer: int, amount: str, *, items: list[Item] | None = None, expects: tuple[int, ...] = (200, 201)
) -> Request:
    body: PaymentBody = {"customer_id": customer, "amount": amount}
    if items is not None:
        body["items"] = items
    return Request("POST", "/api/payment", "/api/payment", body, expects, once=True)


def _refund(customer: int, amount: str) -> Request:
    body: PaymentBody = {"customer_id": customer, "amount": amount}
    return Request("POST", "/api/refund", "/api/refund", body, (200, 201), once=True)


def _new_customer(rng: random.Random, seed: int, index: int, place: int) -> Request:
    first, last = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)
    email = f"{first}.{last}.{seed}.{index}.{place}@example.test".lower()
    body: CustomerBody = {"name": f"{first} {last}", "email": email}
    # 409: the same seed was dealt to this shop before, so the address is taken.
    return Request("POST", "/api/customers", "/api/customers", body, (200, 201, 409))


def _webhooks(rng: random.Random, seed: int, index: int) -> list[Request]:
    """Three notices of the payment gateway; about every other time the third is the second, resent."""
    places = (0, 1, 1) if rng.random() < 0.5 else (0, 1, 2)
    kinds = [(rng.choice(WEBHOOK_TYPES), rng.choice(SEEDED_TRANSACTIONS)) for _ in range(3)]
    requests = []
    for place in places:
        kind, transaction = kinds[place]
        body: WebhookBody = {
            "event_id": f"evt-{seed}-{index}-{place}",
            "type": kind,
            "data": {"transaction_id": transaction},
        }
        path = "/api/webhooks/payment-gateway"
        requests.append(Request("POST", path, path, body, (200, 201, 202)))
    return requests
