"""The telemetry service: what services say about themselves, taken in three formats and found again."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, FastAPI, Path, Query, Request
from fastapi.routing import APIRoute
from pydantic import Field

from services.common.app import ServiceParts, create_service
from services.common.database import Database
from services.common.errors import responses
from services.common.fields import Limit, Offset
from services.telemetry.doors import doors
from services.telemetry.intake import Intake
from services.telemetry.moments import Moment, moment
from services.telemetry.queries import Queries, Window
from services.telemetry.records import Level
from services.telemetry.retention import Retention
from services.telemetry.schemas import ErrorGroupDetail, ErrorPage, LogPage, Trace, TracePage
from services.telemetry.settings import TelemetrySettings
from services.telemetry.store import Store

NAME = "telemetry"
POOL_SIZE = 10

Word = Annotated[str, Query(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
TraceId = Annotated[str, Query(pattern=r"^[0-9A-Za-z]{1,64}$")]
Since = Annotated[Moment | None, Query(description="ISO 8601, or how long ago: 15m, 2h.")]
Tag = Annotated[str, Field(max_length=500, pattern=r"^[^\x00:]+:[^\x00]*$", examples=["service:payment"])]

router = APIRouter(prefix="/api/v1", responses=responses(504))


@router.get("/logs")
def read_logs(
    request: Request,
    service: Word | None = None,
    level: Level | None = None,
    trace_id: TraceId | None = None,
    q: Word | None = None,
    since: Since = None,
    until: Since = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Offset = 0,
) -> LogPage:
    """Log lines, newest first: of that level or above, with ``q`` in the message or the attributes."""
    window = _window(since, until, limit=limit, offset=offset)
    return _queries(request).logs(window, service=service, level=level, trace_id=trace_id, q=q)


@router.get("/traces")
def read_traces(
    request: Request,
    service: Word | None = None,
    min_duration_ms: Annotated[float | None, Query(ge=0, allow_inf_nan=False)] = None,
    error: bool | None = None,
    route: Word | None = None,
    since: Since = None,
    until: Since = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Offset = 0,
) -> TracePage:
    """Traces, newest first: those in which the service, or the route, occurs anywhere."""
    window = _window(since, until, limit=limit, offset=offset)
    return _queries(request).traces(
        window, service=service, min_duration_ms=min_duration_ms, error=error, route=route
    )


@router.get("/traces/{trace_id}", responses=responses(404))
def read_trace(trace_id: Annotated[str, Path(pattern=r"^[0-9A-Za-z]{1,64}$")], request: Request) -> Trace:
    """One trace as a tree of spans."""
    return _queries(request).trace(trace_id)


@router.get("/errors")
def read_errors(
    request: Request,
    tag: Annotated[list[Tag] | None, Query(max_length=10, description="`key:value`; all of them.")] = None,
    service: Word | None = None,
    trace_id: TraceId | None = None,
    since: Since = None,
    until: Since = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> ErrorPage:
    """Errors in groups, as Sentry has them, that seen last first."""
    window = _window(since, until, limit=limit, offset=offset)
    tags = dict(one.split(":", 1) for one in tag or [])
    return _queries(request).errors(window, tags=tags, service=service, trace_id=trace_id)


@router.get("/errors/{group_id}", responses=responses(404))
def read_error_group(
    group_id: Annotated[str, Path(pattern=r"^[0-9a-f]{1,64}$")],
    request: Request,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> ErrorGroupDetail:
    """One group with its latest errors: stack, tags, trace."""
    return _queries(request).error_group(group_id, limit=limit)


def _queries(request: Request) -> Queries:
    queries: Queries = request.app.state.queries
    return queries


def _window(since: str | None, until: str | None, *, limit: int, offset: int) -> Window:
    now = datetime.now(UTC)
    return Window(
        since=moment(since, now=now) if since else None,
        until=moment(until, now=now) if until else None,
        limit=limit,
        offset=offset,
    )


def create_app() -> FastAPI:
    """The app on Postgres."""
    settings = TelemetrySettings()
    database = Database(settings.database_url, service=NAME, schema=NAME, pool_size=POOL_SIZE)
    intake = Intake(
        Store(database),
        max_in_flight=settings.telemetry_max_in_flight,
        max_body_bytes=settings.max_body_bytes,
    )
    retention = Retention(
        database,
        max_age=timedelta(seconds=settings.telemetry_max_age),
        max_rows=settings.telemetry_max_rows,
        interval_s=settings.telemetry_retention_interval,
    )
    incoming = doors(intake)
    app = create_service(
        ServiceParts(
            name=NAME,
            settings=settings,
            database=database,
            running=(intake.running, retention.running),
            quiet_routes=frozenset(one.path for one in incoming.routes if isinstance(one, APIRoute)),
        ),
        incoming,
        router,
    )
    app.state.queries = Queries(database)
    return app
