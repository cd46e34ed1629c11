"""What the payment service takes and answers. Amounts are decimal, with two places, as strings."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from services.common.fields import Line
from services.common.pages import Page

MAX_ID = 2**63 - 1
Id = Annotated[int, Field(ge=1, le=MAX_ID)]
Amount = Annotated[Decimal, Field(gt=0, le=1_000_000, max_digits=12, decimal_places=2, examples=["42.50"])]


def _storable(value: JsonValue) -> JsonValue:
    """Refuse what Postgres keeps in no JSON: NaN and infinities, lone surrogates, NUL."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    text.encode()
    if "\\u0000" in text.replace("\\\\", ""):
        raise ValueError("text must not contain NUL")
    return value


class Customer(BaseModel):
    """Somebody with an account. Trusted customers are not checked for fraud."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    email: str
    trusted: bool
    created_at: datetime


class NewCustomer(BaseModel):
    """A customer to be."""

    model_config = ConfigDict(extra="forbid")

    name: Line
    email: Annotated[
        str, Field(max_length=200, pattern=r"^[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")
    ]


class Balance(BaseModel):
    """What a customer's account holds."""

    model_config = ConfigDict(from_attributes=True)

    customer_id: int
    balance: Decimal
    updated_at: datetime


class PaymentMethod(BaseModel):
    """A way to pay."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    customer_id: int
    kind: str
    label: str
    created_at: datetime


class Transaction(BaseModel):
    """One payment or refund, whatever became of it. ``refundable`` is what is left of a payment."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    customer_id: int
    kind: Literal["payment", "refund"]
    amount: Decimal
    status: Literal["pending", "captured", "declined", "failed"]
    reason: str | None
    refundable: Decimal
    refund_of: int | None
    created_at: datetime
    completed_at: datetime | None


class TransactionPage(Page[Transaction]):
    """Transactions, newest first; ``next_offset`` is null on the last page."""


class Item(BaseModel):
    """So many of one article."""

    model_config = ConfigDict(extra="forbid")

    sku: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", examples=["mug-blue"])]
    quantity: Annotated[int, Field(ge=1, le=1000)]


class PaymentRequest(BaseModel):
    """Pay from a customer's account; stock is reserved for ``items``."""

    model_config = ConfigDict(extra="forbid")

    customer_id: Id
    amount: Amount
    items: Annotated[list[Item], Field(max_length=50)] = []


class RefundRequest(BaseModel):
    """Give money back to a customer.

    Without ``transaction_id`` it comes out of the payment that fits best: the
    one with the least left to refund that still covers the amount.
    """

    model_config = ConfigDict(extra="forbid")

    customer_id: Id
    amount: Amount
    transaction_id: Id | None = None


class WebhookEvent(BaseModel):
    """An event of the payment gateway. The same ``event_id`` counts once."""

    model_config = ConfigDict(extra="forbid")

    event_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,100}$", examples=["evt-1"])]
    type: Annotated[str, Field(pattern=r"^[a-z][a-z0-9._-]{0,63}$", examples=["payment.settled"])]
    data: Annotated[dict[Line, JsonValue], AfterValidator(_storable)] = {}


class WebhookReceipt(BaseModel):
    """Whether the event is new."""

    event_id: str
    status: Literal["accepted", "duplicate"]


class Stats(BaseModel):
    """Counts by kind and status over the last ``window_s`` seconds; ``pending`` at this moment."""

    window_s: int
    transactions: dict[str, int]
    customers: int
    pending: int
