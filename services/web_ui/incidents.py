"""The console's view of incident-management: lists that all browsers share, and changes by one person."""

from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from services.web_ui.backends import Backend
from services.web_ui.readings import Latest
from services.web_ui.schemas import STATUSES, Incident, IncidentDetail, IncidentPage, Severity, Status

K = TypeVar("K")
V = TypeVar("V")

LIST_EVERY_S = 1.0
LIST_LIMIT = 200
ACTIVE: tuple[Status, ...] = ("open", "acknowledged", "in_progress")
_KEPT = 50
"""So many different lists and incidents are kept at once."""


@dataclass(frozen=True)
class Filter:
    """Which incidents are wanted; empty means all. ``text`` is looked for in what the list shows."""

    statuses: tuple[Status, ...] = ACTIVE
    severity: Severity | None = None
    service: str = ""
    text: str = ""

    def matches_text(self, incident: Incident) -> bool:
        """Whether every word of ``text`` is somewhere in the incident's line."""
        line = " ".join(
            [
                incident.title,
                incident.service,
                incident.severity,
                STATUSES[incident.status],
                incident.assigned_to or "",
                str(incident.id),
            ]
        ).casefold()
        return all(word in line for word in self.text.casefold().split())


class Incidents:
    """Reads and changes incidents."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lists: dict[Filter, Latest[list[Incident]]] = {}
        self._single: dict[UUID, Latest[IncidentDetail]] = {}

    def newest(self, wanted: Filter) -> Latest[list[Incident]]:
        """The newest incidents that fit ``wanted``, less its text."""
        key = Filter(wanted.statuses, wanted.severity, wanted.service)
        if key not in self._lists:
            _make_room(self._lists)
            self._lists[key] = Latest(lambda: self._fetch(key), every_s=LIST_EVERY_S)
        return self._lists[key]

    def one(self, incident_id: UUID) -> Latest[IncidentDetail]:
        """One incident with all that belongs to it."""
        if incident_id not in self._single:
            _make_room(self._single)
            self._single[incident_id] = Latest(
                lambda: self._backend.read(f"/api/v1/incidents/{incident_id}", IncidentDetail),
                every_s=LIST_EVERY_S,
            )
        return self._single[incident_id]

    async def change(
        self,
        incident_id: UUID,
        *,
        actor: str,
        status: Status | None = None,
        note: str | None = None,
        assigned_to: str | None = None,
    ) -> Incident:
        """Change one incident in ``actor``'s name. Raises ``Refused`` with the reason, or ``Away``."""
        given = {"status": status, "notes": note, "assigned_to": assigned_to}
        try:
            return await self._backend.change(
                "PATCH",
                f"/api/v1/incidents/{incident_id}",
                Incident,
                json={name: value for name, value in given.items() if value is not None},
                headers={"X-Actor": actor},
            )
        finally:
            self._forget()

    async def reopen(self, incident_id: UUID, *, actor: str) -> Incident:
        """Open a new incident that is linked to this resolved one."""
        try:
            return await self._backend.change(
                "POST", f"/api/v1/incidents/{incident_id}/reopen", Incident, headers={"X-Actor": actor}
            )
        finally:
            self._forget()

    async def _fetch(self, wanted: Filter) -> list[Incident]:
        params = [("limit", str(LIST_LIMIT)), *(("status", status) for status in wanted.statuses)]
        if wanted.severity:
            params.append(("severity", wanted.severity))
        if wanted.service:
            params.append(("service", wanted.service))
        return (await self._backend.read("/api/v1/incidents", IncidentPage, params=params)).items

    def _forget(self) -> None:
        for incidents in self._lists.values():
            incidents.forget()
        for incident in self._single.values():
            incident.forget()


def _make_room(kept: dict[K, V]) -> None:
    while len(kept) >= _KEPT:
        kept.pop(next(iter(kept)))
