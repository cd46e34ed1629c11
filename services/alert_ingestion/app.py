"""alert-ingestion: takes alerts in and finds each its incident."""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from anyio import to_thread
from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import REGISTRY
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from services.alert_ingestion.adapters import alertmanager, sentry
from services.alert_ingestion.adapters.reading import Event
from services.alert_ingestion.arrival import Arrival, Resolution
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
from services.alert_ingestion.store import Alerts
from services.common.app import ServiceParts, create_service
from services.common.catalog import BASELINE_RELEASE
from services.common.client import Dependency
from services.common.database import Database
from services.common.errors import ServiceError, TooManyRequests, Unavailable, responses
from services.common.fields import IdempotencyKey, ServiceName, Severity

SCHEMA = "incident"
POOL_SIZE = 6

router = APIRouter(prefix="/api/v1")


@router.post(
    "/alerts",
    status_code=201,
    response_model=AlertReceipt,
    responses={202: {"model": AlertReceipt}, **responses(429, 503)},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": AlertIn.model_json_schema()}},
        }
    },
)
async def receive_alert(request: Request, idempotency_key: IdempotencyKey = None) -> Response:
    """Store one alert and find its incident: 201 when it has it, 202 when the incident will follow."""
    intake = _intake(request)
    # Room comes before reading: what is refused in a storm must cost next to nothing.
    with intake.admission():
        body = await request.body()
        stored = await intake.take(_arrival(body, idempotency_key))
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
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
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


@router.post("/webhooks/alertmanager", responses=responses(503))
async def receive_alertmanager(group: alertmanager.AlertGroup, request: Request) -> WebhookReceipt:
    """Take Alertmanager's webhook, version 4."""
    return await _receive(request, "alertmanager", alertmanager.read(group, source="alertmanager"))


@router.post("/webhooks/grafana", responses=responses(503))
async def receive_grafana(group: alertmanager.AlertGroup, request: Request) -> WebhookReceipt:
    """Take the webhook of Grafana's alerting."""
    return await _receive(request, "grafana", alertmanager.read(group, source="grafana"))


@router.post("/webhooks/sentry", responses=responses(503))
async def receive_sentry(hook: sentry.SentryHook, request: Request) -> WebhookReceipt:
    """Take a webhook of Sentry's integration platform; what is no alert is received and left."""
    return await _receive(request, "sentry", sentry.read(hook))


async def _receive(request: Request, source: Source, events: Sequence[Event]) -> WebhookReceipt:
    """Take the alerts of a webhook. Whatever keeps one from being stored is a 503.

    Alertmanager repeats a webhook after a 5xx alone: a 429 would lose it.
    """
    intake, alerts = _intake(request), _alerts(request)
    arrivals = [event for event in events if isinstance(event, Arrival)]
    try:
        with intake.admission(len(arrivals)):
            taken = await asyncio.gather(*(_fire(intake, one) for one in arrivals), return_exceptions=True)
    except TooManyRequests as refusal:
        raise _busy(refusal) from refusal
    for outcome in taken:
        if isinstance(outcome, BaseException):
            raise outcome
    fired = iter(taken)
    results = [
        await _end(alerts, event) if isinstance(event, Resolution) else next(fired) for event in events
    ]
    return WebhookReceipt(source=source, received=len(events), alerts=results)
