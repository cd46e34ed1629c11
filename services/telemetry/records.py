"""What is stored, in the shape of its table; and text and JSON as Postgres can keep them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from pydantic import JsonValue
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

Level = Literal["INFO", "WARNING", "ERROR", "CRITICAL"]
SpanKind = Literal["internal", "server", "client", "producer", "consumer"]
SpanStatus = Literal["unset", "ok", "error"]

LEVELS: tuple[Level, ...] = ("INFO", "WARNING", "ERROR", "CRITICAL")
"""In ascending order."""
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""Times of events lie between them; what Postgres can keep and Python cannot read must not get in."""
Key = tuple[UUID] | tuple[str, str]
"""What makes a row the same one: its table's primary key."""
MAX_TEXT = 8192
MAX_DEPTH = 8
MAX_ENTRIES = 128
UNKNOWN_SERVICE = "unknown"


class SpanEvent(TypedDict):
    """Something that happened during a span, for instance an exception."""

    name: str
    timestamp: str
    attributes: dict[str, JsonValue]


class Frame(TypedDict):
    """One call on a stack."""

    filename: str | None
    function: str | None
    lineno: int | None
    module: str | None


@dataclass(frozen=True, slots=True)
class Signal:
    """A log line."""

    signal_id: UUID
    timestamp: datetime
    service: str
    level: Level
    message: str
    trace_id: str | None
    attributes: dict[str, JsonValue]

    @property
    def key(self) -> Key:
        return (self.signal_id,)


@dataclass(frozen=True, slots=True)
class Span:
    """A span. ``started_at`` has microseconds, ``duration_ms`` keeps what a span is finer."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    service: str
    name: str
    kind: SpanKind
    status: SpanStatus
    status_message: str | None
    started_at: datetime
    duration_ms: float
    attributes: dict[str, JsonValue]
    events: list[SpanEvent]

    @property
    def key(self) -> Key:
        return self.trace_id, self.span_id


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """An error, or a message that somebody captured, with the group that it belongs to."""

    event_id: UUID
    timestamp: datetime
    group_id: str
    type: str
    value: str
    culprit: str
    service: str
    level: str
    message: str
    trace_id: str | None
    release: str | None
    environment: str | None
    tags: dict[str, str]
    stacktrace: list[Frame]
    breadcrumbs: list[JsonValue]

    @property
    def key(self) -> Key:
        return (self.event_id,)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What one request brings."""

    signals: Sequence[Signal] = ()
    spans: Sequence[Span] = ()
    events: Sequence[ErrorEvent] = ()
    seen: Mapping[str, int] = field(default_factory=dict)
    """How many of each kind came, as the metric names them."""

    @property
    def is_empty(self) -> bool:
        return not (self.signals or self.spans or self.events)


def text_of(value: object, *, at_most: int = MAX_TEXT) -> str:
    """``value`` as text that Postgres keeps: no NUL, no half of a character, not longer than ``at_most``."""
    text = value if isinstance(value, str) else str(value)
    text = text.replace("\x00", "\ufffd")
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= at_most else text[: at_most - 1] + "…"


def json_of(value: object, *, depth: int = 0) -> JsonValue:
    """``value`` as JSON that Postgres keeps; what is too deep or no JSON becomes text."""
    match value:
        case None | bool():
            return value
        case int() if abs(value) < 2**63:
            return value
        case float() if math.isfinite(value):
            return value
        case str():
            return text_of(value)
        case Mapping() if depth < MAX_DEPTH:
            return object_of(value, depth=depth)
        case list() | tuple() if depth < MAX_DEPTH:
            return [json_of(one, depth=depth + 1) for one in value[:MAX_ENTRIES]]
        case int():
            return hex(value)
        case Mapping() | list() | tuple():
            return "…"
    return text_of(value)


def object_of(value: object, *, depth: int = 0) -> dict[str, JsonValue]:
    """``value`` as a JSON object; empty if it is none."""
    if not isinstance(value, Mapping):
        return {}
    entries = list(value.items())[:MAX_ENTRIES]
    return {text_of(key, at_most=200): json_of(one, depth=depth + 1) for key, one in entries}


def trace_id_of(value: object) -> str | None:
    """A trace id in lower case; ``None`` for none, and for zeros, which mean none."""
    if not isinstance(value, str) or not 1 <= len(value) <= 64 or not (value.isascii() and value.isalnum()):
        return None
    return value.lower() if value.strip("0") else None
