"""The routes that every service has: its health and metrics, what an operator may do, what the lab does."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import structlog
from anyio import to_thread
from fastapi import APIRouter, BackgroundTasks, Depends, Path, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from services.common.admin import TokenGate
from services.common.database import Database
from services.common.errors import Forbidden, Unavailable, responses
from services.common.failure_modes import NONE, ModeSwitch
from services.common.fields import OperatorName
from services.common.ops import RESTART, OperatorSettings, SettingsView, patch_model
from services.common.release_marker import ReleaseMarker
from services.common.settings import ServiceSettings

log = structlog.get_logger()

HEALTH_TIMEOUT_S = 1.8


class Health(BaseModel):
    """The answer of ``/health``."""

    status: str
    service: str


class Restart(BaseModel):
    """A service that ends now, to be started again."""

    service: str


class ModeView(BaseModel):
    """The failure mode that a service is in."""

    service: str
    failure_mode: str


class ModeChange(ModeView):
    """A switch of the failure mode, with the one before."""

    previous: str


def health_routes(service: str, *, database: Database | None) -> APIRouter:
    """What the lab itself asks for all the time. ``database`` is the one that readiness depends on."""
    router = APIRouter()

    @router.get("/health", responses=responses(503))
    async def health() -> Health:
        """Ready to serve: 503 with the failing dependency's name when its database is away."""
        if database:
            await _check(database)
        return Health(status="ok", service=service)

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def read_metrics() -> Response:
        """Every metric in Prometheus' text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


def ops_routes(service: str, *, settings: ServiceSettings, operator: OperatorSettings[Any]) -> APIRouter:
    """What a person on call may do."""
    router = APIRouter(prefix="/ops")
    patch = patch_model(type(operator.baseline))

    @router.get("/settings")
    def read_settings() -> SettingsView:
        """The operator settings in force."""
        return operator.view()

    @router.patch("/settings", responses=responses(503))
    def change_settings(
        change: patch,  # type: ignore[valid-type]
        x_actor: OperatorName = "operator",
    ) -> SettingsView:
        """Change operator settings; ``null`` takes one back. ``X-Actor`` goes into the audit table."""
        operator.change(change.model_dump(exclude_unset=True, mode="json"), actor=x_actor)  # type: ignore[attr-defined]
        log.info("settings.changed", actor=x_actor, names=sorted(change.model_fields_set))  # type: ignore[attr-defined]
        return operator.view()

    @router.post("/restart", status_code=202, responses=responses(403, 503))
    def restart(
        ending: BackgroundTasks,
        x_actor: OperatorName = "operator",
    ) -> Restart:
        """End this service once it has answered; whoever started it starts it again."""
        if settings.env != "demo":
            raise Forbidden("nobody would start it again: only with ENV=demo does something watch over it")
        if operator.has_trail:
            operator.audit(RESTART, old=None, new=None, actor=x_actor)
        log.warning("service.restarting", actor=x_actor)
        ending.add_task(os.kill, os.getpid(), signal.SIGTERM)
        return Restart(service=service)

    return router


def admin_routes(
    service: str,
    *,
    settings: ServiceSettings,
    operator: OperatorSettings[Any],
    switch: ModeSwitch[Any],
    marker: ReleaseMarker,
    restore: Callable[[], None],
    report: Callable[[float], None] | None,
) -> APIRouter:
    """What the lab does to a service: breaks it, mends it, and makes it do what other services do too.

    ``restore`` puts the service's world back to its baseline; without a
    ``report`` to run there is no route for it.
    """
    router = APIRouter(
        prefix="/admin",
        dependencies=[Depends(_admin_gate(settings))],
        responses=responses(403, 429),
        include_in_schema=not settings.lab_blind,
    )

    @router.get("/failure-mode")
    def read_mode() -> ModeView:
        """The failure mode that is on."""
        return ModeView(service=service, failure_mode=switch.current)

    @router.post("/failure-mode/{mode}", responses=responses(503))
    def switch_mode(mode: str, resume: bool = False) -> ModeChange:
        """Switch the failure mode; ``resume`` after a restart leaves mended what a person mended."""
        previous = switch.to(mode, resume=resume)
        return ModeChange(service=service, failure_mode=switch.current, previous=previous)

    @router.post("/baseline", responses=responses(503))
    def restore_baseline() -> ModeChange:
        """Leave the mode, take back what operators set, and put the world back to its baseline."""
        previous = switch.to(NONE)
        marker.deploy(None)
        operator.clear(actor="baseline")
        try:
            restore()
        except SQLAlchemyError as error:
            # A lock that somebody holds on what was added, for instance: to be asked for again.
            reason = str(error).partition("\n")[0]
            raise Unavailable(f"what the baseline is has not been put back: {reason}") from error
        switch.to(settings.failure_mode)
        return ModeChange(service=service, failure_mode=switch.current, previous=previous)

    @router.post("/release/{release}", status_code=204)
    def deploy(release: Annotated[str, Path(pattern=r"^[0-9a-f]{7}$")]) -> None:
        """Run as another release that behaves the same, until the baseline is restored."""
        marker.deploy(release)

    if report:
        _add_report(router, report)
    return router


def _add_report(router: APIRouter, run: Callable[[float], None]) -> None:
    @router.post("/report", status_code=204)
    def report(for_s: Annotated[float, Query(gt=0, le=120)] = 30.0) -> None:
        """Run the nightly report: it only reads."""
        run(for_s)


def _admin_gate(settings: ServiceSettings) -> Callable[[Request], Awaitable[None]]:
    gate = TokenGate(settings.lab_admin_token, name="admin")

    async def admin(request: Request) -> None:
        if settings.env != "demo":
            raise Forbidden("failure modes are switched live only with ENV=demo")
        if settings.lab_blind and settings.lab_admin_token is None:
            raise Forbidden("this needs LAB_ADMIN_TOKEN to be set")
        await gate(request)

    return admin


async def _check(database: Database) -> None:
    try:
        async with asyncio.timeout(HEALTH_TIMEOUT_S):
            await to_thread.run_sync(database.ping, abandon_on_cancel=True)
    except (SQLAlchemyError, TimeoutError) as error:
        raise Unavailable(
            f"database: {_printable(str(error).partition(chr(10))[0]) or 'no answer'}"
        ) from error


def _printable(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
