"""The on-call service: who is on call, who stands in, and who is next when nobody answers."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, FastAPI, Path, Query, Request

from services.common.app import ServiceParts, create_service
from services.common.client import Dependency
from services.common.database import Database
from services.common.errors import responses
from services.common.fields import Limit, Offset
from services.oncall.escalations import Escalations
from services.oncall.escalator import NAME, Escalator
from services.oncall.metrics import escalations as escalations_total
from services.oncall.rota import Clock, Rota, utc_now
from services.oncall.schemas import (
    Escalation,
    EscalationList,
    EscalationRequest,
    Instant,
    Name,
    NewOverride,
    NewPolicy,
    NewSchedule,
    OnCall,
    OverrideList,
    OverrideReceipt,
    Policy,
    PolicyList,
    Schedule,
    ScheduleList,
    Team,
    Timeline,
)
from services.oncall.settings import OncallSettings

SCHEMA = "oncall"
POOL_SIZE = 10

router = APIRouter(prefix="/api/v1")


@router.post("/schedules", status_code=201)
def add_schedule(new: NewSchedule, request: Request) -> Schedule:
    """A new schedule: from now on it is the one in force for its team."""
    return _rota(request).add_schedule(new)


@router.get("/schedules")
def read_schedules(
    request: Request, team: Annotated[Team | None, Query()] = None, limit: Limit = 50, offset: Offset = 0
) -> ScheduleList:
    """Schedules, the one made last first."""
    return _rota(request).schedules(team=team, limit=limit, offset=offset)


@router.get("/schedules/{schedule_id}", responses=responses(404))
def read_schedule(schedule_id: UUID, request: Request) -> Schedule:
    """One schedule."""
    return _rota(request).schedule(schedule_id)


@router.delete("/schedules/{schedule_id}", status_code=204, responses=responses(404, 409))
def remove_schedule(schedule_id: UUID, request: Request) -> None:
    """Remove a schedule; the one made before it is in force again, or the default."""
    _rota(request).remove_schedule(schedule_id)


@router.get("/oncall/current")
def read_current(team: Annotated[Team, Query()], request: Request) -> OnCall:
    """Who is on call for a team now."""
    return _rota(request).current(team)


@router.get("/oncall/timeline")
def read_timeline(
    team: Annotated[Team, Query()],
    since: Annotated[Instant, Query(alias="from")],
    until: Annotated[Instant, Query(alias="to")],
    request: Request,
) -> Timeline:
    """Who is on call for a team from one instant to another, at most 366 days later."""
    return _rota(request).timeline(team, since=since, until=until)


@router.post("/overrides", status_code=201)
def add_override(new: NewOverride, request: Request) -> OverrideReceipt:
    """Have somebody stand in; where it overlaps earlier overrides, this one holds, and names them."""
    return _rota(request).add_override(new)


@router.get("/overrides")
def read_overrides(
    request: Request,
    team: Annotated[Team | None, Query()] = None,
    since: Annotated[Instant | None, Query(alias="from", description="Those that end after it.")] = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> OverrideList:
    """Overrides, the one made last first."""
    return _rota(request).overrides(team=team, since=since, limit=limit, offset=offset)


@router.delete("/overrides/{override_id}", status_code=204, responses=responses(404))
def remove_override(override_id: UUID, request: Request) -> None:
    """Take an override back."""
    _rota(request).remove_override(override_id)


@router.get("/escalation-policies")
def read_policies(request: Request) -> PolicyList:
    """Every escalation policy."""
    return _escalations(request).policies()


@router.get("/escalation-policies/{team}", responses=responses(404))
def read_policy(team: Annotated[Team, Path()], request: Request) -> Policy:
    """The policy that holds for a team: its own, or the one for every team."""
    return _escalations(request).policy(team)


@router.put("/escalation-policies/{team}")
def put_policy(team: Annotated[Team, Path()], new: NewPolicy, request: Request) -> Policy:
    """Set a team's escalation policy."""
    return _escalations(request).put_policy(team, new)


@router.post("/escalate", status_code=201, responses=responses(404, 409))
def escalate(body: EscalationRequest, request: Request) -> Escalation:
    """Take an incident one level up now, without waiting."""
    step = _escalations(request).escalate(body)
    escalations_total.labels(step.origin).inc()
    escalator: Escalator = request.app.state.escalator
    escalator.wake()
    return step


@router.get("/escalations")
def read_escalations(
    request: Request,
    incident_id: Annotated[Name | None, Query()] = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> EscalationList:
    """The steps that were taken, the latest first."""
    return _escalations(request).steps(incident_id=incident_id, limit=limit, offset=offset)


def _rota(request: Request) -> Rota:
    rota: Rota = request.app.state.rota
    return rota


def _escalations(request: Request) -> Escalations:
    escalations: Escalations = request.app.state.escalations
    return escalations


def create_app(clock: Clock = utc_now) -> FastAPI:
    """The app on Postgres, with its two dependencies; ``clock`` says what now is."""
    settings = OncallSettings()
    database = Database(settings.database_url, service=NAME, schema=SCHEMA, pool_size=POOL_SIZE)
    rota = Rota(database, clock=clock)
    escalations = Escalations(database, rota=rota, delay=timedelta(seconds=settings.escalation_delay))
    escalator = Escalator(
        escalations,
        incidents=Dependency("incident-management", settings.incident_management_url, service=NAME),
        notifications=Dependency("notification-service", settings.notification_service_url, service=NAME),
        poll_s=settings.escalation_poll,
        clock=clock,
    )
    app = create_service(
        ServiceParts(
            name=NAME,
            settings=settings,
            database=database,
            running=(escalator.running,),
        ),
        router,
    )
    app.state.rota = rota
    app.state.escalations = escalations
    app.state.escalator = escalator
    return app
