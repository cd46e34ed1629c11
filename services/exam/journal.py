"""What happened in a run: everything that a score is made of, and nothing else.

The examiner's service writes a journal when a run ends. Grading reads only this,
so the same journal always gives the same score.
"""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from services.exam.diagnosis import Diagnosis

EventKind = Literal[
    "run.created",
    "run.started",
    "run.paused",
    "run.resumed",
    "run.extended",
    "run.ended",
    "baseline.checked",
    "fault.injected",
    "fault.reverted",
    "herring.shown",
    "alert.fired",
    "alert.resolved",
    "incident.opened",
    "incident.acknowledged",
    "incident.changed",
    "page.sent",
    "page.acknowledged",
    "setting.changed",
    "record.changed",
    "sql.run",
    "service.restarted",
    "hint.taken",
    "update.posted",
    "note.added",
    "submission.made",
    "symptom.recovered",
    "symptom.back",
]
EndedBy = Literal["submitted", "time_up", "aborted"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RunFacts(_Part):
    """Which run it was. ``minutes`` is the time that the candidate had, with every extension."""

    id: UUID
    scenario: str
    seed: int
    candidate: str
    minutes: float
    blind: bool
    created_at: datetime
    started_at: datetime
    injected_at: datetime | None = None
    ended_at: datetime
    ended_by: EndedBy


class Event(_Part):
    """One thing that somebody or something did. What ``detail`` holds depends on the kind."""

    at: datetime
    kind: EventKind
    actor: str
    detail: dict[str, JsonValue] = {}


class Probe(_Part):
    """One fresh request of the prober. ``route`` is a template: ``POST /api/payment``."""

    at: datetime
    route: str
    affected: bool
    """Whether the scenario says that this route suffers."""
    ok: bool
    status: int | None = None
    """``None`` when no answer came."""
    latency_ms: float


class RouteBaseline(_Part):
    """How a route was before the injection."""

    error_ratio: float
    p95_ms: float


class Check(_Part):
    """One thing that had to hold at the end."""

    name: str
    ok: bool
    detail: str = ""


class Verdict(_Part):
    """How the shop was at the end, before the fault was reverted."""

    passed: bool
    checks: tuple[Check, ...] = ()


class Submission(_Part):
    """A diagnosis as it was handed in; the last one counts."""

    at: datetime
    number: Annotated[int, Field(ge=1)]
    diagnosis: Diagnosis


class EvidenceFinding(_Part):
    """What became of one piece of evidence of the last submission: is it there, does it bear on the fault."""

    ref: str
    kind: str
    exists: bool
    bears: bool
    checked: bool = True
    """Not where Prometheus gave up on it: then nobody knows whether it exists."""
    why: str


class Series(_Part):
    """A golden signal over the run. A point is (unix seconds, value)."""

    name: str
    service: str
    unit: str
    points: tuple[tuple[float, float], ...]


class Journal(_Part):
    """One run, complete. Events and probes are in the order of their times."""

    run: RunFacts
    events: tuple[Event, ...] = ()
    probes: tuple[Probe, ...] = ()
    baseline: dict[str, RouteBaseline] = {}
    """By route, from the probes before the injection."""
    settings: dict[str, dict[str, JsonValue]] = {}
    """Operator settings in force at the start, by service; none in the journals of before they were kept."""
    final: Verdict
    incidents: tuple[dict[str, Any], ...] = ()
    """``GET /api/v1/incidents/{id}`` of each that was opened during the run."""
    postmortems: dict[str, str] = {}
    """Markdown by incident id."""
    submissions: tuple[Submission, ...] = ()
    evidence: tuple[EvidenceFinding, ...] = ()
    signals: tuple[Series, ...] = ()
