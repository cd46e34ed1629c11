"""OpenTelemetry: one tracer provider a process, W3C headers on the wire.

Spans go to ``OTEL_EXPORTER_OTLP_ENDPOINT`` over HTTP, or to standard output
with ``OTEL_TRACES_EXPORTER=console``; without either they carry ids only.
"""

from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagate import set_global_textmap
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.common.settings import ServiceSettings


def set_up(service: str, settings: ServiceSettings) -> TracerProvider:
    """Install the process's tracer provider and propagators. Call it after Sentry's set-up."""
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    if settings.otel_traces_exporter == "console":
        provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
    if settings.otel_exporter_otlp_endpoint:
        # Costs 200 ms of imports, which a service that exports nothing need not pay.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        endpoint = settings.otel_exporter_otlp_endpoint.rstrip("/") + "/v1/traces"
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(provider)
    set_global_textmap(CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()]))
    return provider


def current_trace_id() -> str:
    """The current trace's id as 32 hexadecimal digits (zeros outside a trace)."""
    return format(trace.get_current_span().get_span_context().trace_id, "032x")
