"""What is delivered, and to what."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.notification.schemas import Channel


@dataclass(frozen=True)
class Listed:
    """One notification that a bundle lists."""

    delivery_id: UUID
    incident_id: str | None
    message: str


@dataclass(frozen=True)
class Page:
    """One message on its way: attempt ``number`` (1, 2, …) at delivering it.

    ``reached`` names the receivers that have it from an earlier attempt;
    ``listed`` is empty unless it is a bundle.
    """

    delivery_id: UUID
    number: int
    channel: Channel
    recipient: str
    message: str
    incident_id: str | None
    created_at: datetime
    reached: frozenset[str] = frozenset()
    listed: tuple[Listed, ...] = ()

    @property
    def title(self) -> str:
        """One line that says what it is about."""
        if self.listed:
            return f"{len(self.listed)} notifications"
        return f"Incident {self.incident_id}"


class NotDelivered(Exception):
    """A receiver did not take the message.

    ``is_down``: it could not be reached, hung or failed, so others would fare no
    better there. What is refused is tried again like what is down: most often a
    setting is wrong, and somebody mends it meanwhile.
    """

    def __init__(self, reason: str, *, is_down: bool = False) -> None:
        super().__init__(reason)
        self.is_down = is_down


class Receiver(Protocol):
    """One place that messages go to."""

    @property
    def name(self) -> str:
        """What it is called in the log and in the outbox; the same after a restart, and without secrets."""

    async def deliver(self, page: Page) -> None:
        """Hand the message over; raises ``NotDelivered``."""


def bundle_message(recipient: str, listed: tuple[Listed, ...]) -> str:
    """The text that lists what a bundle carries: a line each, cut to ``LISTED_CHARS`` characters."""
    lines = [f"- incident {one.incident_id}: {_first_line(one.message)}" for one in listed]
    return "\n".join([f"{len(listed)} notifications for {recipient}:", *lines])


LISTED_CHARS = 200


def _first_line(message: str) -> str:
    line = message.strip().partition("\n")[0].rstrip()
    return line if len(line) <= LISTED_CHARS else line[: LISTED_CHARS - 1] + "…"
