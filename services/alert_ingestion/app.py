"""alert-ingestion: takes alerts in and finds each its incident."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from anyio import to_thread
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from prometheus_client import REGISTRY
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from services.alert_ingestion import openapi
from services.alert_ingestion.adapters import alertmanager, sentry
from services.alert_ingestion.adapters.reading import Event
from services.alert_ingestion.arrival import Arrival, Resolution, Stored
from services.alert_ingestion.intake import Intake
from services.alert_ingestion.metrics import PendingAlerts
from services.alert_ingestion.openings import NAME, Openings
from services.alert_ingestion.schemas import (
    Alert,
    AlertIn,
    AlertPage,
    AlertReceipt,
    Source,
    WebhookReceipt,
    WebhookResult,
)
from services.alert_ingestion.settings import AlertSettings
from services.alert_ingestion.store import Alerts, bound_waiting
from services.common.app import ServiceParts, create_service
from services.common.body_limit import whole_body
from services.common.client import Dependency
from services.common.database import Database
from services.common.errors import TooManyRequests, Unavailable, responses
from services.common.fields import IDEMPOTENCY_KEY, Limit, Offset, ServiceName, Severity

SCHEMA = "incident"
POOL_SIZE = 6

router = APIRouter(prefix="/api/v1")


class _WebhookRoute(APIRoute):
    """Room comes before reading, and a body that does not come gives its room up."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def with_room(request: Request) -> Response:
            intake = _intake(request)
            try:
                with intake.reading(), intake.body(_announced_bytes(request)):
                    # Read once: FastAPI finds it read.
                    await whole_body(request)
                    return await handle(request)
            except TooManyRequests as refusal:
                raise Busy(refusal.detail) from refusal

        return with_room


webhooks = APIRouter(prefix="/api/v1/webhooks", route_class=_WebhookRoute)


class Busy(Unavailable):
    """Too much is under way, said so that a sender of webhooks sends again."""

    retry_after_s = 1


@router.post(
    "/alerts",
    status_code=201,
    response_model=AlertReceipt,
    responses={202: {"model": AlertReceipt}, **responses(408, 429, 503)},
    openapi_extra=openapi.RECEIVE_ALERT,
)
async def receive_alert(request: Request) -> Response:
    """Store one alert and find its incident: 201 when it has it, 202 when the incident will follow."""
    intake = _intake(request)
    # Room comes before reading: what is refused in a storm must cost next to nothing. So header and body
    # are read here, and not by FastAPI, which also takes a tenth of the whole request's time for it.
    with intake.body(_announced_bytes(request)), intake.admission():
        stored = await intake.take(_arrival(await whole_body(request), _key(request)))
    receipt = AlertReceipt(
        alert_id=stored.alert_id,
        incident_id=stored.incident_id,
        status="correlated" if stored.incident_id else "pending",
        action=stored.action if stored.incident_id else None,
    )
    return Response(
        receipt.model_dump_json(), 201 if stored.incident_id else 202, media_type="application/json"
    )


@router.get("/alerts")
def read_alerts(
    request: Request,
    service: ServiceName | None = None,
    severity: Severity | None = None,
    source: Source | None = None,
    status: Literal["correlated", "pending"] | None = None,
    incident_id: UUID | None = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> AlertPage:
    """Alerts, newest first, a page at a time."""
    return _alerts(request).page(
        limit=limit,
        offset=offset,
        status=status,
        service=service,
        severity=severity,
        source=source,
        incident_id=incident_id,
    )


@router.get("/alerts/{alert_id}", responses=responses(404))
def read_alert(alert_id: UUID, request: Request) -> Alert:
    """One alert."""
    return _alerts(request).alert(alert_id)


@webhooks.post("/alertmanager", responses=responses(408, 503))
async def receive_alertmanager(group: alertmanager.AlertGroup, request: Request) -> WebhookReceipt:
    """Take Alertmanager's webhook, version 4."""
    return await _receive(request, "alertmanager", alertmanager.read(group, source="alertmanager"))


@webhooks.post("/grafana", responses=responses(408, 503))
async def receive_grafana(group: alertmanager.AlertGroup, request: Request) -> WebhookReceipt:
    """Take the webhook of Grafana's alerting."""
    return await _receive(request, "grafana", alertmanager.read(group, source="grafana"))


@webhooks.post("/sentry", responses=responses(408, 503))
async def receive_sentry(hook: sentry.SentryHook, request: Request) -> WebhookReceipt:
    """Take a webhook of Sentry's integration platform; what is no alert is received and left."""
    return await _receive(request, "sentry", sentry.read(hook))


async def _receive(request: Request, source: Source, events: Sequence[Event]) -> WebhookReceipt:
    """Take the alerts of a webhook. Whatever keeps one from being stored is a 503.

    Alertmanager repeats a webhook after a 5xx alone: a 429 would lose it.
    """
    intake, alerts = _intake(request), _alerts(request)
    try:
        with intake.admission(max(1, len(events))):
            fired = await _take_all(intake, [event for event in events if isinstance(event, Arrival)])
            results = [
                await to_thread.run_sync(_resolved, alerts, event)
                if isinstance(event, Resolution)
                else _fired(event, fired.pop(0))
                for event in events
            ]
    except TooManyRequests as refusal:
        raise Busy(refusal.detail) from refusal
    except SQLAlchemyError as error:
        raise Unavailable(f"database: {str(error).partition(chr(10))[0]}") from error
    return WebhookReceipt(source=source, received=len(events), alerts=results)


async def _take_all(intake: Intake, arrivals: Sequence[Arrival]) -> list[Stored]:
    """All of them are waited for, also when one fails: none may be under way without its room."""
    taken = await asyncio.gather(*(intake.take(one) for one in arrivals), return_exceptions=True)
    stored = []
    for outcome in taken:
        if isinstance(outcome, BaseException):
            raise outcome
        stored.append(outcome)
    return stored


def _fired(arrival: Arrival, stored: Stored) -> WebhookResult:
    correlated: Literal["correlated", "pending"] = "correlated" if stored.incident_id else "pending"
    return WebhookResult(
        fingerprint=arrival.fingerprint or "",
        status=correlated if stored.was == "new" else stored.was,
        alert_id=stored.alert_id,
        incident_id=stored.incident_id,
    )


def _resolved(alerts: Alerts, resolution: Resolution) -> WebhookResult:
    over = alerts.resolve(resolution)
    return WebhookResult(
        fingerprint=resolution.fingerprint,
        status="resolved" if over else "unknown",
        alert_id=over.alert_id if over else None,
        incident_id=over.incident_id if over else None,
    )


def _announced_bytes(request: Request) -> int | None:
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


def _key(request: Request) -> str | None:
    """The request's ``Idempotency-Key``. Raises ``RequestValidationError`` for one that is none."""
    key = request.headers.get("idempotency-key")
    if key is None or IDEMPOTENCY_KEY.fullmatch(key):
        return key
    wrong = {"loc": ("header", "idempotency-key"), "msg": "1 to 128 visible signs", "type": "value_error"}
    raise RequestValidationError([wrong])


def _arrival(body: bytes, key: str | None) -> Arrival:
    """The alert in a request's body. Raises ``RequestValidationError`` that says what is wrong with it."""
    try:
        alert = AlertIn.model_validate_json(body)
    except ValidationError as error:
        wrong = [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
        raise RequestValidationError(wrong) from error
    return Arrival(
        source="api",
        service=alert.service,
        severity=alert.severity,
        message=alert.message,
        labels=alert.labels,
        occurred_at=alert.timestamp,
        idempotency_key=key,
        request_hash=_hash(alert) if key else None,
    )


def _hash(alert: AlertIn) -> str:
    """The same for the same alert, in whatever order its labels came."""
    same = json.dumps(alert.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(same.encode()).hexdigest()


def _intake(request: Request) -> Intake:
    intake: Intake = request.app.state.intake
    return intake


def _alerts(request: Request) -> Alerts:
    alerts: Alerts = request.app.state.alerts
    return alerts


def create_app() -> FastAPI:
    """The app on Postgres, with incident-management for new incidents."""
    settings = AlertSettings()
    database = Database(settings.database_url, service=NAME, schema=SCHEMA, pool_size=POOL_SIZE)
    database.on_connect(bound_waiting)
    alerts = Alerts(database, window=timedelta(seconds=settings.correlation_window))
    openings = Openings(
        alerts,
        Dependency("incident-management", settings.incident_management_url, service=NAME),
        wait_s=settings.incident_wait_s,
    )
    intake = Intake(
        alerts, openings, max_in_flight=settings.max_in_flight, max_body_bytes=settings.max_body_bytes
    )
    REGISTRY.register(PendingAlerts(alerts.pending))
    app = create_service(
        ServiceParts(
            name=NAME,
            settings=settings,
            database=database,
            running=(openings.running, intake.running),
        ),
        router,
        webhooks,
    )
    app.state.alerts = alerts
    app.state.intake = intake
    return app
