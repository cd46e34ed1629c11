"""What is exported of a run, whatever the format: the truth, the metrics, the log lines, the spans."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

from lab.export import backstage
from scenarios.model import NO_FAULT, Scenario
from services.exam.journal import Journal

SHOP = ("gateway", "profile", "payment", "inventory", "fraud", "dns")
"""The system that breaks, and so the possible answers. The lab's own services only watch it."""


@dataclass(frozen=True)
class MetricFrame:
    """A wide table without holes. ``times`` are unix seconds, columns are named ``<service>_<metric>``.

    Neither half of a column's name has an underscore: readers split it there. ``gaps`` says what is
    missing, and what is there though nobody measured it, a line each.
    """

    times: Sequence[int]
    columns: dict[str, list[float]]
    gaps: Sequence[str] = ()

    def of(self, service: str, metric: str) -> list[float] | None:
        """One column; ``None`` where the service has no such metric."""
        return self.columns.get(f"{service}_{metric}")


@dataclass(frozen=True)
class LogLine:
    """One signal."""

    signal_id: str
    at: datetime
    service: str
    level: str
    message: str
    trace_id: str | None
    attributes: dict[str, Any]

    @property
    def texts(self) -> tuple[str, ...]:
        """What it says in words."""
        return (self.message,)


@dataclass(frozen=True)
class Span:
    """One span. ``kind`` and ``status`` are OpenTelemetry's words in small letters."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    service: str
    name: str
    kind: str
    status: str
    status_message: str | None
    started_at: datetime
    duration_ms: float
    attributes: dict[str, Any]

    @property
    def texts(self) -> tuple[str, ...]:
        """What it says in words."""
        return (self.name, self.status_message or "")


class Telemetry(Protocol):
    """Where log lines and spans come from, each time anew: there may be more than memory holds."""

    def logs(self) -> Iterator[LogLine]:
        """The log lines of the run's time."""
        ...

    def spans(self) -> Iterator[Span]:
        """The spans that began in the run's time."""
        ...


@dataclass(frozen=True)
class Recording:
    """One run, complete."""

    scenario: Scenario
    journal: Journal
    metrics: MetricFrame
    telemetry: Telemetry
    gaps: Sequence[str] = ()
    """What is missing, a line each: telemetry is kept for a while only."""

    def logs(self) -> Iterator[LogLine]:
        """The log lines, less the lab's own doing."""
        own = self._own_traces
        return (
            line
            for line in self.telemetry.logs()
            if line.trace_id not in own and not backstage.is_backstage(line)
        )

    def spans(self) -> Iterator[Span]:
        """The spans, less the lab's own doing."""
        own = self._own_traces
        return (
            span
            for span in self.telemetry.spans()
            if span.trace_id not in own and not backstage.is_backstage(span)
        )

    @cached_property
    def _own_traces(self) -> frozenset[str]:
        """The traces of the lab's own doing. Read beforehand: a span arrives before the one it belongs to."""
        return frozenset(span.trace_id for span in self.telemetry.spans() if backstage.begins_backstage(span))

    @property
    def inject_time(self) -> int | None:
        """When the fault began, in whole unix seconds; ``None`` where nothing was broken."""
        return inject_time(self.scenario, self.journal)

    @property
    def truth(self) -> dict[str, Any]:
        """The answer and what belongs to it, as JSON."""
        scenario, run = self.scenario, self.journal.run
        dumped = scenario.model_dump(mode="json", include={"truth", "expected_alerts", "mitigations"})
        return {
            "run": str(run.id),
            "scenario": scenario.name,
            "seed": run.seed,
            "started_at": run.started_at.isoformat(),
            "injected_at": run.injected_at.isoformat() if run.injected_at else None,
            "ended_at": run.ended_at.isoformat(),
            "inject_time": self.inject_time,
            **dumped["truth"],
            "expected_alerts": dumped["expected_alerts"],
            "accepted_mitigations": [one["action"] for one in dumped["mitigations"]["accepted"]],
            "red_herrings": [one.seen for one in scenario.red_herrings],
        }


def inject_time(scenario: Scenario, journal: Journal) -> int | None:
    """When a run's fault began, in whole unix seconds; ``None`` where nothing was broken."""
    at = journal.run.injected_at
    if at is None or scenario.truth.component == NO_FAULT:
        return None
    return int(at.timestamp())
