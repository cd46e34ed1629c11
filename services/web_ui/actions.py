"""What a person does to an incident, and what they are told about it."""

from typing import Literal
from uuid import UUID

from nicegui import ui

from services.web_ui.backends import BackendError, Refused
from services.web_ui.incidents import Incidents
from services.web_ui.schemas import STATUSES, Incident, Severity, Status
from services.web_ui.theme import Visitor

KEYS: dict[str, Status] = {"a": "acknowledged", "r": "resolved"}
_REFUSED_SHOWN_MS = 10_000


def say(text: str, *, kind: Literal["positive", "warning", "negative", "info"] = "info") -> None:
    """Show a line for a while: longer, and with a button, when something did not work."""
    is_bad = kind in ("warning", "negative")
    ui.notify(
        text,
        type=kind,
        position="top",
        timeout=_REFUSED_SHOWN_MS if is_bad else 2500,
        close_button="Close" if is_bad else False,
        multi_line=True,
    )


def say_failed(error: BackendError, done: str, *, what: str = "this") -> None:
    """Say that ``what`` was not ``done`` (``saved``, ``ended``), or that nobody knows whether it was."""
    if isinstance(error, Refused):
        say(f"Not {done}: {error.reason}", kind="warning")
        return
    say(f"It is not known whether {what} was {done}: {error}. Look before you try again.", kind="negative")


async def change(
    incidents: Incidents,
    incident_id: UUID,
    *,
    visitor: Visitor,
    status: Status | None = None,
    note: str | None = None,
    assigned_to: str | None = None,
    severity: Severity | None = None,
) -> bool:
    """Change an incident in the visitor's name, and tell them how it went; whether it was changed."""
    actor = await visitor.known()
    if actor is None:
        return False
    try:
        changed = await incidents.change(
            incident_id,
            actor=actor,
            status=status,
            note=note,
            assigned_to=assigned_to,
            severity=severity,
        )
    except BackendError as error:
        say_failed(error, "changed")
        return False
    if status is not None:
        say(f"{STATUSES[changed.status]}: {changed.title}", kind="positive")
    return True


async def reopen(incidents: Incidents, incident_id: UUID, *, visitor: Visitor) -> Incident | None:
    """Open a new incident from a resolved one, and tell the visitor if that failed."""
    actor = await visitor.known()
    if actor is None:
        return None
    try:
        return await incidents.reopen(incident_id, actor=actor)
    except BackendError as error:
        say_failed(error, "reopened")
    return None
