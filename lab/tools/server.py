"""``lab mcp``: the candidate's tools, and no more, as a server of the Model Context Protocol.

It knows the candidate's token and the candidate's database role. Nothing in it can
ask a route that needs another token.
"""

import functools
import secrets
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from embedded.errors import LabError
from lab.tools.database import Database
from lab.tools.exam import ExamDesk
from lab.tools.incidents import Incidents
from lab.tools.metrics import Metrics
from lab.tools.names import Names
from lab.tools.operations import Operations
from lab.tools.seat import Seat
from lab.tools.telemetry import Telemetry

PATH = "/mcp"
INSTRUCTIONS = (
    "You are on call for a small online shop. `brief` has the task, the time and what counts. Look with the "
    "read-only tools, mitigate with what an operator may do, keep people informed, and hand in a diagnosis "
    "with `submit_diagnosis` before time is up: that ends the run, unless it is a draft. Every change is on "
    "record."
)
P = ParamSpec("P")
R = TypeVar("R")


def server(seat: Seat) -> MCPServer:
    """The server for one candidate."""
    mcp = MCPServer("firedrill", instructions=INSTRUCTIONS, log_level="WARNING")
    desk, telemetry, metrics, names = ExamDesk(seat), Telemetry(seat), Metrics(seat), Names(seat)
    incidents, database, operations = Incidents(seat), Database(seat), Operations(seat, metrics)
    looking: tuple[Callable[..., object], ...] = (
        *(desk.brief, desk.time_left, desk.read_hints, desk.read_submissions),
        *(telemetry.search_logs, telemetry.search_traces, telemetry.get_trace),
        *(telemetry.search_errors, telemetry.get_error),
        *(metrics.query_metrics, metrics.query_metrics_over_time, metrics.list_metrics, metrics.list_alerts),
        *(names.lookup_name, operations.list_services, operations.get_settings, operations.get_record),
        *(incidents.list_incidents, incidents.get_incident),
    )
    acting: tuple[Callable[..., object], ...] = (
        *(desk.acknowledge_page, desk.take_hint, desk.post_status_update, desk.submit_diagnosis),
        *(database.run_sql, operations.change_settings, operations.rollback, operations.restart_service),
        *(operations.put_record, incidents.acknowledge_incident, incidents.change_incident),
        *(incidents.add_note, incidents.write_postmortem),
    )
    for tool in looking:
        mcp.add_tool(_told_plainly(tool), annotations=ToolAnnotations(read_only_hint=True))
    for tool in acting:
        mcp.add_tool(_told_plainly(tool), annotations=ToolAnnotations(read_only_hint=False))
    return mcp


def serve_on_http(seat: Seat, *, host: str, port: int) -> None:
    """Serve over streamable HTTP at ``/mcp``, to whoever has the candidate's token.

    ``LabError`` without a token: then anybody could act as the candidate.
    """
    if not seat.token:
        raise LabError("over HTTP the candidate's token is asked for: set FIREDRILL_RUN and FIREDRILL_TOKEN")
    uvicorn.run(http_app(seat, host=host), host=host, port=port, log_level="warning")


def http_app(seat: Seat, *, host: str) -> ASGIApp:
    """The ASGI application of ``serve_on_http``."""
    return TokenAsked(server(seat).streamable_http_app(streamable_http_path=PATH, host=host), seat.token)


class TokenAsked:
    """Lets a request pass that carries the token as a bearer token; answers 401 to others."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            offered = [value for name, value in scope["headers"] if name == b"authorization"]
            if len(offered) != 1 or not secrets.compare_digest(offered[0], self._expected):
                refusal = {"detail": "this needs the candidate's token as a bearer token"}
                await JSONResponse(refusal, 401, headers={"www-authenticate": "Bearer"})(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _told_plainly(tool: Callable[P, R]) -> Callable[P, R]:
    """The same tool; what goes wrong reaches the caller in the lab's own words."""

    @functools.wraps(tool)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return tool(*args, **kwargs)
        except LabError as error:
            raise ToolError(str(error)) from error

    return told
