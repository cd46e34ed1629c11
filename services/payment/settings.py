"""What the payment service reads from its environment, and what an operator may change."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from services.common.catalog import DNS_QUERY_PORT, service
from services.common.ops import OperatorModel
from services.common.settings import ServiceSettings, mode_alias

Seconds = Annotated[float, Field(ge=0.1, le=30)]
CardRange = Annotated[str, Field(pattern=r"^[0-9]{6}$", examples=["424242"])]
"""The first six digits of a card's number: which bank gave it out."""


class PaymentSettings(ServiceSettings):
    """Where the payment service's dependencies are."""

    database_url: str = service("payment").local_database_url
    failure_mode: str = Field(default="none", validation_alias=mode_alias("PAYMENT"))
    inventory_url: str = service("inventory").local_url
    fraud_url: str = f"http://fraud-api.internal.corp:{service('fraud').port}"
    dns_server: str = f"127.0.0.1:{DNS_QUERY_PORT}"


class PaymentOperatorSettings(OperatorModel):
    """What a person on call may change live on the payment service."""

    fraud_policy: Literal["enforce", "degraded", "off"] = Field(
        default="enforce",
        description="What happens when no fraud check can be had: refuse; let through up to"
        " degraded_limit and queue a review; or, with off, no check is asked for at all.",
    )
    degraded_limit: Annotated[Decimal, Field(gt=0, le=100_000, max_digits=12, decimal_places=2)] = Field(
        default=Decimal("2000.00"), description="The most that passes unchecked while the policy is degraded."
    )
    deadline_s: Seconds = Field(default=3.0, description="A payment or refund gives up after this long.")
    fraud_deadline_s: Seconds = Field(default=1.0, description="For the fraud check alone.")
    inventory_deadline_s: Seconds = Field(default=2.0, description="For the reservation alone.")
    breaker: Literal["on", "off"] = Field(
        default="off", description="Whether repeated failures of a dependency make calls to it fail at once."
    )
    acquirer: Literal["primary", "backup"] = Field(
        default="primary", description="The acquirer that authorises payments."
    )
    backup_card_ranges: tuple[CardRange, ...] = Field(
        default=(), max_length=100, description="Ranges of cards that go to the backup acquirer at all times."
    )
    back_office: Literal["open", "closed"] = Field(
        default="open", description="Whether the back office may work on accounts in sessions of its own."
    )
    remember_addresses: bool = Field(
        default=True, description="Whether addresses from DNS are remembered for as long as their TTL says."
    )
