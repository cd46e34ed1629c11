"""What Sentry's SDKs send, as what is stored: events, transactions (spans), logs (signals).

Only what is documented of the payloads is relied on, and nothing of it is
required: SDKs in other languages and other versions leave things out.
"""

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue

from services.common.errors import BadRequest
from services.telemetry import grouping
from services.telemetry.envelope import Item
from services.telemetry.records import (
    EARLIEST,
    LATEST,
    UNKNOWN_SERVICE,
    Arrivals,
    ErrorEvent,
    Frame,
    Level,
    Signal,
    Span,
    json_of,
    object_of,
    text_of,
    trace_id_of,
)

MAX_FRAMES = 100
MAX_BREADCRUMBS = 50
MAX_SPANS = 1000
_LEVELS: dict[str, Level] = {
    "warn": "WARNING", "warning": "WARNING", "error": "ERROR", "fatal": "CRITICAL", "critical": "CRITICAL",
}  # fmt: skip
_EVENT_LEVELS = frozenset({"debug", "info", "warning", "error", "fatal"})
_LOG_IDS = uuid.UUID("5a0f6e2e-7d6b-4f0c-9a50-1f5d3c1f7c11")


def arrivals(items: list[Item], *, received_at: datetime) -> Arrivals:
    """Everything in an envelope's items that is stored; raises ``BadRequest`` for a malformed payload."""
    signals: list[Signal] = []
    spans: list[Span] = []
    events: list[ErrorEvent] = []
    seen = {"event": 0, "transaction": 0, "log": 0, "other": 0}
    for item in items:
        match item.type:
            case "event":
                events.append(error_event(_object(item), received_at=received_at))
                seen["event"] += 1
            case "transaction":
                spans += _spans(_object(item), received_at=received_at)
                seen["transaction"] += 1
            case "log":
                logs = _logs(_object(item), received_at=received_at)
                signals += logs
                seen["log"] += len(logs)
            case _:
                seen["other"] += 1
    return Arrivals(signals, spans, events, seen)


def error_event(payload: Mapping[str, Any], *, received_at: datetime) -> ErrorEvent:
    """One event. Its service is the tag ``service``, or the name of the server."""
    tags = _tags(payload.get("tags"))
    thrown = _last_exception(payload)
    frames = _frames(thrown)
    transaction = _optional(payload.get("transaction"))
    message = _message(payload)
    kind = text_of(thrown.get("type") or "Error", at_most=200) if thrown else "message"
    value = text_of(thrown.get("value") or "") if thrown else message
    service = tags.get("service") or _optional(payload.get("server_name")) or UNKNOWN_SERVICE
    level = payload.get("level")
    return ErrorEvent(
        event_id=_event_id(payload.get("event_id")),
        timestamp=_time(payload.get("timestamp"), otherwise=received_at),
        group_id=grouping.group_id(
            service=service,
            type_=kind,
            value=value,
            frames=frames,
            in_app=_in_app(thrown),
            fingerprint=payload.get("fingerprint"),
        ),
        type=kind,
        value=value,
        culprit=grouping.culprit(frames, in_app=_in_app(thrown)) or transaction or "",
        service=text_of(service, at_most=100),
        level=level if isinstance(level, str) and level in _EVENT_LEVELS else "error",
        message=message or f"{kind}: {value}",
        trace_id=trace_id_of(_trace(payload).get("trace_id")),
        release=_optional(payload.get("release")),
        environment=_optional(payload.get("environment")),
        tags={**tags, **({"transaction": transaction} if transaction else {})},
        stacktrace=frames,
        breadcrumbs=_breadcrumbs(payload),
    )


def _object(item: Item) -> dict[str, Any]:
    found = item.json()
    if not isinstance(found, dict):
        raise BadRequest(f"the payload of an item {item.type!r} is not a JSON object")
    return found


def _event_id(value: object) -> uuid.UUID:
    if value is None:
        return uuid.uuid4()
    try:
        return uuid.UUID(str(value))
    except ValueError as error:
        raise BadRequest("event_id is not a UUID") from error


def _time(value: object, *, otherwise: datetime) -> datetime:
    """A time as Sentry writes it, ISO 8601 or seconds since 1970; ``otherwise`` if it is neither."""
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            return otherwise
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        return found if EARLIEST <= found < LATEST else otherwise
    if isinstance(value, int | float) and 0 <= value < LATEST.timestamp():
        return datetime.fromtimestamp(value, UTC)
    return otherwise


def _optional(value: object) -> str | None:
    return text_of(value, at_most=200) if isinstance(value, str) and value else None


def _tags(value: object) -> dict[str, str]:
    """Tags, which are an object or a list of pairs."""
    pairs: list[Any] = []
    if isinstance(value, Mapping):
        pairs = list(value.items())
    if isinstance(value, list):
        pairs = [pair for pair in value if isinstance(pair, list) and len(pair) == 2]
    return {
        text_of(key, at_most=200): text_of(found, at_most=200) for key, found in pairs if found is not None
    }


def _trace(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    contexts = payload.get("contexts")
    trace = contexts.get("trace") if isinstance(contexts, Mapping) else None
    return trace if isinstance(trace, Mapping) else {}


def _values(holder: object) -> list[Mapping[str, Any]]:
    """A list of objects, which may stand under ``values``."""
    found = holder.get("values") if isinstance(holder, Mapping) else holder
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _last_exception(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """The exception that was raised last: the causes come before it."""
    thrown = _values(payload.get("exception"))
    return thrown[-1] if thrown else {}


def _raw_frames(thrown: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    stacktrace = thrown.get("stacktrace")
    frames = stacktrace.get("frames") if isinstance(stacktrace, Mapping) else None
    return _values(frames)[-MAX_FRAMES:]


def _frames(thrown: Mapping[str, Any]) -> list[Frame]:
    return [
        Frame(
            filename=_optional(frame.get("filename") or frame.get("abs_path")),
            function=_optional(frame.get("function")),
            lineno=line if isinstance(line := frame.get("lineno"), int) and 0 <= line < 2**31 else None,
            module=_optional(frame.get("module")),
        )
        for frame in _raw_frames(thrown)
    ]


def _in_app(thrown: Mapping[str, Any]) -> list[bool]:
    return [frame.get("in_app") is not False for frame in _raw_frames(thrown)]


def _message(payload: Mapping[str, Any]) -> str:
    entry = payload.get("logentry")
    found = (entry.get("formatted") or entry.get("message")) if isinstance(entry, Mapping) else None
    found = found or payload.get("message")
    return text_of(found) if isinstance(found, str) else ""


def _breadcrumbs(payload: Mapping[str, Any]) -> list[JsonValue]:
    return [json_of(one) for one in _values(payload.get("breadcrumbs"))[-MAX_BREADCRUMBS:]]


def _spans(payload: Mapping[str, Any], *, received_at: datetime) -> Iterator[Span]:
    """A transaction: its own span and those in it."""
    tags = _tags(payload.get("tags"))
    service = tags.get("service") or _optional(payload.get("server_name")) or UNKNOWN_SERVICE
    trace = _trace(payload)
    named = {**payload, **trace, "description": payload.get("transaction"), "data": {**tags}}
    own = _span(named, service=service, is_transaction=True, received_at=received_at)
    if own is None:
        raise BadRequest("a transaction has no trace context with trace_id and span_id")
    yield own
    for child in _values(payload.get("spans"))[:MAX_SPANS]:
        span = _span({**child, "trace_id": own.trace_id}, service=service, received_at=received_at)
        if span is not None:
            yield span


def _span(
    found: Mapping[str, Any], *, service: str, received_at: datetime, is_transaction: bool = False
) -> Span | None:
    trace_id, span_id = trace_id_of(found.get("trace_id")), trace_id_of(found.get("span_id"))
    if trace_id is None or span_id is None:
        return None
    started_at = _time(found.get("start_timestamp"), otherwise=received_at)
    ended_at = _time(found.get("timestamp"), otherwise=started_at)
    operation, status = _optional(found.get("op")), _optional(found.get("status"))
    outgoing = (operation or "").startswith(("http.client", "db"))
    attributes = object_of(found.get("data"))
    if operation:
        attributes["sentry.op"] = operation
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=trace_id_of(found.get("parent_span_id")),
        service=text_of(service, at_most=100),
        name=_optional(found.get("description")) or operation or "unnamed",
        kind="server" if is_transaction else "client" if outgoing else "internal",
        status="unset" if status is None else "ok" if status == "ok" else "error",
        status_message=None if status in (None, "ok") else status,
        started_at=started_at,
        duration_ms=max(0.0, (ended_at - started_at).total_seconds() * 1000),
        attributes=attributes,
        events=[],
    )


def _logs(payload: Mapping[str, Any], *, received_at: datetime) -> list[Signal]:
    """The log lines of an item. They have no ids: the same line with the same time is the same line."""
    signals = []
    for line in _values(payload.get("items")):
        attributes = {key: _attribute(one) for key, one in object_of(line.get("attributes")).items()}
        service = attributes.get("service") or attributes.get("server.address") or UNKNOWN_SERVICE
        content = hashlib.sha256(json.dumps(json_of(line), sort_keys=True).encode()).hexdigest()
        signals.append(
            Signal(
                signal_id=uuid.uuid5(_LOG_IDS, content),
                timestamp=_time(line.get("timestamp"), otherwise=received_at),
                service=text_of(service, at_most=100),
                level=_LEVELS.get(str(line.get("level")), "INFO"),
                message=text_of(line.get("body") or ""),
                trace_id=trace_id_of(line.get("trace_id")),
                attributes=attributes,
            )
        )
    return signals


def _attribute(value: JsonValue) -> JsonValue:
    """An attribute's value, which stands beside its type."""
    return value.get("value") if isinstance(value, dict) and "value" in value else value
