"""Sentry: errors as events, with the trace id of the current OpenTelemetry span.

OpenTelemetry owns tracing, Sentry only reads the current span. The usual
integrations are off: they cost 100 µs a request and 10 ms an error, and faults
here come in floods. The app factory captures what no handler caught, leanly.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import sentry_sdk
from opentelemetry import trace
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.otlp import OTLPIntegration
from sentry_sdk.types import Event, Hint

from services.common.settings import ServiceSettings

Tags = Callable[[], Mapping[str, str]]


def set_up(settings: ServiceSettings, *, service: str, release: str, tags: Tags) -> bool:
    """Start the SDK if a DSN is set; returns whether it did.

    ``tags`` is asked for each event and transaction, so that it tells what holds then.
    """
    if not settings.sentry_dsn:
        return False

    def tag(event: Event, _hint: Hint) -> Event:
        event["tags"] = {**dict(event.get("tags") or {}), **tags()}
        return event

    sentry_sdk.init(
        dsn=settings.sentry_dsn,
        environment=settings.env,
        release=release,
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
