"""What is observed of every request: ids, metrics, one log line, and the errors that nobody caught."""

import re
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import sentry_sdk
import structlog
from fastapi.responses import JSONResponse
from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.common import deadline, metrics, sentry, tracing

log = structlog.get_logger()

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PROJECT = Path(__file__).parents[2]
_OWN_CODE = str(_PROJECT / "services")


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
        frames = capture(error)
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


def capture(error: Exception) -> list[str]:
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
        f"{Path(code.co_filename).relative_to(_PROJECT)}:{line} {code.co_name}"
        for code, line in ((frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__))
        if code.co_filename.startswith(_OWN_CODE)
    ]


def _route(scope: Scope) -> str:
    """The route's template: a label must not have as many values as there are users.

    Files under a mount have no route; their mount is one for all of them.
    """
    route = scope.get("route")
    path = getattr(route, "path", None)
    if isinstance(path, str):
        return path
    return f"{mount}/{{path}}" if (mount := scope.get("root_path")) else "unmatched"
