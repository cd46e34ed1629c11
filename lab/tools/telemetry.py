"""Logs, traces and errors, asked of the telemetry service."""

from typing import Annotated, cast, get_args

from pydantic import Field

from embedded.errors import LabError
from lab.tools.api import Api, Document, Offset, part
from lab.tools.seat import Seat
from services.telemetry.records import Level

MOST_LINES = 1000
Since = Annotated[str | None, Field(description="ISO 8601, or how long ago: 15m, 2h.")]


class Telemetry:
    """What the services say about themselves."""

    def __init__(self, seat: Seat) -> None:
        self._api = Api(seat.url("telemetry") + "/api/v1")

    def search_logs(
        self,
        service: str | None = None,
        level: Level | None = None,
        contains: str | None = None,
        trace_id: str | None = None,
        since: Since = "15m",
        until: Since = None,
        limit: Annotated[int, Field(ge=1, le=MOST_LINES)] = 50,
        offset: Offset = 0,
    ) -> Document:
        """Log lines, newest first: of that level or above, with `contains` in the message or attributes.

        Each has a `signal_id`, which is what a diagnosis gives as evidence of kind `signal`.
        """
        window = {"since": since, "until": until, "limit": limit, "offset": offset}
        return self._api.get("/logs", service=service, level=level, q=contains, trace_id=trace_id, **window)

    def search_traces(
        self,
        service: str | None = None,
        route: str | None = None,
        only_errors: bool = False,
        min_duration_ms: Annotated[float | None, Field(ge=0)] = None,
        since: Since = "15m",
        until: Since = None,
        limit: Annotated[int, Field(ge=1, le=500)] = 20,
        offset: Offset = 0,
    ) -> Document:
        """Traces, newest first, in which the service, or the route, occurs anywhere."""
        window = {"since": since, "until": until, "limit": limit, "offset": offset}
        error = True if only_errors else None
        return self._api.get(
            "/traces", service=service, route=route, error=error, min_duration_ms=min_duration_ms, **window
        )

    def get_trace(self, trace_id: str) -> Document:
        """One trace as a tree of spans."""
        return self._api.get(f"/traces/{part(trace_id)}")

    def search_errors(
        self,
        service: str | None = None,
        since: Since = "15m",
        until: Since = None,
        limit: Annotated[int, Field(ge=1, le=200)] = 20,
        tags: Annotated[list[str] | None, Field(description="Each as `key:value`; all of them.")] = None,
        offset: Offset = 0,
    ) -> Document:
        """Errors in groups, as an error tracker has them, that seen last first."""
        window = {"since": since, "until": until, "limit": limit, "offset": offset}
        return self._api.get("/errors", service=service, tag=tags, **window)

    def get_error(self, group_id: str) -> Document:
        """One group of errors with its latest ones: stack, tags, trace."""
        return self._api.get(f"/errors/{part(group_id)}")


def level_of(text: str | None) -> Level | None:
    """A level as a person writes it; ``LabError`` if it is none."""
    if text is not None and text.upper() not in get_args(Level):
        raise LabError(f"{text!r} is no level; there are: {', '.join(get_args(Level))}")
    return cast(Level | None, text and text.upper())
