"""Sentry: errors as events, with the trace id of the current OpenTelemetry span.

OpenTelemetry owns tracing, Sentry only reads the current span. The usual
integrations are off: they cost 100 µs a request and 10 ms an error, and faults
here come in floods. The app factory captures what no handler caught, leanly.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sentry_sdk
from opentelemetry import trace
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.otlp import OTLPIntegration
from sentry_sdk.transport import HttpTransport
from sentry_sdk.types import Event, Hint

from services.common import metrics
from services.common.settings import ServiceSettings

TIMEOUT_S = 5
CAPTURES_A_SECOND = 20
"""Each costs 1.5 ms of CPU, which a service that fails has no more of than one that does not."""

Tags = Callable[[], Mapping[str, str]]


def set_up(settings: ServiceSettings, *, service: str, release: Callable[[], str], tags: Tags) -> bool:
    """Start the SDK if a DSN is set; returns whether it did.

    ``release`` and ``tags`` are asked for each event and transaction, so that they tell what holds then.
    """
    if not settings.sentry_dsn:
        return False

    def tag(event: Event, _hint: Hint) -> Event:
        event["release"] = release()
        event["tags"] = {**dict(event.get("tags") or {}), **tags()}
        return event

    _flood.service = service
    lost = metrics.error_events_dropped.labels(service)

    class CountingTransport(HttpTransport):
        """Sends one item after the other from a queue of a hundred, and counts what it does not send."""

        TIMEOUT = TIMEOUT_S

        def record_lost_event(self, *told: Any, quantity: int = 1, **more: Any) -> None:
            lost.inc(quantity)
            super().record_lost_event(*told, quantity=quantity, **more)

    # What it says when a receiver is away, is no news of the service: the metric tells.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    sentry_sdk.init(
        dsn=settings.sentry_dsn,
        transport=CountingTransport,
        environment=settings.env,
        release=release(),
        server_name=service,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            OTLPIntegration(setup_otlp_traces_exporter=False, setup_propagator=False),
            LoggingIntegration(level=None, event_level=None, sentry_logs_level=logging.INFO),
        ],
        traces_sample_rate=settings.traces_sample_rate or None,
        before_send=tag,
        before_send_transaction=tag,
        include_local_variables=False,
        include_source_context=False,
        max_breadcrumbs=20,
        send_default_pii=False,
    )
    return True


def capture(error: Exception) -> None:
    """Report an error, unless there were ``CAPTURES_A_SECOND`` within this second: faults come in floods."""
    if not sentry_sdk.is_initialized():
        return
    second = int(time.monotonic())
    if second != _flood.second:
        _flood.second, _flood.captured = second, 0
    _flood.captured += 1
    if _flood.captured <= CAPTURES_A_SECOND:
        sentry_sdk.capture_exception(error)
    else:
        metrics.error_events_dropped.labels(_flood.service).inc()


@dataclass
class _Flood:
    """How many errors there were in the current second."""

    service: str = ""
    second: int = 0
    captured: int = 0


_flood = _Flood()


@contextmanager
def request_scope(request_id: str, *, transaction: str | None) -> Iterator[None]:
    """Keep breadcrumbs and tags of one request apart; trace it too if ``transaction`` names it."""
    with sentry_sdk.isolation_scope() as scope:
        scope.set_tag("request_id", request_id)
        if transaction is None:
            yield
            return
        span = trace.get_current_span().get_span_context()
        parent = {"sentry-trace": f"{span.trace_id:032x}-{span.span_id:016x}"}
        with sentry_sdk.start_transaction(
            sentry_sdk.continue_trace(parent, op="http.server", name=transaction)
        ):
            yield
