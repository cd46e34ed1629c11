"""The metrics of the load: what was planned, what was sent, and what came of it."""

from collections.abc import Iterator

from dealer import Dealer
from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

disable_created_metrics()  # type: ignore[no-untyped-call]


class TrafficCounts(Collector):
    """What the dealer knows, read when it is asked for. A new test starts the counters anew."""

    def __init__(self, dealer: Dealer) -> None:
        self._dealer = dealer

    def collect(self) -> Iterator[Metric]:
        """The plan in requests/s, and requests by what became of them."""
        counts = self._dealer.counts()
        yield GaugeMetricFamily(
            "traffic_planned_requests_per_second", "The rate of the plan.", value=counts.planned_per_s
        )
        yield CounterMetricFamily("traffic_dealt_total", "Requests dealt from the deck.", value=counts.dealt)
        yield CounterMetricFamily("traffic_late_total", "Requests sent late.", value=counts.late)
        yield CounterMetricFamily(
            "traffic_unsent_total",
            "Requests never sent, for want of a lane or a worker.",
            value=counts.unsent,
        )
        answered = CounterMetricFamily(
            "traffic_answered_total",
            "Requests that are over, by whether they came out well.",
            labels=["result"],
        )
        answered.add_metric(["ok"], counts.answered - counts.failed)
        answered.add_metric(["failed"], counts.failed)
        yield answered


def registry_of(dealer: Dealer) -> CollectorRegistry:
    """A registry with the load's metrics and those of this process."""
    registry = CollectorRegistry()
    registry.register(TrafficCounts(dealer))
    ProcessCollector(registry=registry)
    return registry
