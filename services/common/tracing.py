"""OpenTelemetry: one tracer provider a process, W3C headers on the wire.

Spans go to ``OTEL_EXPORTER_OTLP_ENDPOINT`` over HTTP, or to standard output
with ``OTEL_TRACES_EXPORTER=console``; without either they carry ids only.
"""

import collections
import logging
import threading
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagate import set_global_textmap
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes

from services.common import metrics
from services.common.settings import ServiceSettings

QUEUE_LIMIT = 2000
BATCH_SIZE = 500
PROBE_SIZE = 20
"""While the receiver is away: to encode a whole batch in vain, again and again, is felt by requests."""
ATTEMPTS = 10
"""So often a batch is exported in vain before it is taken for one that the receiver will never take."""
TIMEOUT_S = 3.0
SHUTDOWN_S = 0.3
QUIET_PATHS = frozenset({"/health", "/metrics", "/admin/failure-mode"})
"""What the lab itself asks for all the time."""


def set_up(service: str, settings: ServiceSettings) -> TracerProvider:
    """Install the process's tracer provider and propagators. Call it after Sentry's set-up."""
    noteworthy = Noteworthy()
    provider = TracerProvider(
        resource=Resource.create({"service.name": service}),
        sampler=ParentBased(root=noteworthy, remote_parent_sampled=noteworthy),
        shutdown_on_exit=False,
    )
    if settings.otel_traces_exporter == "console":
        provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
    if settings.otel_exporter_otlp_endpoint:
        # Costs 200 ms of imports, which a service that exports nothing need not pay.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        endpoint = settings.otel_exporter_otlp_endpoint.rstrip("/") + "/v1/traces"
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=TIMEOUT_S)
        every_s = settings.otel_bsp_schedule_delay / 1000
        provider.add_span_processor(SpanShipper(service, exporter, every_s=every_s))
        # That a receiver is away is no news of the service: the metric tells.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    trace.set_tracer_provider(provider)
    set_global_textmap(CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()]))
    return provider


def current_trace_id() -> str:
    """The current trace's id as 32 hexadecimal digits (zeros outside a trace)."""
    return format(trace.get_current_span().get_span_context().trace_id, "032x")


class Noteworthy(Sampler):
    """Leaves out what nobody asks about: health checks, scrapes, and statements outside of any request."""

    def should_sample(
        self,
        parent_context: Context | None,  # noqa: ARG002 - OpenTelemetry's signature
        trace_id: int,  # noqa: ARG002
        name: str,  # noqa: ARG002
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,  # noqa: ARG002
        trace_state: TraceState | None = None,  # noqa: ARG002
    ) -> SamplingResult:
        """Decide on the first span of a trace, or of its part in this service."""
        known = attributes or {}
        is_quiet = known.get("url.path") in QUIET_PATHS
        is_lone_statement = kind is SpanKind.CLIENT and "db.system.name" in known
        if is_quiet or is_lone_statement:
            return SamplingResult(Decision.DROP)
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)

    def get_description(self) -> str:
        """As OpenTelemetry shows it."""
        return "Noteworthy"


class SpanShipper(SpanProcessor):
    """Spans on their way to a receiver: a bounded queue, and a thread that exports it in batches.

    OpenTelemetry's own processor writes a log line for each span that it
    drops, tells nobody how many, and may take 30 s to shut down.
    """

    def __init__(self, service: str, exporter: SpanExporter, *, every_s: float) -> None:
        self._exporter = exporter
        self._every_s = every_s
        self._queue: collections.deque[ReadableSpan] = collections.deque()
        self._dropped = metrics.spans_dropped.labels(service)
        self._awake = threading.Event()
        self._is_ending = False
        self._failures = 0
        self._thread = threading.Thread(target=self._keep_shipping, name="span-shipper", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span; drop it when the queue is full."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if len(self._queue) >= QUEUE_LIMIT:
            self._dropped.inc()
            return
        self._queue.append(span)
        if len(self._queue) == BATCH_SIZE:
            self._awake.set()

    def shutdown(self) -> None:
        """Ship what is there, if the receiver takes it at once."""
        self._is_ending = True
        self._awake.set()
        self._thread.join(SHUTDOWN_S)
        self._exporter.shutdown()

    def _keep_shipping(self) -> None:
        is_last = False
        while not is_last:
            self._awake.wait(self._every_s)
            self._awake.clear()
            is_last = self._is_ending
            while self._queue and self._ship():
                continue

    def _ship(self) -> bool:
        """Export a batch; whether it is worth going on at once."""
        size = PROBE_SIZE if self._failures else BATCH_SIZE
        batch = [self._queue.popleft() for _ in range(min(size, len(self._queue)))]
        if self._exporter.export(batch) is SpanExportResult.SUCCESS:
            self._failures = 0
            return True
        self._failures += 1
        if self._failures < ATTEMPTS:
            self._queue.extendleft(reversed(batch))
        else:
            self._failures = 0
            self._dropped.inc(len(batch))
        return False
