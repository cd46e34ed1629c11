"""The metrics of incidents. What there is comes from the database at each scrape, true after a restart."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

import structlog
from prometheus_client import Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from services.common.fields import Severity
from services.incident_management.schemas import STATUSES, Incident

log = structlog.get_logger()

time_to_acknowledge = Histogram(
    "incident_mtta_seconds",
    "From an incident's creation to its acknowledgement.",
    buckets=(30, 60, 120, 300, 600, 1800, 3600),
)
time_to_resolve = Histogram(
    "incident_mttr_seconds",
    "From an incident's creation to its resolution.",
    buckets=(60, 300, 600, 1800, 3600, 7200, 14400),
)


@dataclass(frozen=True)
class Counts:
    """What there is in the database."""

    by_status: Mapping[str, int]
    """Incidents by status."""
    unresolved: Mapping[str, int]
    """Incidents that are not resolved, by severity."""
    waiting: Mapping[str, int]
    """What waits in the outbox, by kind."""


class IncidentCounts(Collector):
    """``incidents_total{status}``, ``incidents_unresolved{severity}`` and ``incident_outbox_pending{kind}``,
    counted when they are asked for."""

    def __init__(self, counts: Callable[[], Counts]) -> None:
        self._counts = counts

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The families without samples: to register is not yet to ask the database."""
        yield from self._families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All families; without samples when the database cannot be asked, since an old count would lie."""
        incidents, unresolved, pending = self._families()
        try:
            counts = self._counts()
        except SQLAlchemyError as error:
            log.warning("metrics.not_counted", error=str(error).partition("\n")[0])
        else:
            for status in STATUSES:
                incidents.add_metric([status], counts.by_status.get(status, 0))
            for severity in get_args(Severity):
                unresolved.add_metric([severity], counts.unresolved.get(severity, 0))
            for kind in ("assignment", "page"):
                pending.add_metric([kind], counts.waiting.get(kind, 0))
        yield incidents
        yield unresolved
        yield pending

    def _families(self) -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily("incidents_total", "Incidents by status.", labels=["status"]),
            GaugeMetricFamily(
                "incidents_unresolved", "Incidents that are not resolved, by severity.", labels=["severity"]
            ),
            GaugeMetricFamily(
                "incident_outbox_pending", "Questions to on-call and pages still to go out.", labels=["kind"]
            ),
        )


def observe_change(before: Incident, after: Incident) -> None:
    """Observe what a committed change has brought about. Called once for each change, by who made it."""
    if before.mtta_seconds is None and after.mtta_seconds is not None:
        time_to_acknowledge.observe(after.mtta_seconds)
    if before.mttr_seconds is None and after.mttr_seconds is not None:
        time_to_resolve.observe(after.mttr_seconds)
