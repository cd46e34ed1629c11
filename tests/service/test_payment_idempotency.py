"""A request with an ``Idempotency-Key`` moves money once, however often and however at once it is sent."""

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.books import Books
from tests.conftest import RunningService, Shop

Send = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def payment(standing_shop: Shop) -> RunningService:
    """The service with all that it depends on."""
    return standing_shop.start("dns", "fraud", "inventory", "payment")


@pytest.fixture
def key() -> str:
    """A key that nobody has used."""
    return str(uuid.uuid4())


@pytest.fixture
def send(payment: RunningService, key: str) -> Send:
    """Post a movement of money with the test's key."""

    def post(path: str, **body: Any) -> httpx.Response:
        return payment.client.post(f"/api/{path}", json=body, headers={"Idempotency-Key": key})

    return post


def test_the_same_payment_sent_again_has_the_same_answer_and_moves_nothing(
    send: Send, standing_books: Books
) -> None:
    customer = standing_books.open_account("100")
    body = {"customer_id": customer, "amount": "30.00", "items": [{"sku": "mug-blue", "quantity": 2}]}
    mugs = standing_books.available("mug-blue")

    first, second = send("payment", **body), send("payment", **body)

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert standing_books.balance(customer) == 70
    assert standing_books.available("mug-blue") == mugs - 2


def test_the_same_refund_sent_again_gives_back_once(
    payment: RunningService, send: Send, standing_books: Books
) -> None:
    customer = standing_books.open_account("100")
    payment.client.post("/api/payment", json={"customer_id": customer, "amount": "50"})

    answers = [send("refund", customer_id=customer, amount="20") for _ in range(3)]

    assert [answer.json()["id"] for answer in answers] == [answers[0].json()["id"]] * 3
    assert standing_books.balance(customer) == 70


def test_a_refusal_is_answered_again_as_it_was_even_when_it_would_go_well_now(
    send: Send, standing_books: Books
) -> None:
    customer = standing_books.open_account("10")

    first = send("payment", customer_id=customer, amount="30")
    standing_books.deposit(customer, "100")
    second = send("payment", customer_id=customer, amount="30")

    assert (first.status_code, second.status_code) == (402, 402)
    assert second.json() == first.json()
    rows = standing_books.value(
        "SELECT count(*) FROM payment.transactions WHERE customer_id = :id", id=customer
    )
    assert rows == 1


def test_sixteen_identical_payments_at_once_move_money_once(
    send: Send, standing_books: Books, at_once: Any
) -> None:
    customer = standing_books.open_account("100")
    body = {"customer_id": customer, "amount": "30.00"}

    answers = at_once([lambda: send("payment", **body)] * 16)

    assert {answer.status_code for answer in answers} <= {201, 409}
    ids = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    again = send("payment", **body)
    assert again.status_code == 201
    assert ids == {again.json()["id"]}
    assert standing_books.balance(customer) == 70


@pytest.mark.parametrize(
    "other",
    [{"amount": "31"}, {"items": [{"sku": "mug-blue", "quantity": 1}]}, {"customer_id": 1}],
)
def test_a_key_used_for_another_request_is_a_422(
    send: Send, standing_books: Books, other: dict[str, Any]
) -> None:
    customer = standing_books.open_account("100")
    body = {"customer_id": customer, "amount": "30"}
    send("payment", **body)

    answer = send("payment", **{**body, **other})

    assert answer.status_code == 422
    assert answer.json() == {"detail": "this Idempotency-Key was used for a different request"}
    assert standing_books.balance(customer) == 70


def test_one_key_serves_a_payment_and_a_refund_apart(send: Send, standing_books: Books) -> None:
    customer = standing_books.open_account("100")

    assert send("payment", customer_id=customer, amount="30").json()["kind"] == "payment"
    assert send("refund", customer_id=customer, amount="30").json()["kind"] == "refund"

    assert standing_books.balance(customer) == 100


@pytest.mark.parametrize("bad", ["", "with space", "x" * 129, "tab\there"])
def test_a_key_that_is_none_is_a_422(payment: RunningService, standing_books: Books, bad: str) -> None:
    customer = standing_books.open_account("100")

    answer = payment.client.post(
        "/api/payment", json={"customer_id": customer, "amount": "30"}, headers={"Idempotency-Key": bad}
    )

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["header", "idempotency-key"]
    assert standing_books.balance(customer) == 100


def test_an_attempt_that_failed_with_a_500_may_be_sent_again_and_then_succeeds(
    payment: RunningService, send: Send, standing_books: Books
) -> None:
    customer = standing_books.open_account("100")
    body = {"customer_id": customer, "amount": "30"}
    payment.mode("decline")
    failed = send("payment", **body)
    payment.mode("none")

    succeeded = send("payment", **body)

    assert (failed.status_code, succeeded.status_code) == (500, 201)
    assert send("payment", **body).json() == succeeded.json()
    assert standing_books.balance(customer) == 70


def test_an_attempt_that_failed_for_want_of_a_dependency_may_be_sent_again(
    standing_shop: Shop, payment: RunningService, send: Send, standing_books: Books, eventually: Any
) -> None:
    customer = standing_books.open_account("100")
    body = {"customer_id": customer, "amount": "30", "items": [{"sku": "tee-white", "quantity": 1}]}
    shirts = standing_books.available("tee-white")
    standing_shop["dns"].mode("record_missing")
    failed = send("payment", **body)
    standing_shop["dns"].mode("none")

    succeeded = send("payment", **body)

    assert (failed.status_code, succeeded.status_code) == (503, 201)
    assert standing_books.balance(customer) == Decimal(70)
    eventually(lambda: standing_books.open_releases() == 0)
    assert standing_books.available("tee-white") == shirts - 1
