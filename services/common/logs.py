"""Structured logs: one JSON object a line on standard output.

Every line has ``timestamp`` (ISO 8601 UTC), ``level``, ``event``, ``service``,
``request_id``, ``trace_id`` and ``span_id``; the last three only inside a request.
"""

import logging
import sys
from collections.abc import Callable

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, WrappedLogger

Observer = Callable[[EventDict], None]
"""Sees every finished log line, for instance to ship it elsewhere."""


def add_trace_ids(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the ids of the current span, in the W3C hexadecimal form."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = format(context.trace_id, "032x")
        event["span_id"] = format(context.span_id, "016x")
    return event


def set_up(service: str, *, observer: Observer | None = None) -> None:
    """Send structlog's and the standard library's records through one chain to standard output."""

    def add_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    def observe(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if observer is not None:
            observer(event)
        return event

    chain: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_service,
        add_trace_ids,
        structlog.processors.format_exc_info,
        observe,
    ]
    structlog.configure(
        processors=[*chain, structlog.processors.JSONRenderer(default=str)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *chain],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
