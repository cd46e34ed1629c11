"""The payment service: every endpoint in health, and every way it says no."""

import uuid
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.books import Books
from tests.conftest import RunningService, Shop

SEEDED_CUSTOMERS = 6
SEEDED_TRANSACTIONS = 5


@pytest.fixture(scope="module")
def payment(standing_shop: Shop) -> RunningService:
    """The service with all that it depends on."""
    return standing_shop.start("dns", "fraud", "inventory", "payment")


def pay(payment: RunningService, customer_id: int, amount: str, **more: Any) -> httpx.Response:
    body = {"customer_id": customer_id, "amount": amount, **more}
    return payment.client.post("/api/payment", json=body)


def refund(payment: RunningService, customer_id: int, amount: str, **more: Any) -> httpx.Response:
    body = {"customer_id": customer_id, "amount": amount, **more}
    return payment.client.post("/api/refund", json=body)


def paid(payment: RunningService, customer_id: int, *amounts: str) -> list[int]:
    """The ids of payments that went through."""
    return [pay(payment, customer_id, amount).json()["id"] for amount in amounts]


# --- what is read


def test_the_seed_has_six_customers_five_transactions_and_five_payment_methods(books: Books) -> None:
    assert books.count("payment.customers") == SEEDED_CUSTOMERS
    assert books.count("payment.account_balances") == SEEDED_CUSTOMERS
    assert books.count("payment.transactions") == SEEDED_TRANSACTIONS
    assert books.count("payment.payment_methods") == 5


def test_a_customer_is_read_by_its_id(payment: RunningService) -> None:
    answer = payment.client.get("/api/customers/5")

    assert answer.status_code == 200
    customer = answer.json()
    assert customer.pop("created_at").endswith("Z")
    assert customer == {
        "id": 5,
        "name": "Evergreen Hospitals",
        "email": "accounts@evergreen.test",
        "trusted": True,
    }


def test_a_balance_has_two_places(payment: RunningService, standing_books: Books) -> None:
    customer = standing_books.open_account("12.5")

    answer = payment.client.get(f"/api/accounts/{customer}/balance")

    assert answer.status_code == 200
    assert answer.json()["customer_id"] == customer
    assert answer.json()["balance"] == "12.50"


def test_payment_methods_are_listed(payment: RunningService) -> None:
    assert [method["label"] for method in payment.client.get("/api/payment-methods/1").json()] == [
        "card ending 4242"
    ]


def test_a_customer_without_payment_methods_has_an_empty_list(payment: RunningService) -> None:
    answer = payment.client.get("/api/payment-methods/6")

    assert (answer.status_code, answer.json()) == (200, [])


def test_a_transaction_is_read_by_its_id(payment: RunningService) -> None:
    answer = payment.client.get("/api/transactions/4").json()

    assert (answer["customer_id"], answer["kind"], answer["amount"]) == (5, "payment", "72250.00")
    assert (answer["status"], answer["refundable"]) == ("captured", "72250.00")


@pytest.mark.parametrize(
    "path",
    [
        "/api/customers/999999",
        "/api/accounts/999999/balance",
        "/api/payment-methods/999999",
        "/api/transactions/999999",
        "/api/customers/9223372036854775807",
    ],
)
def test_what_is_not_there_is_a_404_that_says_so(payment: RunningService, path: str) -> None:
    answer = payment.client.get(path)

    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("no ")


def test_pages_of_transactions_join_without_gap_or_overlap(
    payment: RunningService, standing_books: Books
) -> None:
    customer = standing_books.open_account("100")
    ids = paid(payment, customer, "1", "2", "3", "4", "5")

    pages, offset = [], 0
    while offset is not None:
        page = payment.client.get(
            "/api/transactions", params={"customer_id": customer, "limit": 2, "offset": offset}
        ).json()
        pages.append([transaction["id"] for transaction in page["items"]])
        offset = page["next_offset"]

    assert [len(page) for page in pages] == [2, 2, 1]
    assert [one for page in pages for one in page] == sorted(ids, reverse=True)


def test_transactions_are_filtered_by_status(payment: RunningService, standing_books: Books) -> None:
    customer = standing_books.open_account("10")
    pay(payment, customer, "5")
    pay(payment, customer, "50")

    def amounts(status: str) -> list[str]:
        params: dict[str, str | int] = {"customer_id": customer, "status": status}
        found = payment.client.get("/api/transactions", params=params).json()["items"]
        return [transaction["amount"] for transaction in found]

    assert amounts("captured") == ["5.00"]
    assert amounts("declined") == ["50.00"]


def test_stats_count_what_happened_of_late(payment: RunningService, standing_books: Books) -> None:
    customer = standing_books.open_account("100")
    before = payment.client.get("/api/stats").json()

    pay(payment, customer, "5")
    pay(payment, customer, "500")
    refund(payment, customer, "2")

    after = payment.client.get("/api/stats").json()
    kinds = ("payment.captured", "payment.declined", "refund.captured")
    grown = [after["transactions"][k] - before["transactions"].get(k, 0) for k in kinds]
    assert grown == [1, 1, 1]
    assert (after["window_s"], after["pending"], after["customers"]) == (900, 0, customer)


# --- customers and events


def test_a_new_customer_starts_with_an_empty_account(payment: RunningService, standing_books: Books) -> None:
    answer = payment.client.post("/api/customers", json={"name": "Änne Ødegård 🦊", "email": "a@b.test"})

    assert answer.status_code == 201
    customer = answer.json()["id"]
    assert payment.client.get(f"/api/customers/{customer}").json()["name"] == "Änne Ødegård 🦊"
    assert payment.client.get(f"/api/accounts/{customer}/balance").json()["balance"] == "0.00"
    assert answer.json()["trusted"] is False


def test_an_event_of_the_gateway_counts_once(payment: RunningService, standing_books: Books) -> None:
    event = {"event_id": f"evt-{uuid.uuid4()}", "type": "payment.settled", "data": {"transaction_id": 1}}

    answers = [payment.client.post("/api/webhooks/payment-gateway", json=event) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [answer.json()["status"] for answer in answers] == ["accepted", "duplicate", "duplicate"]
    kept = standing_books.query(
        "SELECT type, data FROM payment.webhook_events WHERE event_id = :id", id=event["event_id"]
    )
    assert kept == [("payment.settled", {"transaction_id": 1})]


def test_one_event_sent_sixteen_times_at_once_is_accepted_once(
    payment: RunningService, standing_books: Books, at_once: Any
) -> None:
    event = {"event_id": f"evt-{uuid.uuid4()}", "type": "payment.settled"}

    def send() -> str:
        return str(payment.client.post("/api/webhooks/payment-gateway", json=event).json()["status"])

    assert sorted(at_once([send] * 16)) == ["accepted"] + ["duplicate"] * 15


# --- payments


def test_a_payment_takes_the_money_and_is_captured(payment: RunningService, standing_books: Books) -> None:
    customer = standing_books.open_account("100")

    answer = pay(payment, customer, "30.25")

    assert answer.status_code == 201
    assert (answer.json()["status"], answer.json()["amount"]) == ("captured", "30.25")
    assert answer.json()["refundable"] == "30.25"
    assert answer.json()["completed_at"] >= answer.json()["created_at"]
    assert standing_books.balance(customer) == Decimal("69.75")
    assert payment.client.get(f"/api/transactions/{answer.json()['id']}").json() == answer.json()


def test_a_payment_with_items_takes_them_off_the_stock(
    payment: RunningService, standing_books: Books
) -> None:
    customer = standing_books.open_account("100")
    blue, green = standing_books.available("mug-blue"), standing_books.available("mug-green")
    items = [{"sku": "mug-green", "quantity": 1}, {"sku": "mug-blue", "quantity": 2}]

    assert pay(payment, customer, "30", items=items).status_code == 201

    assert standing_books.available("mug-blue") == blue - 2
    assert standing_books.available("mug-green") == green - 1
    assert standing_books.open_releases() == 0


def test_a_payment_to_the_last_cent_empties_the_account(
    payment: RunningService, standing_books: Books
) -> None:
    customer = standing_books.open_account("10.01")

    assert pay(payment, customer, "10.01").status_code == 201

    assert standing_books.balance(customer) == 0


def test_insufficient_funds_are_a_402_and_move_nothing(
    payment: RunningService, standing_books: Books, eventually: Any
) -> None:
    customer = standing_books.open_account("10")
    stock = standing_books.available("tee-black")

    answer = pay(payment, customer, "10.01", items=[{"sku": "tee-black", "quantity": 3}])

    assert (answer.status_code, answer.json()) == (402, {"detail": "insufficient funds"})
    assert standing_books.balance(customer) == 10
    eventually(lambda: standing_books.available("tee-black") == stock)
    last = payment.client.get("/api/transactions", params={"customer_id": customer}).json()["items"][0]
    assert (last["status"], last["reason"]) == ("declined", "insufficient funds")


def test_an_unknown_customer_is_a_404_and_leaves_no_trace(
    payment: RunningService, standing_books: Books
) -> None:
    before = standing_books.count("payment.transactions")

    answers = [pay(payment, 999_999, "5"), refund(payment, 999_999, "5")]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json() == {"detail": "no customer 999999"}
    assert standing_books.count("payment.transactions") == before


def test_what_looks_like_fraud_is_a_403_and_moves_nothing(
    payment: RunningService, standing_books: Books
) -> None:
    customer = standing_books.open_account("500000")

    answer = pay(payment, customer, "100000")

    assert (answer.status_code, answer.json()) == (403, {"detail": "the fraud check refused this"})
    assert standing_books.balance(customer) == 500_000


def test_a_trusted_customer_is_not_checked_for_fraud(payment: RunningService, standing_books: Books) -> None:
    customer = standing_books.open_account("500000", trusted=True)
    asked = payment.metric("dependency_requests_total", dependency="fraud")

    assert pay(payment, customer, "100000").status_code == 201

    assert payment.metric("dependency_requests_total", dependency="fraud") == asked


@pytest.mark.parametrize(
    ("items", "status", "detail"),
    [
        ([{"sku": "no-such-thing", "quantity": 1}], 404, "inventory: no article 'no-such-thing'"),
        ([{"sku": "display-stand", "quantity": 13}], 409, "inventory: only 12 of 'display-stand' available"),
    ],
)
def test_an_order_that_cannot_be_had_moves_nothing(
    payment: RunningService, standing_books: Books, items: list[Any], status: int, detail: str
) -> None:
    customer = standing_books.open_account("100")
    mugs = standing_books.available("mug-blue")

    answer = pay(payment, customer, "10", items=[{"sku": "mug-blue", "quantity": 1}, *items])

    assert answer.status_code == status
    assert answer.json()["detail"].startswith(detail)
    assert standing_books.balance(customer) == 100
    assert standing_books.available("mug-blue") == mugs


# --- refunds


def test_a_refund_comes_out_of_the_payment_that_fits_best(
    payment: RunningService, standing_books: Books
) -> None:
    customer = standing_books.open_account("1000")
    large, fitting, small = paid(payment, customer, "300", "50", "20")

    answer = refund(payment, customer, "30")

    assert answer.status_code == 201
    assert (answer.json()["kind"], answer.json()["refund_of"]) == ("refund", fitting)
    left = [
        payment.client.get(f"/api/transactions/{n}").json()["refundable"] for n in (large, fitting, small)
    ]
    assert left == ["300.00", "20.00", "20.00"]
    assert standing_books.balance(customer) == 1000 - 370 + 30


def test_a_refund_of_a_given_payment_leaves_the_others_alone(
    payment: RunningService, standing_books: Books
) -> None:
    customer = standing_books.open_account("1000")
    large, small = paid(payment, customer, "300", "50")

    assert refund(payment, customer, "50", transaction_id=large).json()["refund_of"] == large

    assert payment.client.get(f"/api/transactions/{small}").json()["refundable"] == "50.00"


def test_refunds_of_one_payment_end_when_it_is_used_up(
    payment: RunningService, standing_books: Books
) -> None:
    customer = standing_books.open_account("100")
    [only] = paid(payment, customer, "60")

    answers = [
        refund(payment, customer, amount, transaction_id=only) for amount in ("40", "20.01", "20", "0.01")
    ]

    assert [answer.status_code for answer in answers] == [201, 409, 201, 409]
    assert answers[1].json() == {"detail": "no payment has so much left to refund"}
    assert standing_books.balance(customer) == 100


def test_nobody_is_refunded_out_of_a_stranger_s_payment(
    payment: RunningService, standing_books: Books
) -> None:
    payer, stranger = standing_books.open_account("100"), standing_books.open_account("0")
    [theirs] = paid(payment, payer, "60")

    by_id = refund(payment, stranger, "1", transaction_id=theirs)
    by_fit = refund(payment, stranger, "1")

    assert (by_id.status_code, by_fit.status_code) == (404, 409)
    assert by_id.json() == {"detail": f"customer {stranger} has no transaction {theirs}"}
    assert standing_books.balance(stranger) == 0


def test_a_refund_is_not_refunded(payment: RunningService, standing_books: Books) -> None:
    customer = standing_books.open_account("100")
    paid(payment, customer, "60")
    given_back = refund(payment, customer, "10").json()["id"]

    assert refund(payment, customer, "5", transaction_id=given_back).status_code == 409


def test_refunds_are_checked_for_fraud_only_above_a_thousand(
    payment: RunningService, standing_books: Books
) -> None:
    customer = standing_books.open_account("5000")
    paid(payment, customer, "2000", "2000")
    asked = payment.metric("dependency_requests_total", dependency="fraud", outcome="ok")

    refund(payment, customer, "1000")
    at_the_limit = payment.metric("dependency_requests_total", dependency="fraud", outcome="ok")
    refund(payment, customer, "1000.01")
    above = payment.metric("dependency_requests_total", dependency="fraud", outcome="ok")

    assert (at_the_limit - asked, above - asked) == (0, 1)


@pytest.mark.parametrize("by_id", [True, False])
def test_concurrent_refunds_never_exceed_the_payment_and_use_it_up(
    payment: RunningService, standing_books: Books, at_once: Any, *, by_id: bool
) -> None:
    customer = standing_books.open_account("100")
    [only] = paid(payment, customer, "50")
    which = {"transaction_id": only} if by_id else {}

    statuses = at_once([lambda: refund(payment, customer, "10", **which).status_code] * 12)

    assert sorted(statuses) == [201] * 5 + [409] * 7
    assert standing_books.balance(customer) == 100


def test_concurrent_payments_never_overdraw(
    payment: RunningService, standing_books: Books, at_once: Any
) -> None:
    customer = standing_books.open_account("50")

    statuses = at_once([lambda: pay(payment, customer, "10").status_code] * 12)

    assert sorted(statuses) == [201] * 5 + [402] * 7
    assert standing_books.balance(customer) == 0


def test_money_and_stock_are_conserved_under_a_mixed_load(
    payment: RunningService, standing_books: Books, at_once: Any, eventually: Any
) -> None:
    customers = [standing_books.open_account("200") for _ in range(3)]
    both_ways = [
        [{"sku": "cap-navy", "quantity": 1}, {"sku": "bag-canvas", "quantity": 2}],
        [{"sku": "bag-canvas", "quantity": 1}, {"sku": "cap-navy", "quantity": 2}],
    ]

    def buy_and_return(n: int) -> set[int]:
        customer = customers[n % 3]
        statuses = set()
        for turn in range(4):
            statuses.add(pay(payment, customer, "17.30", items=both_ways[(n + turn) % 2]).status_code)
            statuses.add(refund(payment, customer, "9.99").status_code)
        return statuses

    seen = set.union(*at_once([lambda n=n: buy_and_return(n) for n in range(12)]))

    assert seen <= {201, 402, 409}
    assert 201 in seen
    eventually(lambda: standing_books.open_releases() == 0)
    assert standing_books.pending() == 0
