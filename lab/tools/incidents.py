"""Incidents, asked of incident-management under the candidate's name."""

from typing import Annotated, cast, get_args
from uuid import UUID

from pydantic import Field, JsonValue

from embedded.errors import LabError
from lab.tools.api import Api, Document, Offset
from lab.tools.seat import Seat
from services.common.fields import Severity
from services.incident_management.schemas import STATUSES, Status

PATH = "/incidents"


class Incidents:
    """The incident platform as a responder uses it."""

    def __init__(self, seat: Seat) -> None:
        self._actor = seat.actor
        self._api = Api(seat.url("incident-management") + "/api/v1", actor=seat.actor)

    def list_incidents(
        self,
        status: Status | None = None,
        limit: Annotated[int, Field(ge=1, le=200)] = 20,
        offset: Offset = 0,
    ) -> Document:
        """Incidents, newest first."""
        return self._api.get(PATH, status=status, limit=limit, offset=offset)

    def get_incident(self, incident_id: UUID) -> Document:
        """One incident with its alerts, notes and timeline."""
        return self._api.get(f"{PATH}/{incident_id}")

    def acknowledge_incident(self, incident_id: UUID) -> Document:
        """Acknowledge an incident and take it."""
        return self._change(incident_id, {"status": "acknowledged", "assigned_to": self._actor})

    def change_incident(
        self,
        incident_id: UUID,
        status: Status | None = None,
        assigned_to: str | None = None,
        severity: Severity | None = None,
    ) -> Document:
        """Move an incident on (`in_progress`, `resolved`), give it to somebody, rate it."""
        change = {"status": status, "assigned_to": assigned_to, "severity": severity}
        return self._change(incident_id, {name: value for name, value in change.items() if value is not None})

    def add_note(self, incident_id: UUID, text: str) -> Document:
        """Leave a note on an incident: what, when, impact, what was done or is next."""
        return self._change(incident_id, {"notes": text})

    def write_postmortem(
        self,
        incident_id: UUID,
        summary: str,
        impact: str | None = None,
        root_cause: str | None = None,
        lessons: str | None = None,
        action_items: list[str] | None = None,
    ) -> Document:
        """Write the postmortem of an incident that is resolved."""
        parts = {"summary": summary, "impact": impact, "root_cause": root_cause, "lessons": lessons}
        body = {name: text for name, text in parts.items() if text is not None}
        return self._api.send(
            "POST", f"{PATH}/{incident_id}/postmortem", {**body, "action_items": action_items or []}
        )

    def _change(self, incident_id: UUID, change: dict[str, JsonValue]) -> Document:
        return self._api.send("PATCH", f"{PATH}/{incident_id}", change)


def status_of(text: str | None) -> Status | None:
    """A status as a person writes it; ``LabError`` if it is none."""
    return cast(Status | None, _one_of(text, STATUSES, what="status"))


def severity_of(text: str | None) -> Severity | None:
    """A severity as a person writes it; ``LabError`` if it is none."""
    return cast(Severity | None, _one_of(text, get_args(Severity), what="severity"))


def _one_of(text: str | None, allowed: tuple[str, ...], *, what: str) -> str | None:
    if text is not None and text not in allowed:
        raise LabError(f"{text!r} is no {what}; there are: {', '.join(allowed)}")
    return text
