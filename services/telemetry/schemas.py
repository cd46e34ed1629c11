"""What the telemetry service takes on ``/ingest/logs``, and what it answers."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from services.telemetry.records import (
    EARLIEST,
    LATEST,
    Frame,
    Level,
    Signal,
    SpanEvent,
    SpanKind,
    SpanStatus,
    object_of,
    text_of,
    trace_id_of,
)

MAX_SIGNALS = 5000


def _plausible(value: datetime) -> datetime:
    if not EARLIEST <= value < LATEST:
        raise ValueError(f"a time between {EARLIEST:%Y} and {LATEST:%Y} is needed")
    return value


class SignalIn(BaseModel):
    """A log line: ``signal_id`` makes it one line, however often it is sent."""

    signal_id: UUID
    timestamp: Annotated[AwareDatetime, AfterValidator(_plausible)]
    service_name: Annotated[str, Field(min_length=1, max_length=100)]
    level: Level
    message: str
    trace_id: Annotated[str, Field(max_length=64)] | None = None
    attributes: dict[str, Any] = {}

    def signal(self) -> Signal:
        """As it is stored."""
        return Signal(
            signal_id=self.signal_id,
            timestamp=self.timestamp,
            service=text_of(self.service_name),
            level=self.level,
            message=text_of(self.message),
            trace_id=trace_id_of(self.trace_id),
            attributes=object_of(self.attributes),
        )


ONE_SIGNAL = TypeAdapter(SignalIn)
SIGNALS = TypeAdapter(Annotated[list[SignalIn], Field(max_length=MAX_SIGNALS)])


class Taken(BaseModel):
    """How many signals came, and how many of them are new; all of them are stored."""

    received: int
    stored: int


class EnvelopeReceipt(BaseModel):
    """The id that an envelope had; none if it had none."""

    id: str | None


class _Row(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class _Page(BaseModel):
    limit: int
    offset: int
    next_offset: int | None


class LogLine(_Row):
    """A log line as it was received."""

    signal_id: UUID
    timestamp: datetime
    service: str
    level: Level
    message: str
    trace_id: str | None
    attributes: dict[str, JsonValue]


class LogPage(_Page):
    """Log lines, newest first; ``next_offset`` is null on the last page."""

    items: list[LogLine]


class TraceSummary(_Row):
    """A trace in a line. Its root is the span without a parent, or the first one while none is known."""

    trace_id: str
    root_service: str
    root_name: str
    started_at: datetime
    duration_ms: float
    spans: int
    errors: int
    services: list[str]


class TracePage(_Page):
    """Traces, newest first; ``next_offset`` is null on the last page."""

    items: list[TraceSummary]


class SpanNode(_Row):
    """A span in its trace's tree. ``offset_ms`` counts from the trace's start, ``depth`` from the root."""

    span_id: str
    parent_span_id: str | None
    service: str
    name: str
    kind: SpanKind
    status: SpanStatus
    status_message: str | None
    started_at: datetime
    offset_ms: float
    duration_ms: float
    depth: int
    attributes: dict[str, JsonValue]
    events: list[SpanEvent]
    children: list["SpanNode"]


class Trace(BaseModel):
    """A trace as a tree: ``spans`` are its roots. ``truncated`` says that it has more than are shown."""

    trace_id: str
    started_at: datetime
    duration_ms: float
    services: list[str]
    spans: list[SpanNode]
    truncated: bool = False


class ErrorGroup(_Row):
    """Errors that are the same one; what they say is what the last of them says."""

    group_id: str
    type: str
    value: str
    culprit: str
    service: str
    count: int
    first_seen: datetime
    last_seen: datetime
    last_event_id: str
    last_trace_id: str | None
    releases: list[str]
    tags: dict[str, dict[str, int]]
    """How often each value of a tag occurs: the most frequent ones."""


class ErrorPage(_Page):
    """Groups of errors, that seen last first; ``next_offset`` is null on the last page."""

    items: list[ErrorGroup]


class ErrorOccurrence(_Row):
    """One error as it was captured. The stack's last frame is where it was raised."""

    event_id: str
    timestamp: datetime
    service: str
    level: str
    trace_id: str | None
    release: str | None
    environment: str | None
    message: str
    tags: dict[str, str]
    stacktrace: list[Frame]
    breadcrumbs: list[JsonValue]


class ErrorGroupDetail(ErrorGroup):
    """A group with its latest errors, newest first."""

    events: list[ErrorOccurrence]
