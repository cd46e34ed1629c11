"""The phase that is on, as a metric, so that dashboards can mark it. A blind lab has no such metric."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, disable_created_metrics, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from scenarios.records import Phase

disable_created_metrics()  # type: ignore[no-untyped-call]


class PhaseMetric(Collector):
    """``lab_phase{scenario,phase}``: 1 while that phase is on."""

    def __init__(self, current: Callable[[], Phase | None]) -> None:
        self._current = current

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauge, without a sample between two phases."""
        family = GaugeMetricFamily(
            "lab_phase", "1 while this phase of this scenario is on.", labels=["scenario", "phase"]
        )
        phase = self._current()
        if phase is not None:
            family.add_metric([phase.scenario.name, phase.name], 1)
        yield family


@contextmanager
def exposed(current: Callable[[], Phase | None], *, address: str, port: int, blind: bool) -> Iterator[None]:
    """Serve ``/metrics`` in a thread while the block lasts. Raises ``OSError`` when the port is taken.

    A blind lab's page is there and empty: that the schedule runs is no secret, what it does is one.
    """
    registry = CollectorRegistry()
    if not blind:
        registry.register(PhaseMetric(current))
    server, thread = start_http_server(port, addr=address, registry=registry)
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
