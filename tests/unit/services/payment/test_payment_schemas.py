"""What the payment service takes for an amount, a name and an event."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.payment.ledger import Idempotency
from services.payment.schemas import NewCustomer, PaymentRequest, WebhookEvent


@pytest.mark.parametrize("amount", ["0.01", "1000000", "42.5", "42.50", 42, "1e3"])
def test_an_amount_is_a_decimal_with_at_most_two_places(amount: Any) -> None:
    assert PaymentRequest(customer_id=1, amount=amount).amount > 0


@pytest.mark.parametrize(
    "amount",
    [
        "0",
        "-1",
        "-0.01",
        "0.001",
        "1.005",
        "1000000.01",
        "1e7",
        "NaN",
        "Infinity",
        "-Infinity",
        "",
        "x",
        None,
        [],
        True,
    ],
)
def test_no_other_amount_is_taken(amount: Any) -> None:
    with pytest.raises(ValidationError):
        PaymentRequest(customer_id=1, amount=amount)


@pytest.mark.parametrize(
    "text", ["a\\u0000b", {"deep": ["\\", "\\\\u0000", "ä\U0001f98a"]}, 1e308, None, [[[[1]]]]]
)
def test_an_event_may_carry_any_json_that_postgres_keeps(text: Any) -> None:
    assert WebhookEvent(event_id="e", type="a.b", data={"value": text}).data == {"value": text}


@pytest.mark.parametrize(
    "value",
    [
        "\x00",
        "a\x00b",
        ["\x00"],
        {"\x00": 1},
        "\ud800",
        {"deep": {"\udfff": 1}},
        float("nan"),
        [float("inf")],
    ],
)
def test_an_event_with_what_postgres_cannot_keep_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        WebhookEvent(event_id="e", type="a.b", data={"value": value})


@pytest.mark.parametrize("name", ["", "a\nb", "a\x00b", "\x7f", "x" * 201])
def test_a_name_is_one_line_of_text(name: str) -> None:
    with pytest.raises(ValidationError):
        NewCustomer(name=name, email="a@b.test")


def test_two_requests_have_one_hash_only_if_they_are_the_same() -> None:
    def hash_of(**body: Any) -> str:
        made = Idempotency.of("/api/payment", "key", PaymentRequest(**body))
        assert made is not None
        return made.request_hash

    assert hash_of(customer_id=1, amount="5.00") == hash_of(amount="5.00", customer_id=1, items=[])
    assert hash_of(customer_id=1, amount="5.00") != hash_of(customer_id=2, amount="5.00")
    assert hash_of(customer_id=1, amount="5.00") != hash_of(customer_id=1, amount="5.01")


def test_no_key_makes_no_claim() -> None:
    assert Idempotency.of("/api/payment", None, PaymentRequest(customer_id=1, amount="5")) is None  # type: ignore[arg-type]
