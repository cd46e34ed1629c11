"""``lab mcp``: the candidate's tools, and no more, as a server of the Model Context Protocol.

It knows the candidate's token and the candidate's database role. Nothing in it can
ask a route that needs another token.
"""

import functools
import secrets
from collections.abc import Callable
from typing import Any, ParamSpec

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from embedded.errors import LabError
from lab.tools.api import Document
from lab.tools.bounds import fitted, written
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
NEXT_PAGE = "The rest: the same with `next_offset` as `offset`. Less: a filter, a later `since`."
ADVICE = {
    "search_logs": NEXT_PAGE,
    "search_traces": NEXT_PAGE,
    "search_errors": NEXT_PAGE,
    "list_incidents": "The rest: the same with `next_offset` as `offset`. Less: a `status`.",
    "query_metrics": "Fewer series, by label or aggregated.",
    "query_metrics_over_time": "Fewer series, by label or aggregated; a later `since`; a wider `step_s`.",
    "list_metrics": 'Ask query_metrics for `count by (__name__) ({__name__=~"http.+"})`.',
    "run_sql": "Fewer columns and rows; parts of long values.",
}
"""What to do about an answer that was cut."""
P = ParamSpec("P")


def server(seat: Seat) -> MCPServer:
    """The server for one candidate."""
    desk, telemetry, metrics, names = ExamDesk(seat), Telemetry(seat), Metrics(seat), Names(seat)
    incidents, database, operations = Incidents(seat), Database(seat), Operations(seat, metrics)
    looking: tuple[Callable[..., Document], ...] = (
        *(desk.brief, desk.time_left, desk.read_hints, desk.read_submissions),
        *(telemetry.search_logs, telemetry.search_traces, telemetry.get_trace),
        *(telemetry.search_errors, telemetry.get_error),
        *(metrics.query_metrics, metrics.query_metrics_over_time, metrics.list_metrics, metrics.list_alerts),
        *(names.lookup_name, operations.list_services, operations.get_settings, operations.get_record),
        *(incidents.list_incidents, incidents.get_incident),
    )
    acting: tuple[Callable[..., Document], ...] = (
        *(desk.acknowledge_page, desk.take_hint, desk.post_status_update, desk.submit_diagnosis),
        *(database.run_sql, operations.change_settings, operations.rollback, operations.restart_service),
        *(operations.put_record, incidents.acknowledge_incident, incidents.change_incident),
        *(incidents.add_note, incidents.write_postmortem),
    )
    tools = [
        *(StrictTool.of(_told_plainly(tool), only_looks=True) for tool in looking),
        *(StrictTool.of(_told_plainly(tool), only_looks=False) for tool in acting),
    ]
    return MCPServer("firedrill", instructions=INSTRUCTIONS, log_level="WARNING", tools=tools)


class StrictTool(Tool):
    """A tool that refuses an argument which it has not: the SDK leaves such arguments out without a word."""

    @classmethod
    def of(cls, function: Callable[..., object], *, only_looks: bool) -> Tool:
        """The tool that calls this function."""
        tool = cls.from_function(function, annotations=ToolAnnotations(read_only_hint=only_looks))
        tool.parameters["additionalProperties"] = False
        return tool

    async def run(
        self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False
    ) -> Any:
        """Run it; ``ToolError`` with the arguments that there are."""
        allowed = self.parameters["properties"]
        if unknown := [name for name in arguments if name not in allowed]:
            said = f"{self.name} has no argument {', '.join(unknown)}; it takes"
            raise ToolError(f"{said}: {', '.join(allowed)}" if allowed else f"{said} none")
        return await super().run(arguments, context, convert_result)


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
        self._expected = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            offered = [value for name, value in scope["headers"] if name == b"authorization"]
            scheme, _, token = offered[0].partition(b" ") if len(offered) == 1 else (b"", b"", b"")
            # RFC 9110: a scheme's name is the same in small letters.
            if scheme.lower() != b"bearer" or not secrets.compare_digest(token, self._expected):
                refusal = {"detail": "this needs the candidate's token as a bearer token"}
                await JSONResponse(refusal, 401, headers={"www-authenticate": "Bearer"})(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _told_plainly(tool: Callable[P, Document]) -> Callable[P, CallToolResult]:
    """The same tool; its answer has an end, and what goes wrong is told in the lab's own words."""
    advice = ADVICE.get(tool.__name__, "There is no more of it to be had here.")

    @functools.wraps(tool)
    def told(*args: P.args, **kwargs: P.kwargs) -> CallToolResult:
        try:
            answer = fitted(tool(*args, **kwargs), advice=advice)
        except LabError as error:
            raise ToolError(str(error)) from error
        # Written here: the SDK indents it, and a list of points becomes three times as long.
        return CallToolResult(
            content=[TextContent(type="text", text=written(answer))], structured_content=answer
        )

    return told
