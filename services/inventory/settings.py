"""What the inventory service reads from its environment, and what an operator may change."""

from typing import Literal

from pydantic import Field

from services.common.catalog import service
from services.common.ops import OperatorModel
from services.common.settings import ServiceSettings, mode_alias


class InventorySettings(ServiceSettings):
    """The inventory service needs Postgres: it works with row locks."""

    database_url: str = service("inventory").local_database_url
    failure_mode: str = Field(default="none", validation_alias=mode_alias("INVENTORY"))


class InventoryOperatorSettings(OperatorModel):
    """What a person on call may change live on the inventory service."""

    stock_take: Literal["allowed", "stopped"] = Field(
        default="allowed", description="Whether the stock-taking job may run."
    )
    reserve_deadline_s: float = Field(
        default=5.0,
        ge=0.1,
        le=30,
        description="A reservation gives up after this long, or sooner if asked to.",
    )
