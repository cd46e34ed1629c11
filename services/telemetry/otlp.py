"""OTLP/HTTP: requests of the trace service, in protobuf or JSON, as spans; and its answers.

The format is the OpenTelemetry Protocol's (opentelemetry-proto, "OTLP/HTTP"):
in JSON ids are hexadecimal, and whatever is unknown is ignored.
"""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2
from pydantic import JsonValue

from services.common.errors import BadRequest
from services.telemetry.records import (
    LATEST,
    MAX_DEPTH,
    MAX_ENTRIES,
    Span,
    SpanEvent,
    SpanKind,
    SpanStatus,
    json_of,
    text_of,
)

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
INVALID_ARGUMENT = 3
"""Of google.rpc.Code, which the bodies of error answers speak."""
_KINDS: tuple[SpanKind, ...] = ("internal", "internal", "server", "client", "producer", "consumer")
_STATUSES: tuple[SpanStatus, ...] = ("unset", "ok", "error")
_NO_SERVICE = "unknown_service"
_LATEST_NS = int(LATEST.timestamp()) * 10**9


@dataclass(frozen=True, slots=True)
class Export:
    """The spans of a request, and what was wrong with those that were refused."""

    spans: list[Span]
    refused: list[str]


def parse(body: bytes, *, media_type: str) -> Export:
    """The spans of a request in ``media_type``; raises ``BadRequest`` when it cannot be read."""
    request = _from_json(body) if media_type == JSON else _from_protobuf(body)
    spans: list[Span] = []
    refused: list[str] = []
    for resource in request.resource_spans:
        service = _service(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                reason = _obstacle(span)
                if reason:
                    refused.append(reason)
                else:
                    spans.append(_span(span, service=service))
    return Export(spans, refused)


def answer(export: Export, *, media_type: str) -> bytes:
    """The body of a 200: empty, or how many spans were refused and why."""
    response = ExportTraceServiceResponse()
    if export.refused:
        response.partial_success.rejected_spans = len(export.refused)
        response.partial_success.error_message = "; ".join(sorted(set(export.refused)))
    return _encoded(response, media_type)


def error(detail: str, *, code: int, media_type: str) -> bytes:
    """The body of an error answer: a Status, in JSON with ``detail`` as in every answer of the lab."""
    if media_type != JSON:
        return _encoded(Status(code=code, message=detail), media_type)
    return json.dumps({"code": code, "message": detail, "detail": detail}).encode()


def _encoded(message: Message, media_type: str) -> bytes:
    if media_type == JSON:
        return str(json_format.MessageToJson(message, indent=None)).encode()
    return bytes(message.SerializeToString())


def _from_protobuf(body: bytes) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise BadRequest("the body is not an ExportTraceServiceRequest in protobuf") from error
    return request


def _from_json(body: bytes) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    try:
        found = json.loads(body)
        for span in _spans_of(found):
            _take_ids(span)
            for link in _objects(span.get("links")):
                _take_ids(link)
        json_format.ParseDict(found, request, ignore_unknown_fields=True)
    except (ValueError, RecursionError, json_format.ParseError, AttributeError, TypeError) as error:
        raise BadRequest("the body is not an ExportTraceServiceRequest in JSON") from error
    return request


def _objects(value: object) -> Iterable[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _spans_of(found: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for resource in _objects(found.get("resourceSpans")):
        for scope in _objects(resource.get("scopeSpans")):
            yield from _objects(scope.get("spans"))


def _take_ids(holder: dict[str, Any]) -> None:
    """Ids are hexadecimal here; protobuf's own JSON has base64 for all bytes."""
    for name in ("traceId", "spanId", "parentSpanId"):
        if holder.get(name) is not None:
            holder[name] = base64.b64encode(bytes.fromhex(holder[name])).decode()


def _obstacle(span: trace_pb2.Span) -> str | None:
    if len(span.trace_id) != 16 or not any(span.trace_id):
        return "a trace id has 16 bytes, not all zero"
    if len(span.span_id) != 8 or not any(span.span_id):
        return "a span id has 8 bytes, not all zero"
    if not 0 < span.start_time_unix_nano < _LATEST_NS:
        return "a span has a start time"
    return None


def _service(attributes: Iterable[KeyValue]) -> str:
    for attribute in attributes:
        if attribute.key == "service.name" and attribute.value.string_value:
            return text_of(attribute.value.string_value, at_most=100)
    return _NO_SERVICE


def _span(span: trace_pb2.Span, *, service: str) -> Span:
    ended_ns = min(span.end_time_unix_nano, _LATEST_NS)
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex() or None,
        service=service,
        name=text_of(span.name, at_most=500),
        kind=_KINDS[span.kind] if 0 <= span.kind < len(_KINDS) else "internal",
        status=_STATUSES[span.status.code] if 0 <= span.status.code < len(_STATUSES) else "unset",
        status_message=text_of(span.status.message) if span.status.message else None,
        started_at=_time(span.start_time_unix_nano),
        duration_ms=max(0.0, (ended_ns - span.start_time_unix_nano) / 1e6),
        attributes=_attributes(span.attributes),
        events=[_event(event) for event in span.events[:MAX_ENTRIES]],
    )


def _event(event: trace_pb2.Span.Event) -> SpanEvent:
    return SpanEvent(
        name=text_of(event.name, at_most=500),
        timestamp=_time(min(event.time_unix_nano, _LATEST_NS)).isoformat(),
        attributes=_attributes(event.attributes),
    )


def _time(unix_ns: int) -> datetime:
    seconds, nanoseconds = divmod(unix_ns, 10**9)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)


def _attributes(attributes: Iterable[KeyValue], *, depth: int = 0) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {}
    for attribute in attributes:
        if len(found) == MAX_ENTRIES:
            break
        found[text_of(attribute.key, at_most=200)] = _value(attribute.value, depth=depth)
    return found


def _value(value: AnyValue, *, depth: int) -> JsonValue:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value" | "kvlist_value" if depth >= MAX_DEPTH:
            return "…"
        case "array_value":
            return [_value(one, depth=depth + 1) for one in value.array_value.values[:MAX_ENTRIES]]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values, depth=depth + 1)
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case name:
            return json_of(getattr(value, name))
