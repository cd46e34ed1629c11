"""Which spans are recorded, and how they are shipped when nobody takes them."""

import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased
from opentelemetry.trace import SpanKind, set_span_in_context
from prometheus_client import REGISTRY

from services.common import tracing
from services.common.tracing import Noteworthy, SpanShipper


class Exporter(SpanExporter):
    """Takes spans while it is ``well``; holds on to them while it ``hangs``."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.attempts = 0
        self.sizes: list[int] = []
        self.is_well = True
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.is_shut_down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.attempts += 1
        self.sizes.append(len(spans))
        self.goes_on.wait()
        if not self.is_well:
            return SpanExportResult.FAILURE
        self.taken += [span.name for span in spans]
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.is_shut_down = True


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    exporter = Exporter()
    yield exporter
    exporter.goes_on.set()


def shipping(exporter: Exporter, service: str, *, every_s: float = 0.01) -> TracerProvider:
    provider = TracerProvider(sampler=ParentBased(Noteworthy()), shutdown_on_exit=False)
    provider.add_span_processor(SpanShipper(service, exporter, every_s=every_s))
    return provider


def dropped(service: str) -> float | None:
    return REGISTRY.get_sample_value("spans_dropped_total", {"service": service})


def send(provider: TracerProvider, count: int) -> None:
    tracer = provider.get_tracer("test")
    for number in range(count):
        tracer.start_span(str(number)).end()


def wait_for(exporter: Exporter, *, attempts: int) -> None:
    ends_at = time.monotonic() + 10
    while exporter.attempts < attempts:
        assert time.monotonic() < ends_at
        time.sleep(0.005)


def test_spans_are_shipped_in_order_and_what_is_left_at_the_end(exporter: Exporter) -> None:
    provider = shipping(exporter, "tidy", every_s=60)
    send(provider, tracing.BATCH_SIZE + 20)

    provider.shutdown()

    assert exporter.taken == [str(number) for number in range(tracing.BATCH_SIZE + 20)]
    assert exporter.is_shut_down
    assert dropped("tidy") == 0


def test_a_receiver_that_hangs_costs_a_bounded_queue_and_the_rest_is_counted(exporter: Exporter) -> None:
    exporter.goes_on.clear()
    provider = shipping(exporter, "hung")
    send(provider, tracing.BATCH_SIZE)
    wait_for(exporter, attempts=1)
    sent_before = len(exporter.taken)

    send(provider, tracing.QUEUE_LIMIT + 70)

    assert sent_before == 0
    assert 70 <= (dropped("hung") or 0) <= 70 + tracing.BATCH_SIZE


def test_a_shutdown_waits_for_no_receiver_that_hangs(exporter: Exporter) -> None:
    exporter.goes_on.clear()
    provider = shipping(exporter, "leaving")
    send(provider, 1)
    wait_for(exporter, attempts=1)

    started = time.monotonic()
    provider.shutdown()

    assert time.monotonic() - started < 5
    assert exporter.is_shut_down


def test_what_a_receiver_did_not_take_comes_again_in_its_order(exporter: Exporter) -> None:
    exporter.is_well = False
    provider = shipping(exporter, "patient")
    send(provider, 3)
    wait_for(exporter, attempts=2)

    exporter.is_well = True
    send(provider, 2)
    provider.shutdown()

    assert exporter.taken == ["0", "1", "2", "0", "1"]
    assert dropped("patient") == 0


def test_only_a_few_spans_are_tried_while_the_receiver_is_away(exporter: Exporter) -> None:
    exporter.is_well = False
    provider = shipping(exporter, "sparing", every_s=0.2)
    send(provider, tracing.BATCH_SIZE)
    wait_for(exporter, attempts=3)

    exporter.is_well = True
    provider.shutdown()

    assert exporter.sizes[:3] == [tracing.BATCH_SIZE, tracing.PROBE_SIZE, tracing.PROBE_SIZE]
    assert exporter.taken == [str(number) for number in range(tracing.BATCH_SIZE)]


def test_a_batch_that_is_never_taken_makes_room(exporter: Exporter) -> None:
    exporter.is_well = False
    provider = shipping(exporter, "refused")
    send(provider, 3)

    wait_for(exporter, attempts=tracing.ATTEMPTS)
    time.sleep(0.05)

    assert dropped("refused") == 3
    assert exporter.attempts == tracing.ATTEMPTS


@pytest.mark.parametrize(
    ("kind", "attributes", "is_recorded"),
    [
        (SpanKind.SERVER, {"url.path": "/api/payment"}, True),
        (SpanKind.SERVER, {"url.path": "/health"}, False),
        (SpanKind.SERVER, {"url.path": "/metrics"}, False),
        (SpanKind.CLIENT, {"db.system.name": "postgresql"}, False),
        (SpanKind.CLIENT, {"http.request.method": "GET"}, True),
    ],
)
def test_what_nobody_asks_about_is_not_recorded_but_has_its_ids(
    kind: SpanKind, attributes: dict[str, str], is_recorded: bool
) -> None:
    tracer = TracerProvider(sampler=ParentBased(Noteworthy())).get_tracer("test")

    root = tracer.start_span("root", kind=kind, attributes=attributes)
    child = tracer.start_span(
        "child",
        context=set_span_in_context(root),
        kind=SpanKind.CLIENT,
        attributes={"db.system.name": "postgresql"},
    )

    assert root.get_span_context().is_valid
    assert root.is_recording() == child.is_recording() == is_recorded
