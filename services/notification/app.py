"""The notification service: takes pages, and delivers each at least once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import UUID

import structlog
from anyio import to_thread
from fastapi import APIRouter, FastAPI, Query, Request

from services.common.app import ServiceParts, create_service
from services.common.client import new_client
from services.common.database import Database
from services.common.errors import responses
from services.common.fields import IdempotencyKey, Limit, Line, Offset
from services.common.poller import Poller
from services.notification.dispatcher import Dispatcher
from services.notification.metrics import notifications
from services.notification.outbox import Outbox
from services.notification.receivers import receivers
from services.notification.schemas import (
    Channel,
    NewNotification,
    NotificationDetail,
    NotificationPage,
    Receipt,
    Status,
)
from services.notification.settings import NotificationSettings

NAME = "notification-service"
SCHEMA = "notification"
POOL_SIZE = 10

log = structlog.get_logger()
router = APIRouter(prefix="/api/v1")


@router.post("/notify", status_code=202)
def notify(new: NewNotification, request: Request, idempotency_key: IdempotencyKey = None) -> Receipt:
    """Accept a notification: it is on record, and will be delivered at least once under this id."""
    accepted = _outbox(request).accept(new, key=idempotency_key)
    if accepted.is_new:
        notifications.labels(accepted.channel, "queued").inc()
    if accepted.is_new and accepted.is_bundled:
        notifications.labels(accepted.channel, "bundled").inc()
    dispatcher: Dispatcher = request.app.state.dispatcher
    dispatcher.wake()
    return Receipt(delivery_id=accepted.delivery_id, channel=accepted.channel, note=accepted.note)


@router.get("/notifications")
def read_notifications(
    request: Request,
    incident_id: Annotated[Line | None, Query()] = None,
    channel: Channel | None = None,
    recipient: Annotated[Line | None, Query()] = None,
    status: Status | None = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> NotificationPage:
    """Notifications and what became of them, newest first, a page at a time."""
    return _outbox(request).notifications(
        incident_id=incident_id,
        channel=channel,
        recipient=recipient,
        status=status,
        limit=limit,
        offset=offset,
    )


@router.get("/notifications/{delivery_id}", responses=responses(404))
def read_notification(delivery_id: UUID, request: Request) -> NotificationDetail:
    """One notification with its attempts."""
    return _outbox(request).notification(delivery_id)


def _outbox(request: Request) -> Outbox:
    outbox: Outbox = request.app.state.outbox
    return outbox


def create_app() -> FastAPI:
    """The app on Postgres, with the receivers that the environment names."""
    settings = NotificationSettings()
    database = Database(settings.database_url, service=NAME, schema=SCHEMA, pool_size=POOL_SIZE)
    outbox = Outbox(database, settings)
    client = new_client()
    dispatcher = Dispatcher(
        outbox,
        receivers(settings, client=client),
        timeout_s=settings.delivery_timeout_s,
        max_attempts=settings.max_attempts,
    )

    async def prune() -> None:
        pruned = await to_thread.run_sync(outbox.prune)
        if pruned:
            log.info("notification.pruned", notifications=pruned)

    @asynccontextmanager
    async def dispatching() -> AsyncIterator[None]:
        pruning = Poller("notification.prune", prune, every_s=settings.prune_every_s)
        async with client, dispatcher.running(), pruning.running():
            yield

    app = create_service(
        ServiceParts(
            name=NAME,
            settings=settings,
            database=database,
            running=(dispatching,),
        ),
        router,
    )
    app.state.outbox = outbox
    app.state.dispatcher = dispatcher
    return app
