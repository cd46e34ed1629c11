"""Our own format: one directory with everything, readable with any CSV reader.

``<run>/journal.json`` (everything that the score is made of), ``truth.json``, ``metrics.csv`` (wide),
``logs.csv``, ``traces.csv`` and ``README.md``, which says what the columns mean.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from lab.export import tables
from lab.export.metrics import METRICS
from lab.export.recording import LogLine, Recording, Span

LOGS = ("time", "timestamp", "service", "level", "message", "trace_id", "signal_id", "attributes")
TRACES = (
    "time",
    "trace_id",
    "span_id",
    "parent_span_id",
    "service",
    "name",
    "kind",
    "status",
    "status_message",
    "started_at",
    "duration_ms",
    "attributes",
)


def write(recording: Recording, folder: Path) -> Path:
    """Write the run's directory below ``folder``, anew if it is there; its path."""
    directory = folder / str(recording.journal.run.id)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "journal.json").write_text(recording.journal.model_dump_json(indent=1), encoding="utf-8")
    (directory / "truth.json").write_text(json.dumps(recording.truth, indent=1), encoding="utf-8")
    counts = {
        "metrics.csv": tables.write_frame(directory / "metrics.csv", recording.metrics),
        "logs.csv": tables.write(directory / "logs.csv", LOGS, _logs(recording.logs())),
        "traces.csv": tables.write(directory / "traces.csv", TRACES, _spans(recording.spans())),
    }
    (directory / "README.md").write_text(_readme(recording, counts), encoding="utf-8")
    return directory


def _logs(lines: Iterable[LogLine]) -> Iterator[tuple[object, ...]]:
    for one in lines:
        yield (
            f"{one.at.timestamp():.3f}",
            one.at.isoformat(),
            one.service,
            one.level,
            one.message,
            one.trace_id,
            one.signal_id,
            json.dumps(one.attributes),
        )


def _spans(spans: Iterable[Span]) -> Iterator[tuple[object, ...]]:
    for one in spans:
        yield (
            f"{one.started_at.timestamp():.3f}",
            one.trace_id,
            one.span_id,
            one.parent_span_id,
            one.service,
            one.name,
            one.kind,
            one.status,
            one.status_message,
            one.started_at.isoformat(),
            f"{one.duration_ms:.3f}",
            json.dumps(one.attributes),
        )


def _readme(recording: Recording, counts: dict[str, int]) -> str:
    run = recording.journal.run
    rows = "\n".join(f"- `{name}`: {count} rows" for name, count in counts.items())
    metrics = "\n".join(f"| `<service>_{metric.name}` | {metric.unit} |" for metric in METRICS)
    missing = "\n".join(f"- {gap}" for gap in recording.gaps) or "Nothing."
    return f"""# Run {run.id}

{recording.scenario.title} (scenario `{run.scenario}`, seed {run.seed}), from
{run.started_at:%Y-%m-%d %H:%M:%S} to {run.ended_at:%H:%M:%S} UTC. What broke, where and when says
`truth.json`; everything that happened, `journal.json`.

{rows}

`time` is in unix seconds everywhere. An empty `parent_span_id` is a trace's root; `attributes` is JSON.
`metrics.csv` has a column for each service and metric, without holes: what is counted is 0 where nothing was
counted, what is measured holds until it is measured again. What the lab itself did to the run, the exam's
work and its requests to the services, is in none of the tables.

| column | unit |
| --- | --- |
{metrics}

## Missing

{missing}
"""
