"""The metrics of alerts. How many are pending comes from the database at each scrape."""

from collections.abc import Callable, Iterator, Mapping
from typing import get_args

import structlog
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from services.common.fields import Severity

log = structlog.get_logger()

_received = Counter("alerts_received_total", "New alerts stored.", ["severity"])
_correlated = Counter("alerts_correlated_total", "Alerts that have got their incident.", ["result"])
refused = Counter("alerts_refused_total", "Alerts refused because too many were under way.")
ingestion = Histogram(
    "alert_ingestion_seconds",
    "From an alert's arrival to its receipt.",
    buckets=(0.0025, 0.005, 0.01, 0.02, 0.03, 0.06, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
in_flight = Gauge("alerts_in_flight", "Alerts under way in this process.")

_RESULTS = {"new_incident": "new_incident", "attached_to_existing_incident": "existing_incident"}
for _severity in get_args(Severity):
    _received.labels(_severity)
for _result in _RESULTS.values():
    _correlated.labels(_result)


def count_received(by_severity: Mapping[str, int]) -> None:
    """Count new alerts that are stored."""
    for severity, count in by_severity.items():
        _received.labels(severity).inc(count)


def count_correlated(by_action: Mapping[str, int]) -> None:
    """Count alerts that have got their incident; called once for each alert, by who gave it."""
    for action, count in by_action.items():
        _correlated.labels(_RESULTS[action]).inc(count)


class PendingAlerts(Collector):
    """``alerts_pending``, counted when it is asked for."""

    def __init__(self, pending: Callable[[], int]) -> None:
        self._pending = pending

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The family without a sample: to register is not yet to ask the database."""
        yield self._family()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauge; without a sample when the database cannot be asked, since an old count would lie."""
        family = self._family()
        try:
            family.add_metric([], self._pending())
        except SQLAlchemyError as error:
            log.warning("metrics.not_counted", error=str(error).partition("\n")[0])
        yield family

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily("alerts_pending", "Stored alerts that wait for their incident.")
