"""incident-management: incidents, who has them, what was done when, and how long it took."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, FastAPI, Query, Request, Response
from prometheus_client import REGISTRY

from services.common.app import ServiceParts, create_service
from services.common.client import Dependency
from services.common.database import Database
from services.common.errors import responses
from services.common.fields import Actor, IdempotencyKey, Limit, Line, Offset, ServiceName, Severity
from services.incident_management.metrics import IncidentCounts
from services.incident_management.outbox import NOTIFICATION, ONCALL, Outbox
from services.incident_management.postmortem import markdown
from services.incident_management.schemas import (
    Incident,
    IncidentBatch,
    IncidentChange,
    IncidentDetail,
    IncidentMetrics,
    IncidentPage,
    NewIncident,
    OpenedBatch,
    OpenedIncident,
    Postmortem,
    PostmortemIn,
    Status,
    Summary,
)
from services.incident_management.settings import IncidentSettings
from services.incident_management.store import Incidents

NAME = "incident-management"
SCHEMA = "incident"

router = APIRouter(prefix="/api/v1/incidents")


@router.post("", status_code=201)
def open_incident(
    new: NewIncident, request: Request, actor: Actor = "operator", idempotency_key: IdempotencyKey = None
) -> Incident:
    """Open an incident. Who is on call is asked for, and paged, right after."""
    return _incidents(request).open(new, actor=actor, key=idempotency_key)


@router.post("/batch", status_code=201)
def open_incidents(batch: IncidentBatch, request: Request, actor: Actor = "operator") -> OpenedBatch:
    """Open several incidents, one for each different key; all of them or none."""
    opened = _incidents(request).open_batch(
        [(one, one.idempotency_key) for one in batch.incidents], actor=actor
    )
    return OpenedBatch(
        items=[OpenedIncident(idempotency_key=key, incident_id=found) for key, found in opened.items()]
    )


@router.get("")
def read_incidents(
    request: Request,
    status: Annotated[list[Status] | None, Query(description="Repeat it for several.")] = None,
    severity: Severity | None = None,
    service: ServiceName | None = None,
    q: Annotated[Line | None, Query(description="Words that are all in its line of a list.")] = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> IncidentPage:
    """Incidents, newest first, a page at a time."""
    return _incidents(request).page(
        statuses=status or [],
        severity=severity,
        service=service,
        words=(q or "").split(),
        limit=limit,
        offset=offset,
    )


@router.get("/summary")
def read_summary(request: Request) -> Summary:
    """How many incidents there are."""
    return _incidents(request).summary()


@router.get("/{incident_id}", responses=responses(404))
def read_incident(incident_id: UUID, request: Request) -> IncidentDetail:
    """One incident with its alerts, notes and timeline."""
    return _incidents(request).detail(incident_id)


@router.patch("/{incident_id}", responses=responses(404, 409))
def change_incident(
    incident_id: UUID,
    change: IncidentChange,
    request: Request,
    actor: Actor = "operator",
    page: Annotated[bool, Query(description="Whether whom it is given to is paged.")] = True,
    while_open: Annotated[bool, Query(description="409 once somebody has acknowledged it.")] = False,
) -> Incident:
    """Move an incident forward, give it to somebody, leave a note: all of it or nothing."""
    return _incidents(request).change(incident_id, change, actor=actor, pages=page, while_open=while_open)


@router.get("/{incident_id}/metrics", responses=responses(404))
def read_metrics(incident_id: UUID, request: Request) -> IncidentMetrics:
    """How long this incident took to be acknowledged and resolved."""
    incident = _incidents(request).incident(incident_id)
    return IncidentMetrics(
        incident_id=incident.id,
        status=incident.status,
        mtta_seconds=incident.mtta_seconds,
        mttr_seconds=incident.mttr_seconds,
    )


@router.post("/{incident_id}/reopen", status_code=201, responses=responses(404, 409))
def reopen_incident(incident_id: UUID, request: Request, actor: Actor = "operator") -> Incident:
    """A new incident that goes on where this resolved one ended, linked to it."""
    return _incidents(request).reopen(incident_id, actor=actor)


@router.post("/{incident_id}/postmortem", status_code=201, responses=responses(404, 409))
def write_postmortem(
    incident_id: UUID, written: PostmortemIn, request: Request, actor: Actor = "operator"
) -> Postmortem:
    """Write a resolved incident's postmortem, in place of the one before."""
    _incidents(request).write_postmortem(incident_id, written, actor=actor)
    return _postmortem(request, incident_id)


@router.get(
    "/{incident_id}/postmortem",
    response_class=Response,
    responses={200: {"content": {"text/markdown": {}}}, **responses(404)},
)
def read_postmortem(incident_id: UUID, request: Request) -> Response:
    """The postmortem as Markdown, with the timeline filled in."""
    return Response(_postmortem(request, incident_id).markdown, media_type="text/markdown")


def _postmortem(request: Request, incident_id: UUID) -> Postmortem:
    store = _incidents(request)
    written = store.postmortem(incident_id)
    return Postmortem(
        incident_id=incident_id,
        author=written.author,
        written_at=written.written_at,
        markdown=markdown(store.detail(incident_id), written),
    )


def _incidents(request: Request) -> Incidents:
    incidents: Incidents = request.app.state.incidents
    return incidents


def create_app() -> FastAPI:
    """The app on Postgres, with on-call and notification behind its outbox."""
    settings = IncidentSettings()
    database = Database(settings.database_url, service=NAME, schema=SCHEMA)
    incidents = Incidents(database)
    outbox = Outbox(
        database,
        oncall=Dependency(ONCALL, settings.oncall_service_url, service=NAME),
        notification=Dependency(NOTIFICATION, settings.notification_service_url, service=NAME),
        settings=settings,
    )
    REGISTRY.register(IncidentCounts(incidents.counts))
    app = create_service(
        ServiceParts(
            name=NAME,
            settings=settings,
            database=database,
            running=(outbox.running,),
        ),
        router,
    )
    app.state.incidents = incidents
    return app
