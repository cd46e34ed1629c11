"""The app factory of every service: what all of them do, done once.

``create_service`` gives a FastAPI app with ``/health``, ``/metrics``,
``/ops/settings``, ``/admin`` routes, request and trace ids on every answer,
error bodies, deadlines, metrics, one log line a request, and errors in Sentry.
"""

import gc
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import sentry_sdk
import structlog
from anyio import to_thread
from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Scope

from services.common import logs, routes, sentry, tracing
from services.common.body_limit import BodyLimit
from services.common.catalog import BASELINE_RELEASE
from services.common.database import Database
from services.common.error_answers import add_error_answers
from services.common.errors import responses
from services.common.failure_modes import NONE, FailureMode, ModeSwitch, discover
from services.common.observer import RequestObserver
from services.common.ops import OperatorModel, OperatorSettings
from services.common.poller import Poller
from services.common.release_marker import ReleaseMarker
from services.common.settings import ServiceSettings
from services.common.signals import SignalShipper

log = structlog.get_logger()

REFRESH_S = 2.0
SENTRY_FLUSH_S = 0.3


class NoSettings(OperatorModel):
    """For a service of which an operator can change nothing."""


@dataclass
class ServiceParts:
    """What a service hands to the app factory.

    ``release`` is asked at each scrape and event, and the baseline's unless a
    service has releases that differ; ``restore`` puts the world (an index, a
    record) back to its baseline; ``running`` is entered while the service serves.
    """

    name: str
    settings: ServiceSettings
    release: Callable[[], str] = lambda: BASELINE_RELEASE
    database: Database | None = None
    needs_database: bool = True
    operator: OperatorSettings[Any] | None = None
    failure_modes: ModuleType | None = None
    world: Any = None
    restore: Callable[[], None] = lambda: None
    running: Sequence[Callable[[], AbstractAsyncContextManager[Any]]] = field(default_factory=tuple)
    report: Callable[[float], None] | None = None
    """Runs the service's nightly report for so many seconds, in the background."""
    quiet_routes: frozenset[str] = frozenset()
    """Routes that are asked for all the time: no log line tells of them when all is well."""


def create_service(parts: ServiceParts, *routers: APIRouter) -> FastAPI:
    """Build the app of one service from its parts and routers."""
    settings = parts.settings
    operator = parts.operator or OperatorSettings(parts.name, NoSettings(), database=parts.database)
    modes = discover(parts.failure_modes) if parts.failure_modes else {NONE: FailureMode[Any](NONE)}
    switch = ModeSwitch(modes, world=parts.world, settings=operator)
    shipper = SignalShipper(parts.name, settings.prodsentinel_url) if settings.prodsentinel_url else None
    logs.set_up(parts.name, observer=shipper.observe if shipper else None)
    has_sentry = sentry.set_up(
        settings, service=parts.name, release=parts.release, tags=lambda: _tags(parts, switch)
    )
    spans = tracing.set_up(parts.name, settings)

    def is_hidden(scope: Scope) -> bool:
        return settings.lab_blind and _is_admin(scope)

    app = FastAPI(
        title=f"Firedrill {parts.name}",
        lifespan=_lifespan(parts, operator=operator, switch=switch, shipper=shipper, spans=spans),
        telemetry={
            "operation_spans": False,
            "metrics": False,
            "logs": False,
            "exclude": is_hidden,
        },
        responses=responses(400, 413, 422),
    )
    app.state.parts = parts
    app.state.switch = switch
    app.state.operator = operator
    add_error_answers(app, is_hidden=is_hidden)
    for router in (*_common_routes(parts, operator=operator, switch=switch), *routers):
        app.include_router(router)
    # The one that is added last is the outermost.
    app.add_middleware(BodyLimit, max_body_bytes=settings.max_body_bytes)
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
    app.add_middleware(
        RequestObserver,
        service=parts.name,
        default_deadline_s=settings.default_deadline_s,
        has_sentry=has_sentry,
        traces_sentry=settings.traces_sample_rate > 0,
        is_hidden=is_hidden,
        quiet_routes=parts.quiet_routes | tracing.QUIET_PATHS,
    )
    return app


def _common_routes(
    parts: ServiceParts, *, operator: OperatorSettings[Any], switch: ModeSwitch[Any]
) -> tuple[APIRouter, ...]:
    return (
        routes.health_routes(parts.name, database=parts.database if parts.needs_database else None),
        routes.ops_routes(parts.name, settings=parts.settings, operator=operator),
        routes.admin_routes(
            parts.name,
            settings=parts.settings,
            operator=operator,
            switch=switch,
            marker=ReleaseMarker(parts.name, release=parts.release, operator=operator),
            restore=parts.restore,
            report=parts.report,
        ),
    )


def _tags(parts: ServiceParts, switch: ModeSwitch[Any]) -> Mapping[str, str]:
    """What Sentry's events are tagged with: in a blind lab nothing that names the fault."""
    settings = parts.settings
    if settings.lab_blind:
        return {"service": parts.name}
    scenario = {"demo_scenario": settings.demo_scenario} if settings.demo_scenario else {}
    return {"service": parts.name, "failure_mode": switch.current, **scenario}


def _is_admin(scope: Scope) -> bool:
    path: str = scope.get("path", "")
    return path.startswith("/admin/")


def _lifespan(
    parts: ServiceParts,
    *,
    operator: OperatorSettings[Any],
    switch: ModeSwitch[Any],
    shipper: SignalShipper | None,
    spans: TracerProvider,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if shipper:
                await stack.enter_async_context(shipper.running())
            for running in parts.running:
                await stack.enter_async_context(running())
            await stack.enter_async_context(refreshing(operator))
            switch.to(parts.settings.failure_mode, resume=parts.settings.lab_resumes)
            # What is there now stays: for the collector to go through it again stops every request for 70 ms.
            gc.freeze()
            # Not left at the end: a restart, a tidy one too, must not mend what is broken.
            yield
        if parts.database:
            parts.database.dispose()
        await to_thread.run_sync(spans.shutdown)
        sentry_sdk.flush(timeout=SENTRY_FLUSH_S)

    return lifespan


@asynccontextmanager
async def refreshing(operator: OperatorSettings[Any]) -> AsyncIterator[None]:
    """Read the operator's layer now and every ``REFRESH_S`` seconds, whatever the database does."""

    async def refresh() -> None:
        # Not left to the poller: it would wait twice as long after an error.
        try:
            await to_thread.run_sync(operator.refresh)
        except SQLAlchemyError as error:
            log.warning("settings.refresh_failed", error=str(error).partition("\n")[0])

    await refresh()
    async with Poller("settings.refresh", refresh, every_s=REFRESH_S).running():
        yield
