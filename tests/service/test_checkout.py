"""Checkout through the whole shop: an order that goes well, and the two that are asked to fail."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from tests.books import Books
from tests.conftest import RunningService, Shop

BEHIND_CHECKOUT = ("dns", "fraud", "inventory", "payment", "gateway")
ORDER = {
    "customer_id": 2,
    "items": [{"sku": "mug-blue", "quantity": 2}, {"sku": "cap-navy", "quantity": 1}],
    "payment": {"amount": "59.90"},
}
Eventually = Callable[..., None]


@pytest.fixture
def gateway(shop: Shop) -> RunningService:
    """The gateway of a shop without profiles."""
    return shop.start(*BEHIND_CHECKOUT)


def lines(service: RunningService, event: str) -> list[dict[str, Any]]:
    parsed = (
        json.loads(line)
        for line in service.log.read_text().rpartition("\n")[0].splitlines()
        if line.startswith("{")
    )
    return [line for line in parsed if line["event"] == event]


def test_an_order_is_paid_and_taken_off_the_stock(gateway: RunningService, books: Books) -> None:
    balance = books.balance(2)

    answer = gateway.client.post("/checkout", json=ORDER)

    assert answer.status_code == 201
    receipt = answer.json()
    assert receipt == {
        "order_id": f"order-{receipt['transaction_id']}",
        "status": "paid",
        "transaction_id": receipt["transaction_id"],
        "amount": "59.90",
    }
    assert balance - books.balance(2) == Decimal("59.90")
    assert books.available("mug-blue") == 249_998
    assert books.available("cap-navy") == 249_999


def test_the_success_trigger_is_a_paid_order(gateway: RunningService, books: Books) -> None:
    answer = gateway.client.post("/checkout/success")

    assert (answer.status_code, answer.json()["amount"]) == (201, "18.50")
    assert books.available("mug-blue") == 249_999


def test_an_order_sent_again_with_its_key_is_paid_once(gateway: RunningService, books: Books) -> None:
    headers = {"Idempotency-Key": "order-1"}

    first = gateway.client.post("/checkout", json=ORDER, headers=headers)
    second = gateway.client.post("/checkout", json=ORDER, headers=headers)

    assert (second.status_code, second.json()) == (201, first.json())
    assert books.available("cap-navy") == 249_999


@pytest.mark.parametrize(
    ("change", "status", "detail"),
    [
        ({"customer_id": 4}, 402, "insufficient funds"),
        ({"customer_id": 999_999}, 404, "no customer 999999"),
        ({"items": [{"sku": "no-such-thing", "quantity": 1}]}, 404, "inventory: no article 'no-such-thing'"),
        ({"items": [{"sku": "display-stand", "quantity": 13}]}, 409, "inventory: only 12 of 'display-stand'"),
        ({"payment": {"amount": "100000"}}, 403, "the fraud check refused this"),
    ],
)
def test_an_order_that_is_refused_says_why_and_takes_nothing(
    gateway: RunningService,
    books: Books,
    eventually: Eventually,
    change: dict[str, Any],
    status: int,
    detail: str,
) -> None:
    answer = gateway.client.post("/checkout", json={**ORDER, **change})

    assert answer.status_code == status
    assert answer.json()["detail"].startswith(detail)
    eventually(lambda: books.open_releases() == 0)
    assert books.available("mug-blue") == 250_000


def test_the_fail_trigger_is_a_500_with_a_value_error_in_the_log_of_payment(
    shop: Shop, gateway: RunningService, books: Books, eventually: Eventually
) -> None:
    answer = gateway.client.post("/checkout/order-fail-pay")

    assert (answer.status_code, answer.json()) == (500, {"detail": "the payment failed"})
    eventually(lambda: lines(shop["payment"], "request.failed"))
    [line] = lines(shop["payment"], "request.failed")
    assert (line["level"], line["error_type"]) == ("error", "ValueError")
    assert line["trace_id"] == answer.headers["x-trace-id"]
    eventually(lambda: lines(shop["payment"], "request.finished"))
    assert lines(shop["payment"], "request.finished")[-1]["status"] == 500
    eventually(lambda: books.open_releases() == 0)
    assert books.available("mug-blue") == 250_000


def test_the_timeout_trigger_is_a_500_within_four_seconds_and_a_504_of_payment(
    shop: Shop, gateway: RunningService, books: Books, eventually: Eventually
) -> None:
    started = time.perf_counter()

    answer = gateway.client.post("/checkout/order-timeout")

    assert answer.status_code == 500
    assert 1.5 < time.perf_counter() - started < 4.0
    assert shop["payment"].metric("http_requests_total", route="/api/payment", status="504") == 1
    eventually(lambda: shop["inventory"].metric("http_requests_total", status="504") == 1)
    eventually(lambda: books.open_releases() == 0)
    assert books.available("display-stand") == 12
    assert gateway.client.post("/checkout/success").status_code == 201


def test_the_timeout_trigger_many_times_at_once_disturbs_nobody_else(
    gateway: RunningService, books: Books, eventually: Eventually
) -> None:
    with ThreadPoolExecutor(8) as pool:
        hanging = [pool.submit(gateway.client.post, "/checkout/order-timeout") for _ in range(6)]
        time.sleep(0.5)
        statuses = [gateway.client.post("/checkout/success").status_code for _ in range(3)]
        hung = [one.result().status_code for one in hanging]

    assert (statuses, hung) == ([201] * 3, [500] * 6)
    eventually(lambda: books.open_releases() == 0)


def test_triggers_are_forbidden_outside_the_demo(shop: Shop, books: Books) -> None:
    gateway = shop.start(*BEHIND_CHECKOUT, ENV="local")

    answers = [gateway.client.post(f"/checkout/order-{name}") for name in ("fail-pay", "timeout")]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert gateway.client.post("/checkout/success").status_code == 201


def test_one_trace_goes_through_the_whole_shop(
    shop: Shop, gateway: RunningService, books: Books, eventually: Callable[..., None]
) -> None:
    answer = gateway.client.post("/checkout", json=ORDER, headers={"x-request-id": "order-77"})

    trace_id = answer.headers["x-trace-id"]

    def ids(name: str) -> list[tuple[object, object]]:
        finished = lines(shop[name], "request.finished")
        return [(one["trace_id"], one["request_id"]) for one in finished if one["path"] != "/health"]

    # A line is written after the answer is out.
    for name in ("gateway", "payment", "fraud", "inventory"):
        eventually(lambda name=name: ids(name))
        assert ids(name) == [(trace_id, "order-77")], name
