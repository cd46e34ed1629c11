"""What the services were seen to do: log lines, traces and errors, as the telemetry service tells it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Generic, Literal, TypedDict, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, JsonValue

from services.web_ui.backends import Backend
from services.web_ui.readings import Latest, Readings
from services.web_ui.schemas import Incident
from services.web_ui.text import iso

SEARCH_EVERY_S = 2.0
DETAIL_EVERY_S = 3.0
BEFORE_INCIDENT = timedelta(minutes=5)

T = TypeVar("T")


@dataclass(frozen=True)
class Search:
    """What is looked for, in the words of the telemetry service's own parameters; empty means anything.

    ``since`` and ``until`` are times in ISO 8601 or spans back from now such as ``15m``.
    """

    service: str = ""
    since: str = ""
    until: str = ""
    offset: int = 0

    def parameters(self) -> list[tuple[str, str]]:
        """Everything that is not left at its default: for the service's query and for a page's address."""
        return [
            (field.name, text)
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
            for text in (value if isinstance(value, tuple) else (str(value),))
        ]


@dataclass(frozen=True)
class LogSearch(Search):
    """Log lines of a level or above; ``q`` is part of the message or of the attributes."""

    level: str = ""
    trace_id: str = ""
    q: str = ""


@dataclass(frozen=True)
class TraceSearch(Search):
    """Traces in which ``service`` took part; ``error`` is ``true``, ``false`` or empty."""

    min_duration_ms: str = ""
    error: str = ""


@dataclass(frozen=True)
class ErrorSearch(Search):
    """Groups of errors; each of ``tag`` is ``name:value``."""

    trace_id: str = ""
    tag: tuple[str, ...] = ()


class LogLine(BaseModel):
    """What a service wrote down."""

    signal_id: str
    timestamp: datetime
    service: str
    level: Literal["INFO", "WARNING", "ERROR", "CRITICAL"]
    message: str
    trace_id: str | None
    attributes: dict[str, JsonValue]


class TraceSummary(BaseModel):
    """A trace as the list shows it; its root is the first span of those that are known."""

    trace_id: str
    root_service: str
    root_name: str
    started_at: datetime
    duration_ms: float
    spans: int
    errors: int
    services: list[str]


class SpanEvent(BaseModel):
    """Something that happened at a moment of a span."""

    name: str
    timestamp: datetime
    attributes: dict[str, JsonValue]


class Span(BaseModel):
    """A piece of work and what it called; ``offset_ms`` counts from the trace's beginning."""

    span_id: str
    service: str
    name: str
    kind: str
    status: Literal["unset", "ok", "error"]
    status_message: str | None
    offset_ms: float
    duration_ms: float
    depth: int
    attributes: dict[str, JsonValue]
    events: list[SpanEvent]
    children: list["Span"]


class Trace(BaseModel):
    """A trace as a forest of spans: those whose caller is not known are roots, too."""

    trace_id: str
    started_at: datetime
    duration_ms: float
    services: list[str]
    spans: list[Span]

    def flat(self) -> Iterator[Span]:
        """Every span, each before those that it called."""
        waiting = list(reversed(self.spans))
        while waiting:
            span = waiting.pop()
            yield span
            waiting.extend(reversed(span.children))


class ErrorGroup(BaseModel):
    """Errors that are alike: one type at one place."""

    group_id: str
    type: str
    value: str
    culprit: str
    service: str
    count: int
    first_seen: datetime
    last_seen: datetime
    last_trace_id: str | None
    releases: list[str]
    tags: dict[str, dict[str, int]]


class StackFrame(BaseModel):
    """A line of a stack trace."""

    filename: str | None
    function: str | None
    lineno: int | None
    module: str | None


class ErrorEvent(BaseModel):
    """One error as it happened; its stack trace has the call that raised it last."""

    event_id: str
    timestamp: datetime
    service: str
    trace_id: str | None
    release: str | None
    environment: str | None
    message: str
    tags: dict[str, str]
    stacktrace: list[StackFrame]


class ErrorDetail(ErrorGroup):
    """A group of errors with its newest events."""

    events: list[ErrorEvent]


class Found(BaseModel, Generic[T]):
    """A page of what was found, the newest first; ``next_offset`` is null on the last one."""

    items: list[T]
    next_offset: int | None


class Telemetry:
    """Reads the telemetry service; browsers that look for the same share the answer."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.logs: Readings[LogSearch, Found[LogLine]] = Readings(self._logs, every_s=SEARCH_EVERY_S)
        self.traces: Readings[TraceSearch, Found[TraceSummary]] = Readings(
            self._traces, every_s=SEARCH_EVERY_S
        )
        self.errors: Readings[ErrorSearch, Found[ErrorGroup]] = Readings(self._errors, every_s=SEARCH_EVERY_S)
        self._trace: Readings[str, Trace] = Readings(
            lambda trace_id: backend.read(f"/api/v1/traces/{quote(trace_id, safe='')}", Trace),
            every_s=DETAIL_EVERY_S,
        )
        self._group: Readings[str, ErrorDetail] = Readings(
            lambda group_id: backend.read(f"/api/v1/errors/{quote(group_id, safe='')}", ErrorDetail),
            every_s=DETAIL_EVERY_S,
        )

    def trace(self, trace_id: str) -> Latest[Trace]:
        """One trace with all its spans."""
        return self._trace.of(trace_id)

    def error(self, group_id: str) -> Latest[ErrorDetail]:
        """One group of errors with its newest events."""
        return self._group.of(group_id)

    async def _logs(self, search: LogSearch) -> Found[LogLine]:
        return await self._backend.read("/api/v1/logs", Found[LogLine], params=search.parameters())

    async def _traces(self, search: TraceSearch) -> Found[TraceSummary]:
        return await self._backend.read("/api/v1/traces", Found[TraceSummary], params=search.parameters())

    async def _errors(self, search: ErrorSearch) -> Found[ErrorGroup]:
        return await self._backend.read("/api/v1/errors", Found[ErrorGroup], params=search.parameters())


class Stretch(TypedDict):
    """Which part of what was seen: one service's, from when to when."""

    service: str
    since: str
    until: str


def around(incident: Incident) -> Stretch:
    """What an incident may have come from: its service, from five minutes before it to its end."""
    since = iso(incident.created_at - BEFORE_INCIDENT)
    until = iso(incident.resolved_at) if incident.resolved_at else ""
    return {"service": incident.service, "since": since, "until": until}


def in_words(attributes: Iterable[tuple[str, JsonValue]]) -> str:
    """Attributes as lines of ``name = value``."""
    return "\n".join(f"{name} = {value}" for name, value in sorted(attributes))
