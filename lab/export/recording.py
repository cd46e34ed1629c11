"""What is exported of a run, whatever the format: the truth, the metrics, the log lines, the spans."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from scenarios.model import NO_FAULT, Scenario
from services.exam.journal import Journal

SHOP = ("gateway", "profile", "payment", "inventory", "fraud", "dns")
"""The system that breaks, and so the possible answers. The lab's own services only watch it."""


@dataclass(frozen=True)
class MetricFrame:
    """A wide table without holes. ``times`` are unix seconds, columns are named ``<service>_<metric>``.

    Neither half of a column's name has an underscore: readers split it there.
    """

    times: Sequence[int]
    columns: dict[str, list[float]]

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

    @property
    def inject_time(self) -> int | None:
        """When the fault began, in whole unix seconds; ``None`` where nothing was broken."""
        at = self.journal.run.injected_at
        if at is None or self.scenario.truth.component == NO_FAULT:
            return None
        return int(at.timestamp())

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
