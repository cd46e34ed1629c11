"""Where telemetry comes in: Sentry's envelopes, OTLP's traces, signals. Each door answers as its format says.

Everything that is answered 2xx is stored.
"""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from services.common.errors import BadRequest, ServiceError, Unprocessable, responses
from services.telemetry import envelope, metrics, openapi, otlp, sentry_items
from services.telemetry.envelope import Envelope, Item
from services.telemetry.intake import Intake
from services.telemetry.records import Arrivals
from services.telemetry.schemas import ONE_SIGNAL, SIGNALS, EnvelopeReceipt, SignalIn, Taken

Project = Annotated[str, Path(alias="project", max_length=64, description="Any one, and any key.")]
REFUSALS = responses(400, 408, 413, 429, 503)
_RPC_CODES = {400: otlp.INVALID_ARGUMENT, 413: 8, 429: 8, 503: 14}
"""Of google.rpc.Code: invalid argument, resource exhausted, unavailable."""


def doors(intake: Intake) -> APIRouter:
    """The routes, which take things in through ``intake``."""
    router = APIRouter()

    @router.post("/ingest/logs", responses=responses(408, 422, 429, 503), openapi_extra=openapi.SIGNALS)
    async def ingest_logs(request: Request) -> Taken:
        """Store one signal or a list of them, each once by its ``signal_id``; if one is invalid, none."""
        found, stored = await intake.take(request, door="signals", parse=_signals)
        return Taken(received=len(found), stored=stored)

    @router.post("/api/{project}/envelope/", responses=REFUSALS, openapi_extra=openapi.ENVELOPE)
    @router.post("/api/{project}/envelope", include_in_schema=False)
    async def take_envelope(_project: Project, request: Request) -> EnvelopeReceipt:
        """Store the events, transactions and logs of a Sentry envelope; other items are only counted."""
        found, _ = await intake.take(request, door="envelope", parse=_envelope)
        return _receipt(found)

    @router.post("/api/{project}/store/", responses=REFUSALS, openapi_extra=openapi.STORE)
    @router.post("/api/{project}/store", include_in_schema=False)
    async def take_event(_project: Project, request: Request) -> EnvelopeReceipt:
        """Store one Sentry event, as SDKs sent it before there were envelopes."""
        found, _ = await intake.take(request, door="store", parse=_lone_event)
        return _receipt(found)

    @router.post(
        "/v1/traces",
        response_class=Response,
        responses={415: {}, **REFUSALS},
        openapi_extra=openapi.TRACES,
    )
    async def take_traces(request: Request) -> Response:
        """Store the spans of an OTLP export; the answer, encoded as they are, says what was refused."""
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in (otlp.PROTOBUF, otlp.JSON):
            detail = f"spans come as {otlp.PROTOBUF} or {otlp.JSON}"
            return _status(415, detail, media_type=otlp.JSON)
        try:
            export, _ = await intake.take(
                request, door="traces", parse=lambda body: _export(body, media_type=media_type)
            )
        except ServiceError as error:
            again_s = error.retry_after_s
            return _status(error.status, error.detail, media_type=media_type, retry_after_s=again_s)
        metrics.refused.labels("span").inc(len(export.refused))
        return Response(otlp.answer(export, media_type=media_type), media_type=media_type)

    return router


def _signals(body: bytes) -> tuple[list[SignalIn], Arrivals]:
    """The signals of a body; raises pydantic's ``ValidationError`` or ``Unprocessable``."""
    try:
        told: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unprocessable(f"the body is not JSON: {type(error).__name__}") from error
    found = SIGNALS.validate_python(told) if isinstance(told, list) else [ONE_SIGNAL.validate_python(told)]
    return found, Arrivals(signals=[one.signal() for one in found], seen={"signal": len(found)})


def _export(body: bytes, *, media_type: str) -> tuple[otlp.Export, Arrivals]:
    export = otlp.parse(body, media_type=media_type)
    return export, Arrivals(spans=export.spans, seen={"span": len(export.spans) + len(export.refused)})


def _envelope(body: bytes) -> tuple[Envelope, Arrivals]:
    found = envelope.parse(body)
    return found, sentry_items.arrivals(found.items, received_at=datetime.now(UTC))


def _lone_event(body: bytes) -> tuple[Envelope, Arrivals]:
    item = Item("event", body)
    event = item.json()
    if not isinstance(event, dict):
        raise BadRequest("an event is a JSON object")
    arrivals = sentry_items.arrivals([item], received_at=datetime.now(UTC))
    return Envelope({"event_id": event.get("event_id")}, [item]), arrivals


def _receipt(found: Envelope) -> EnvelopeReceipt:
    event_id = found.headers.get("event_id")
    return EnvelopeReceipt(id=event_id if isinstance(event_id, str) else None)


def _status(status: int, detail: str, *, media_type: str, retry_after_s: int | None = None) -> Response:
    body = otlp.error(detail, code=_RPC_CODES.get(status, otlp.INVALID_ARGUMENT), media_type=media_type)
    retry = {"retry-after": str(retry_after_s)} if retry_after_s else None
    return Response(body, status, media_type=media_type, headers=retry)
