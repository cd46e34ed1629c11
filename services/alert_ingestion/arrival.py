"""An alert on its way in, whatever source it comes from, and what the store made of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from services.alert_ingestion.schemas import Action, Source
from services.common.fields import Severity

Slot = tuple[str, str]
"""Service and severity: what alerts are correlated by."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An alert as it came in. ``fingerprint`` and ``idempotency_key`` say when it is one that came before."""

    source: Source
    service: str
    severity: Severity
    message: str
    labels: dict[str, str]
    occurred_at: datetime | None
    fingerprint: str | None = None
    idempotency_key: str | None = None
    request_hash: str | None = None

    @property
    def slot(self) -> Slot:
        return self.service, self.severity

    @property
    def identity(self) -> tuple[str, str] | None:
        """What makes it the same alert as another one; ``None`` when nothing does."""
        if self.fingerprint is not None:
            return self.source, self.fingerprint
        return ("key", self.idempotency_key) if self.idempotency_key is not None else None


@dataclass(frozen=True, slots=True)
class Resolution:
    """A source says that an alert of its is over."""

    source: Source
    fingerprint: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Resolved:
    """The alert that is over."""

    alert_id: UUID
    incident_id: UUID | None


@dataclass(frozen=True, slots=True)
class Opening:
    """An incident that has to be opened: ``key`` makes it one incident, whoever asks how often."""

    key: UUID
    service: str
    severity: Severity
    title: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored alert. Without an incident it waits for ``opening``.

    ``was`` says whether it is new, a repeat of one that is under way, or one
    that its source had already resolved.
    """

    alert_id: UUID
    incident_id: UUID | None
    action: Action
    opening: Opening | None
    was: Literal["new", "repeated", "stale"] = "new"


@dataclass(frozen=True, slots=True)
class KeyMisused:
    """The idempotency key came with a different alert before."""
