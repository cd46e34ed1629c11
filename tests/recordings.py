"""Recordings of runs that never happened, for the tests of the exports."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from lab.export.recording import SHOP, LogLine, MetricFrame, Recording, Span
from scenarios.model import FOLDER, load
from tests.journals import INJECTED_AT, after, journal

HEALTHY_S = 300
BROKEN_S = 300


@dataclass(frozen=True)
class Kept:
    """Telemetry from lists."""

    lines: Sequence[LogLine] = ()
    kept_spans: Sequence[Span] = field(default=())

    def logs(self) -> Iterator[LogLine]:
        return iter(self.lines)

    def spans(self) -> Iterator[Span]:
        return iter(self.kept_spans)


def log_line(service: str, message: str, *, at: datetime = INJECTED_AT) -> LogLine:
    return LogLine(
        signal_id="0b6f43d2-2a0e-4f5c-8d3b-5a1f0c9e7d11",
        at=at,
        service=service,
        level="ERROR",
        message=message,
        trace_id="a" * 32,
        attributes={"route": "/api/payment", "error_code": "503"},
    )


def span(service: str, *, at: datetime = INJECTED_AT, parent: str | None = None) -> Span:
    return Span(
        trace_id="a" * 32,
        span_id="b" * 16,
        parent_span_id=parent,
        service=service,
        name="POST /api/payment",
        kind="server",
        status="error",
        status_message=None,
        started_at=at + timedelta(microseconds=250_125),
        duration_ms=12.5,
        attributes={"http.response.status_code": 503},
    )


def frame(broken: str, *, seed: int = 1) -> MetricFrame:
    """A row each five seconds; of the ``broken`` service latency and errors rise at the injection."""
    noise = random.Random(seed)
    start = int(INJECTED_AT.timestamp()) - HEALTHY_S
    times = list(range(start, start + HEALTHY_S + BROKEN_S, 5))
    columns: dict[str, list[float]] = {}
    for service in SHOP:
        for metric, level in (
            ("workload", 5.0),
            ("error", 0.02),
            ("latency-90", 0.04),
            ("latency-mean", 0.02),
        ):
            lift = [8.0 if service == broken and at >= start + HEALTHY_S else 1.0 for at in times]
            is_load = metric == "workload"
            columns[f"{service}_{metric}"] = [
                level * (1.0 if is_load else up) * noise.uniform(0.9, 1.1) for up in lift
            ]
    return MetricFrame(times, columns)


def recording(
    name: str = "payment-dns",
    *,
    lines: Sequence[LogLine] = (),
    spans: Sequence[Span] = (),
    run: UUID | None = None,
    gaps: Sequence[str] = (),
) -> Recording:
    """A run of that scenario in which nobody did anything for five minutes."""
    scenario = load(FOLDER / f"{name}.yaml")
    made = journal(scenario, ended_s=BROKEN_S, ended_by="time_up")
    facts = made.run.model_copy(update={"started_at": after(-HEALTHY_S), **({"id": run} if run else {})})
    return Recording(
        scenario=scenario,
        journal=made.model_copy(update={"run": facts}),
        metrics=frame(scenario.truth.component),
        telemetry=Kept(lines, spans),
        gaps=gaps,
    )


def with_metrics(one: Recording, metrics: MetricFrame) -> Recording:
    """The same with other metrics."""
    return replace(one, metrics=metrics)
