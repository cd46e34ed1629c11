"""The app factory of every service: what all of them do, done once.

``create_service`` gives a FastAPI app with ``/health``, ``/metrics``,
``/ops/settings``, ``/admin`` routes, request and trace ids on every answer,
error bodies, deadlines, metrics, one log line a request, and errors in Sentry.
"""

import asyncio
import gc
import os
import re
import signal
import time
import traceback
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from types import ModuleType
from typing import Annotated, Any

import sentry_sdk
import structlog
from anyio import to_thread
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from opentelemetry import trace
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.common import deadline, logs, metrics, sentry, tracing
from services.common.admin import TokenGate
from services.common.body_limit import BodyLimit
from services.common.catalog import BASELINE_RELEASE
from services.common.database import Database
from services.common.errors import Forbidden, ServiceError, Unavailable, responses
from services.common.failure_modes import NONE, ModeSwitch, discover
from services.common.fields import OperatorName
from services.common.ops import RESTART, OperatorModel, OperatorSettings, SettingsView, patch_model
from services.common.settings import ServiceSettings
from services.common.signals import SignalShipper

log = structlog.get_logger()

HEALTH_TIMEOUT_S = 1.8
REFRESH_S = 2.0
SENTRY_FLUSH_S = 0.3
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)


class NoSettings(OperatorModel):
    """For a service of which an operator can change nothing."""


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
    demo_scenario: str = ""
    report: Callable[[float], None] | None = None
    """Runs the service's nightly report for so many seconds, in the background."""
    quiet_routes: frozenset[str] = frozenset()
    """Routes that are asked for all the time: no log line tells of them when all is well."""


def create_service(parts: ServiceParts, *routers: APIRouter) -> FastAPI:
    """Build the app of one service from its parts and routers."""
    settings = parts.settings
    operator = parts.operator or OperatorSettings(parts.name, NoSettings(), database=parts.database)
    modes = discover(parts.failure_modes) if parts.failure_modes else {NONE: _no_mode()}
    switch: ModeSwitch[Any] = ModeSwitch(modes, world=parts.world, settings=operator)

    def tags() -> Mapping[str, str]:
        if settings.lab_blind:
            return {"service": parts.name}
        scenario = {"demo_scenario": parts.demo_scenario} if parts.demo_scenario else {}
        return {"service": parts.name, "failure_mode": switch.current, **scenario}

    shipper = SignalShipper(parts.name, settings.prodsentinel_url) if settings.prodsentinel_url else None
    logs.set_up(parts.name, observer=shipper.observe if shipper else None)
    has_sentry = sentry.set_up(settings, service=parts.name, release=parts.release, tags=tags)
    provider = tracing.set_up(parts.name, settings)
    marker = ReleaseMarker(parts)

    def is_hidden(scope: Scope) -> bool:
        return settings.lab_blind and _is_admin(scope)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if shipper:
                await stack.enter_async_context(shipper.running())
            for running in parts.running:
                await stack.enter_async_context(running())
            await stack.enter_async_context(_refreshing(operator))
            switch.to(settings.failure_mode, resume=settings.lab_resumes)
            # What is there now stays: for the collector to go through it again stops every request for 70 ms.
            gc.freeze()
            # Not left at the end: a restart, a tidy one too, must not mend what is broken.
            yield
        if parts.database:
            parts.database.dispose()
        await to_thread.run_sync(provider.shutdown)
        sentry_sdk.flush(timeout=SENTRY_FLUSH_S)

    app = FastAPI(
        title=f"Firedrill {parts.name}",
        lifespan=lifespan,
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
    _add_error_answers(app, is_hidden=is_hidden)
    app.include_router(_common_routes(parts, operator, switch, marker))
    for router in routers:
        app.include_router(router)
    app.add_middleware(BodyLimit, max_body_bytes=settings.max_body_bytes)
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
    app.add_middleware(
        RequestObserver,
        service=parts.name,
        default_deadline_s=settings.default_deadline_s,
        has_sentry=has_sentry,
        traces_sentry=settings.traces_sample_rate > 0,
        is_hidden=is_hidden,
        quiet_routes=parts.quiet_routes | _QUIET_ROUTES,
    )
    return app


class RequestObserver:
    """The outermost layer of a request: ids, deadline, metrics, log line, errors that nobody caught.

    It leaves no trace of a request that ``is_hidden``, whatever becomes of it.
    When blind these are the admin routes': which service gets any, and when, is
    half the answer that is looked for, and what failed there would be all of it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        service: str,
        default_deadline_s: float,
        has_sentry: bool,
        traces_sentry: bool,
        is_hidden: Callable[[Scope], bool],
        quiet_routes: frozenset[str],
    ) -> None:
        self._app = app
        self._service = service
        self._default_deadline_s = default_deadline_s
        self._has_sentry = has_sentry
        self._traces_sentry = traces_sentry
        self._is_hidden = is_hidden
        self._quiet_routes = quiet_routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        trace_id = tracing.current_trace_id()
        offered = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = offered if _REQUEST_ID.fullmatch(offered) else trace_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        deadline.start(
            headers.get(deadline.HEADER.encode(), b"").decode("latin-1") or None,
            default_s=self._default_deadline_s,
        )
        ids = [(b"x-request-id", request_id.encode()), (b"x-trace-id", trace_id.encode())]
        status = 0

        async def send_with_ids(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *ids]
            await send(message)

        async def answer() -> None:
            try:
                await self._app(scope, receive, send_with_ids)
            except Exception as error:
                if not self._is_hidden(scope):
                    self._report(error)
                if status:
                    raise
                body = JSONResponse({"detail": "internal error", "trace_id": trace_id}, 500)
                await body(scope, receive, send_with_ids)

        try:
            if self._has_sentry:
                name = f"{scope['method']} {scope['path']}" if self._is_traced(scope) else None
                with sentry.request_scope(request_id, transaction=name):
                    await answer()
                    if name:
                        sentry_sdk.get_current_scope().set_transaction_name(_route(scope), source="route")
            else:
                await answer()
        finally:
            self._count(scope, status or 500, time.perf_counter() - started)

    def _is_traced(self, scope: Scope) -> bool:
        """Whether it may become one of Sentry's transactions."""
        is_quiet = scope["path"] in tracing.QUIET_PATHS
        return self._traces_sentry and not is_quiet and not self._is_hidden(scope)

    def _report(self, error: Exception) -> None:
        frames = _capture(error)
        log.error("request.failed", error_type=type(error).__name__, error=str(error), frames=frames)

    def _count(self, scope: Scope, status: int, duration_s: float) -> None:
        if self._is_hidden(scope):
            return
        route, method = _route(scope), scope["method"]
        if method not in _METHODS:
            method = "OTHER"
        metrics.http_requests.labels(self._service, method, route, str(status)).inc()
        metrics.http_request_duration.labels(self._service, method, route).observe(duration_s)
        if route in self._quiet_routes and status < 400:
            return
        emit = log.info if status < 500 else log.warning
        emit(
            "request.finished",
            method=scope["method"],
            path=scope["path"],
            route=route,
            status=status,
            latency_ms=round(duration_s * 1000, 1),
        )


def _capture(error: Exception) -> list[str]:
    """Tell the span and Sentry of an error; where in this project it came from."""
    # Formatting a whole traceback through the framework costs 40 ms; floods of errors are the trade here.
    frames = _own_frames(error)
    trace.get_current_span().add_event(
        "exception",
        {
            "exception.type": type(error).__name__,
            "exception.message": str(error),
            "exception.stacktrace": "\n".join(frames),
        },
    )
    sentry.capture(error)
    return frames


def _own_frames(error: Exception) -> list[str]:
    """Where in this project the error came from, outermost first: ``file:line function``."""
    return [
        f"{FilePath(code.co_filename).relative_to(_PROJECT)}:{line} {code.co_name}"
        for code, line in ((frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__))
        if code.co_filename.startswith(_OWN_CODE)
    ]


_PROJECT = FilePath(__file__).parents[2]
_OWN_CODE = str(_PROJECT / "services")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET_ROUTES = tracing.QUIET_PATHS


def _is_admin(scope: Scope) -> bool:
    path: str = scope.get("path", "")
    return path.startswith("/admin/")


def _route(scope: Scope) -> str:
    """The route's template: a label must not have as many values as there are users.

    Files under a mount have no route; their mount is one for all of them.
    """
    route = scope.get("route")
    path = getattr(route, "path", None)
    if isinstance(path, str):
        return path
    return f"{mount}/{{path}}" if (mount := scope.get("root_path")) else "unmatched"


def _no_mode() -> Any:
    from services.common.failure_modes import FailureMode

    return FailureMode(NONE)


class ReleaseMarker:
    """``build_info``: the release that serves, or one that was deployed and behaves the same."""

    def __init__(self, parts: ServiceParts) -> None:
        self._parts = parts
        self._deployed: str | None = None
        self._shown = ""
        self._show()
        if parts.operator:
            parts.operator.on_change(self._show)

    def deploy(self, release: str | None) -> None:
        """Show this release from now on; ``None``: the one that serves."""
        self._deployed = release
        self._show()

    def _show(self, *_: Any) -> None:
        release = self._deployed or self._parts.release()
        if release == self._shown:
            return
        if self._shown:
            metrics.build_info.remove(self._parts.name, self._shown)
        metrics.build_info.labels(self._parts.name, release).set(1)
        self._shown = release


@asynccontextmanager
async def _refreshing(operator: OperatorSettings[Any]) -> AsyncIterator[None]:
    """Read the operator's layer now and every ``REFRESH_S`` seconds, whatever the database does."""

    async def refresh() -> None:
        try:
            await to_thread.run_sync(operator.refresh)
        except SQLAlchemyError as error:
            log.warning("settings.refresh_failed", error=str(error).partition("\n")[0])

    async def keep_refreshing() -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            await refresh()

    await refresh()
    task = asyncio.create_task(keep_refreshing())
    try:
        yield
    finally:
        task.cancel()


def _add_error_answers(app: FastAPI, *, is_hidden: Callable[[Scope], bool]) -> None:
    @app.exception_handler(ServiceError)
    async def service_error(request: Request, error: ServiceError) -> JSONResponse:
        is_quiet = request.url.path in _QUIET_ROUTES or is_hidden(request.scope)
        if error.status >= 500 and not is_quiet:
            _capture(error)
        retry = {"retry-after": str(error.retry_after_s)} if error.retry_after_s else None
        return JSONResponse({"detail": error.detail}, error.status, headers=retry)

    @app.exception_handler(RequestValidationError)
    async def invalid_request(_request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": _explain(error.errors())}, 422)

    @app.exception_handler(ValidationError)
    async def invalid_setting(_request: Request, error: ValidationError) -> JSONResponse:
        return JSONResponse({"detail": _explain(error.errors())}, 422)


def _explain(errors: Sequence[Any]) -> list[dict[str, Any]]:
    """What is wrong and where, without the input itself: it may not be representable in JSON."""
    return [
        {"loc": [str(part) for part in error["loc"]], "msg": error["msg"], "type": error["type"]}
        for error in errors
    ]


def _printable(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()


def _common_routes(
    parts: ServiceParts, operator: OperatorSettings[Any], switch: ModeSwitch[Any], marker: ReleaseMarker
) -> APIRouter:
    router = APIRouter()
    settings = parts.settings
    patch = patch_model(type(operator.baseline))

    gate = TokenGate(settings.lab_admin_token, name="admin")

    async def admin(request: Request) -> None:
        if settings.env != "demo":
            raise Forbidden("failure modes are switched live only with ENV=demo")
        if settings.lab_blind and settings.lab_admin_token is None:
            raise Forbidden("this needs LAB_ADMIN_TOKEN to be set")
        await gate(request)

    admin_router = APIRouter(
        prefix="/admin",
        dependencies=[Depends(admin)],
        responses=responses(403, 429),
        include_in_schema=not settings.lab_blind,
    )

    @router.get("/health", responses=responses(503))
    async def health() -> Health:
        """Ready to serve: 503 with the failing dependency's name when its database is away."""
        if parts.database and parts.needs_database:
            await _check(parts.database)
        return Health(status="ok", service=parts.name)

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def read_metrics() -> Response:
        """Every metric in Prometheus' text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/ops/settings")
    def read_settings() -> SettingsView:
        """The operator settings in force."""
        return operator.view()

    @router.patch("/ops/settings", responses=responses(503))
    def change_settings(
        change: patch,  # type: ignore[valid-type]
        x_actor: OperatorName = "operator",
    ) -> SettingsView:
        """Change operator settings; ``null`` takes one back. ``X-Actor`` goes into the audit table."""
        operator.change(change.model_dump(exclude_unset=True, mode="json"), actor=x_actor)  # type: ignore[attr-defined]
        log.info("settings.changed", actor=x_actor, names=sorted(change.model_fields_set))  # type: ignore[attr-defined]
        return operator.view()

    @router.post("/ops/restart", status_code=202, responses=responses(403, 503))
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
        return Restart(service=parts.name)

    @admin_router.get("/failure-mode")
    def read_mode() -> ModeView:
        """The failure mode that is on."""
        return ModeView(service=parts.name, failure_mode=switch.current)

    @admin_router.post("/failure-mode/{mode}", responses=responses(503))
    def switch_mode(mode: str, resume: bool = False) -> ModeChange:
        """Switch the failure mode; ``resume`` after a restart leaves mended what a person mended."""
        previous = switch.to(mode, resume=resume)
        return ModeChange(service=parts.name, failure_mode=switch.current, previous=previous)

    @admin_router.post("/baseline", responses=responses(503))
    def restore_baseline() -> ModeChange:
        """Leave the mode, take back what operators set, and put the world back to its baseline."""
        previous = switch.to(NONE)
        marker.deploy(None)
        operator.clear(actor="baseline")
        parts.restore()
        switch.to(settings.failure_mode)
        return ModeChange(service=parts.name, failure_mode=switch.current, previous=previous)

    @admin_router.post("/release/{release}", status_code=204)
    def deploy(release: Annotated[str, Path(pattern=r"^[0-9a-f]{7}$")]) -> None:
        """Run as another release that behaves the same, until the baseline is restored."""
        marker.deploy(release)

    if parts.report:
        run_report = parts.report

        @admin_router.post("/report", status_code=204)
        def report(for_s: Annotated[float, Query(gt=0, le=120)] = 30.0) -> None:
            """Run the nightly report: it only reads."""
            run_report(for_s)

    router.include_router(admin_router)
    return router


async def _check(database: Database) -> None:
    try:
        async with asyncio.timeout(HEALTH_TIMEOUT_S):
            await to_thread.run_sync(database.ping, abandon_on_cancel=True)
    except (SQLAlchemyError, TimeoutError) as error:
        raise Unavailable(
            f"database: {_printable(str(error).partition(chr(10))[0]) or 'no answer'}"
        ) from error
