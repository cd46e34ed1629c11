"""A record that leads to nobody: the payments that need a check, and what is remembered of the record."""

from collections.abc import Callable

import pytest

from tests.conftest import RunningService, Shop

Eventually = Callable[..., None]
RIGHT = {"address": "127.0.0.1", "ttl_s": 1}


def pay(payment: RunningService, customer_id: int = 1) -> int:
    body = {"customer_id": customer_id, "amount": "10.00"}
    return payment.client.post("/api/payment", json=body).status_code


@pytest.fixture
def payment(shop: Shop) -> RunningService:
    """Payment with what it calls, and the record gone stale after a first payment."""
    payment = shop.start("dns", "fraud", "inventory", "payment")
    assert pay(payment) == 201
    shop["dns"].mode("record_stale")
    return payment


def test_checked_payments_fail_and_trusted_customers_pay(payment: RunningService) -> None:
    assert (pay(payment, 1), pay(payment, 5)) == (503, 201)


def test_the_right_record_is_not_enough_while_the_wrong_one_is_remembered(
    shop: Shop, payment: RunningService, eventually: Eventually
) -> None:
    remembered = pay(payment)

    shop["dns"].client.put("/ops/records/fraud-api", json=RIGHT)
    still = pay(payment)
    payment.set(remember_addresses=False)

    assert (remembered, still, pay(payment)) == (503, 503, 201)


def test_a_restart_forgets_the_wrong_address(shop: Shop, payment: RunningService) -> None:
    pay(payment)
    shop["dns"].client.put("/ops/records/fraud-api", json=RIGHT)

    assert pay(shop.restart("payment")) == 201


def test_the_baseline_of_both_services_is_health(shop: Shop, payment: RunningService) -> None:
    pay(payment)

    shop["dns"].client.post("/admin/baseline")
    payment.client.post("/admin/baseline")

    assert pay(payment) == 201


def test_the_degraded_policy_lets_small_payments_through(payment: RunningService) -> None:
    payment.set(fraud_policy="degraded")

    assert pay(payment) == 201
