"""The console's view of incident-management: lists that all browsers share, and changes by one person."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.web_ui.backends import Backend
from services.web_ui.readings import Latest, Readings
from services.web_ui.schemas import (
    Incident,
    IncidentDetail,
    IncidentPage,
    Postmortem,
    Severity,
    Status,
)

LIST_EVERY_S = 1.0
LIST_LIMIT = 200
SEARCH_LENGTH = 200
ACTIVE: tuple[Status, ...] = ("open", "acknowledged", "in_progress")


@dataclass(frozen=True)
class Filter:
    """Which incidents are wanted; empty means all. Every word of ``text`` is in an incident's line."""

    statuses: tuple[Status, ...] = ACTIVE
    severity: Severity | None = None
    service: str = ""
    text: str = ""
    offset: int = 0
    """How many newer ones are on the pages before."""


class Incidents:
    """Reads and changes incidents."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lists: Readings[Filter, IncidentPage] = Readings(self._fetch, every_s=LIST_EVERY_S)
        self._single: Readings[UUID, IncidentDetail] = Readings(
            lambda incident_id: backend.read(f"/api/v1/incidents/{incident_id}", IncidentDetail),
            every_s=LIST_EVERY_S,
        )

    def newest(self, wanted: Filter) -> Latest[IncidentPage]:
        """A page of the newest incidents that fit ``wanted``."""
        return self._lists.of(wanted)

    def one(self, incident_id: UUID) -> Latest[IncidentDetail]:
        """One incident with all that belongs to it."""
        return self._single.of(incident_id)

    async def change(
        self,
        incident_id: UUID,
        *,
        actor: str,
        status: Status | None = None,
        note: str | None = None,
        assigned_to: str | None = None,
        severity: Severity | None = None,
    ) -> Incident:
        """Change one incident in ``actor``'s name. Raises ``Refused`` with the reason, or ``Away``."""
        given = {"status": status, "notes": note, "assigned_to": assigned_to, "severity": severity}
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

    async def postmortem(self, incident_id: UUID) -> str:
        """The postmortem as Markdown. Raises ``Refused`` if none is written yet, or ``Away``."""
        return await self._backend.read_text(f"/api/v1/incidents/{incident_id}/postmortem")

    async def write_postmortem(
        self,
        incident_id: UUID,
        *,
        actor: str,
        summary: str,
        impact: str,
        root_cause: str,
        lessons: str,
        action_items: Sequence[str],
    ) -> Postmortem:
        """Write a resolved incident's postmortem, in place of the one before."""
        given = {"summary": summary, "impact": impact, "root_cause": root_cause, "lessons": lessons}
        try:
            return await self._backend.change(
                "POST",
                f"/api/v1/incidents/{incident_id}/postmortem",
                Postmortem,
                json={
                    **{name: text for name, text in given.items() if text},
                    "action_items": list(action_items),
                },
                headers={"X-Actor": actor},
            )
        finally:
            self._forget()

    async def _fetch(self, wanted: Filter) -> IncidentPage:
        params = [("limit", str(LIST_LIMIT)), *(("status", status) for status in wanted.statuses)]
        if wanted.severity:
            params.append(("severity", wanted.severity))
        if wanted.service:
            params.append(("service", wanted.service))
        if text := _searchable(wanted.text):
            params.append(("q", text))
        if wanted.offset:
            params.append(("offset", str(wanted.offset)))
        return await self._backend.read("/api/v1/incidents", IncidentPage, params=params)

    def _forget(self) -> None:
        self._lists.forget()
        self._single.forget()


def _searchable(text: str) -> str:
    """As incident-management takes it: one line, not too long."""
    return "".join(sign for sign in " ".join(text.split()) if sign.isprintable())[:SEARCH_LENGTH].strip()
