"""What FastAPI cannot tell by itself of routes that read their own body."""

from typing import Any

from services.telemetry.schemas import SignalIn

_SIGNAL = SignalIn.model_json_schema()


def _body(**content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


SIGNALS = _body(**{"application/json": {"schema": {"anyOf": [_SIGNAL, {"type": "array", "items": _SIGNAL}]}}})
"""Additions to the operation ``POST /ingest/logs``; those to the others below."""
ENVELOPE = _body(
    **{
        "application/x-sentry-envelope": {"schema": {"type": "string", "format": "binary"}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    }
)
STORE = _body(**{"application/json": {"schema": {"type": "object"}}})
TRACES = _body(
    **{
        "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
        "application/json": {"schema": {"type": "object"}},
    }
)
