"""What the notification service takes and answers."""

from datetime import datetime
from typing import Annotated, Literal, get_args
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.common.fields import Line
from services.common.pages import Page

Channel = Literal["console", "email", "webhook", "chat"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)
Status = Literal["queued", "delivered", "dead"]


class NewNotification(BaseModel):
    """Somebody is to be told something about an incident."""

    model_config = ConfigDict(extra="forbid")

    incident_id: Line
    channel: Channel
    recipient: Line
    message: Annotated[
        str, Field(min_length=1, max_length=4000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+$")
    ]


class Receipt(BaseModel):
    """The notification is on record and will be delivered at least once under this id.

    ``note`` says why when it goes by another channel than was asked for.
    """

    delivery_id: UUID
    status: Literal["queued"] = "queued"
    channel: Channel
    note: str | None


class Notification(BaseModel):
    """A notification and what became of it; ``note`` says why when ``channel`` is not what was asked for.

    ``bundle_id`` names the delivery that lists this one; such a delivery has
    ``is_bundle`` and, as it may speak of several, no ``incident_id``.
    """

    model_config = ConfigDict(from_attributes=True)

    delivery_id: Annotated[UUID, Field(validation_alias="id")]
    incident_id: str | None
    channel: Channel
    recipient: str
    message: str
    note: str | None
    status: Status
    is_bundle: bool
    bundle_id: UUID | None
    attempt_count: int
    due_at: datetime
    last_error: str | None
    created_at: datetime
    ended_at: datetime | None


class Attempt(BaseModel):
    """One attempt; without an outcome it is under way."""

    model_config = ConfigDict(from_attributes=True)

    number: int
    started_at: datetime
    ended_at: datetime | None
    outcome: Literal["delivered", "failed", "interrupted"] | None
    error: str | None


class NotificationDetail(Notification):
    """One notification with its attempts; those of its bundle, if it travels in one."""

    attempts: list[Attempt]


class NotificationPage(Page[Notification]):
    """Notifications, newest first; ``next_offset`` is null on the last page."""
