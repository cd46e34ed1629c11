"""The schedule's log: one JSON line an event, which in a blind lab says nothing about the answer."""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

SAID_WHEN_BLIND = frozenset({"timestamp", "level", "event", "service", "phase_id", "waited_s"})


def _hide_the_answer(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {name: value for name, value in event.items() if name in SAID_WHEN_BLIND}


def event_log(*, blind: bool, stream: TextIO | None = None) -> FilteringBoundLogger:
    """A logger that writes to ``stream`` (standard output unless given).

    With ``blind`` a line keeps only when it was, how bad, which event and the
    opaque id of the phase.
    """
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([_hide_the_answer] if blind else []),
        structlog.processors.JSONRenderer(default=str),
    ]
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(stream or sys.stdout),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        service="schedule",
    )
    return log
