"""RCAEval's layout: one directory for each failure case.

``firedrill_<service>_<fault>_<n>/`` with ``metrics.json`` (``{column: [[unix seconds, value], …]}``),
``inject_time.txt`` (unix seconds), ``logs.csv``, ``traces.csv``, as the README of RCAEval 1.8.1 ("File
Structure") and its ``RCAEval.utility.read_metrics`` have them. Its code splits the directory's name and the
columns at underscores, so neither a service nor a fault nor a metric has one. Times of spans are those of
Jaeger: microseconds; ``timestamp`` of a log line is Loki's: nanoseconds. ``case.json`` is ours: the
truth, and what is missing.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from embedded.errors import LabError
from lab.export import tables
from lab.export.recording import SHOP, LogLine, Recording, Span

BENCHMARK = "firedrill"
CASE = "case.json"
LOGS = ("time", "timestamp", "container_name", "message", "level", "req_path", "error")
TRACES = (
    "time",
    "traceID",
    "spanID",
    "serviceName",
    "methodName",
    "operationName",
    "startTimeMillis",
    "startTime",
    "duration",
    "statusCode",
    "parentSpanID",
)


def write(recording: Recording, folder: Path) -> Path:
    """Write the run as a case below ``folder``, anew if it is there; its path.

    Raises ``LabError`` for a run in which nothing was broken: there is no such case.
    """
    inject_time = recording.inject_time
    if inject_time is None:
        raise LabError("nothing was broken in this run, and RCAEval has no such case: use --format firedrill")
    directory = _directory(recording, folder)
    directory.mkdir(parents=True, exist_ok=True)
    case = {**recording.truth, "missing": list(recording.gaps)}
    (directory / CASE).write_text(json.dumps(case, indent=1), encoding="utf-8")
    (directory / "inject_time.txt").write_text(f"{inject_time}\n", encoding="utf-8")
    frame = recording.metrics
    series = {
        name: [[at, value] for at, value in zip(frame.times, values, strict=True)]
        for name, values in frame.columns.items()
    }
    (directory / "metrics.json").write_text(json.dumps(series), encoding="utf-8")
    tables.write(directory / "logs.csv", LOGS, _logs(recording.logs()))
    tables.write(directory / "traces.csv", TRACES, _spans(recording.spans()))
    return directory


def _directory(recording: Recording, folder: Path) -> Path:
    """The case's directory: the one that this run has already, or the next number."""
    truth = recording.scenario.truth
    number = 1
    while True:
        directory = folder / f"{BENCHMARK}_{truth.component}_{truth.mechanism}_{number}"
        if not directory.exists() or _run_of(directory) == str(recording.journal.run.id):
            return directory
        number += 1


def _run_of(directory: Path) -> str | None:
    file = directory / CASE
    case: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return case.get("run")


def _logs(lines: Iterable[LogLine]) -> Iterator[tuple[object, ...]]:
    for one in lines:
        if one.service in SHOP:
            yield (
                int(one.at.timestamp()),
                _micros(one.at) * 1000,
                one.service,
                one.message,
                one.level.lower(),
                one.attributes.get("route") or "",
                one.attributes.get("error_code") or "",
            )


def _spans(spans: Iterable[Span]) -> Iterator[tuple[object, ...]]:
    for one in spans:
        if one.service in SHOP:
            start_us = _micros(one.started_at)
            yield (
                start_us // 1_000_000,
                one.trace_id,
                one.span_id,
                one.service,
                one.name,
                one.name,
                start_us // 1000,
                start_us,
                round(one.duration_ms * 1000),
                status_code(one),
                one.parent_span_id,
            )


def status_code(span: Span) -> object:
    """The answer's HTTP status if it had one, or else 0, and 1 where the span failed."""
    answered = (span.attributes.get(name) for name in ("http.response.status_code", "http.status_code"))
    return next(filter(None, answered), int(span.status == "error"))


def _micros(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000 + at.microsecond
