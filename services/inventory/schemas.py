"""What the inventory service takes and answers."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Sku = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", examples=["mug-blue"])]


class Item(BaseModel):
    """So many of one article."""

    model_config = ConfigDict(extra="forbid")

    sku: Sku
    quantity: Annotated[int, Field(ge=1, le=1000)]


class Stock(BaseModel):
    """An article and how many can still be reserved."""

    model_config = ConfigDict(from_attributes=True)

    sku: str
    name: str
    available: int


class ReserveRequest(BaseModel):
    """A reservation; its id is the caller's, so that asking twice reserves once."""

    model_config = ConfigDict(extra="forbid")

    reservation_id: UUID
    items: Annotated[list[Item], Field(min_length=1, max_length=50)]


class ReleaseRequest(BaseModel):
    """Give a reservation back."""

    model_config = ConfigDict(extra="forbid")

    reservation_id: UUID


class Reservation(BaseModel):
    """A reservation and whether it still holds stock."""

    reservation_id: UUID
    status: Literal["reserved", "released"]
