"""OpenRCA's layout: one dataset with the telemetry of many failures, by day.

``record.csv`` (``timestamp,datetime,component,reason``), ``query.csv`` (``task_index,instruction,
scoring_points``) and ``telemetry/YYYY_MM_DD/{metric,trace,log}/``. Columns and units of the telemetry are
those of OpenRCA's system Market: metrics and logs in seconds, spans in milliseconds with durations in
microseconds. The seven tasks are those of its ``task_specification.json``; a scoring point says, in the words
that its evaluation looks for, when, where and why. All times are UTC, where OpenRCA's own systems are UTC+8.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from embedded.errors import LabError
from lab.export import tables
from lab.export.rcaeval import status_code
from lab.export.recording import SHOP, LogLine, MetricFrame, Recording, Span
from scenarios.vocabulary import MECHANISMS, NONE

DATASET = "firedrill"
RECORD = ("timestamp", "datetime", "component", "reason")
RUNS = "runs.txt"
"""Ours: the runs that are in the dataset, a line each."""
MISSING = "missing.csv"
"""Ours: what is missing of which run."""
QUERY = ("task_index", "instruction", "scoring_points")
METRIC = ("timestamp", "cmdb_id", "kpi_name", "value")
METRIC_SERVICE = ("service", "timestamp", "rr", "sr", "mrt", "count")
TRACE = (
    "timestamp",
    "cmdb_id",
    "span_id",
    "trace_id",
    "duration",
    "type",
    "status_code",
    "operation_name",
    "parent_span",
)
LOG = ("log_id", "timestamp", "cmdb_id", "log_name", "value")
MINUTE_S = 60

ASKED = {
    "datetime": "the root cause occurrence datetime",
    "component": "the root cause component",
    "reason": "the root cause reason",
}
TASKS = {
    "task_1": ("datetime",),
    "task_2": ("reason",),
    "task_3": ("component",),
    "task_4": ("datetime", "reason"),
    "task_5": ("datetime", "component"),
    "task_6": ("component", "reason"),
    "task_7": ("datetime", "component", "reason"),
}
POINTS = {
    "datetime": "The only root cause occurrence time is within 1 minutes (i.e., <=1min) of {}",
    "component": "The only predicted root cause component is {}",
    "reason": "The only predicted root cause reason is {}",
}


def write(recording: Recording, folder: Path) -> Path:
    """Add the run to the dataset below ``folder``, which is made if need be; its path.

    Raises ``LabError`` for a run in which nothing was broken, and for one that is in it already.
    """
    inject_time = recording.inject_time
    if inject_time is None:
        raise LabError("nothing was broken in this run, and OpenRCA has no such case: use --format firedrill")
    dataset = folder / DATASET
    run = str(recording.journal.run.id)
    runs = dataset / RUNS
    known = runs.read_text(encoding="utf-8").split() if runs.exists() else []
    if run in known:
        raise LabError(f"run {run} is in {dataset} already; take another --output")
    dataset.mkdir(parents=True, exist_ok=True)
    truth = recording.scenario.truth
    at = f"{datetime.fromtimestamp(inject_time, UTC):%Y-%m-%d %H:%M:%S}"
    answers = {"datetime": at, "component": truth.component, "reason": truth.mechanism}
    # All is read before anything is written: a half that is there already would be written twice next time.
    for file, header, rows in list(_telemetry(recording, dataset / "telemetry")):
        file.parent.mkdir(parents=True, exist_ok=True)
        tables.append(file, header, rows)
    tables.append(dataset / "query.csv", QUERY, _queries(recording, answers))
    tables.append(dataset / MISSING, ("run", "what"), [(run, gap) for gap in recording.gaps])
    (dataset / "README.md").write_text(_readme(), encoding="utf-8")
    tables.append(dataset / "record.csv", RECORD, [(inject_time, *answers.values())])
    runs.write_text("".join(f"{one}\n" for one in (*known, run)), encoding="utf-8")
    return dataset


def _queries(recording: Recording, answers: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    run = recording.journal.run
    between = f"{run.started_at:%Y-%m-%d %H:%M:%S} to {run.ended_at:%Y-%m-%d %H:%M:%S}"
    for task, fields in TASKS.items():
        asked = " and ".join(ASKED[field] for field in fields)
        instruction = f"Between {between} (UTC) the shop had one failure. Find {asked}."
        yield task, instruction, "".join(f"{POINTS[field].format(answers[field])}\n" for field in fields)


Row = tuple[object, ...]


def _telemetry(recording: Recording, folder: Path) -> Iterator[tuple[Path, tuple[str, ...], list[Row]]]:
    """What belongs into which file: its path, its columns, its rows."""
    frame = recording.metrics
    for name, header, rows, per_s in (
        ("metric/metric_container.csv", METRIC, _metrics(frame), 1),
        ("metric/metric_service.csv", METRIC_SERVICE, _service_metrics(frame), 1),
        ("trace/trace_span.csv", TRACE, _spans(recording.spans()), 1000),
        ("log/log_service.csv", LOG, _logs(recording.logs()), 1),
    ):
        for day, some in _by_day(rows, column=header.index("timestamp"), per_s=per_s).items():
            yield folder / day / name, header, some


def _by_day(rows: Iterable[Row], *, column: int, per_s: int) -> dict[str, list[Row]]:
    """Rows by their day (UTC), as its directory is named; ``per_s`` of ``column``'s unit are a second."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        at = datetime.fromtimestamp(float(str(row[column])) / per_s, UTC)
        found.setdefault(f"{at:%Y_%m_%d}", []).append(row)
    return found


def _metrics(frame: MetricFrame) -> Iterator[Row]:
    for name, values in frame.columns.items():
        service, _, metric = name.partition("_")
        for at, value in zip(frame.times, values, strict=True):
            yield at, service, metric, value


def _service_metrics(frame: MetricFrame) -> Iterator[Row]:
    """A row for each service and minute: share of requests answered (all that a service counts are) and
    answered well, both in percent, mean response time in ms, requests."""
    starts = [place for place, at in enumerate(frame.times) if (at - frame.times[0]) % MINUTE_S == 0]
    for service in SHOP:
        workload, error = frame.of(service, "workload"), frame.of(service, "server-error")
        latency = frame.of(service, "latency-mean")
        if workload is None or latency is None:
            continue
        for start, end in zip(starts, [*starts[1:], len(frame.times)], strict=True):
            share = 0.0 if error is None else _mean(error[start:end])
            count = round(_mean(workload[start:end]) * MINUTE_S)
            yield (
                service,
                frame.times[start],
                100.0,
                round(100 * (1 - share), 3),
                round(1000 * _mean(latency[start:end]), 3),
                count,
            )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _spans(spans: Iterable[Span]) -> Iterator[Row]:
    for one in spans:
        if one.service in SHOP:
            yield (
                int(one.started_at.timestamp() * 1000),
                one.service,
                one.span_id,
                one.trace_id,
                round(one.duration_ms * 1000),
                one.kind,
                status_code(one),
                one.name,
                one.parent_span_id,
            )


def _logs(lines: Iterable[LogLine]) -> Iterator[Row]:
    for one in lines:
        if one.service in SHOP:
            attributes = ", ".join(f"{name}: {value}" for name, value in one.attributes.items())
            value = f"severity: {one.level.lower()}, message: {one.message}"
            yield (
                one.signal_id,
                int(one.at.timestamp()),
                one.service,
                f"log_{one.service}-service_application",
                f"{value}, {attributes}" if attributes else value,
            )


def _readme() -> str:
    components = "\n".join(f"- {name}" for name in SHOP)
    reasons = "\n".join(f"- {code}: {words}" for code, words in MECHANISMS.items() if code != NONE)
    return f"""# Firedrill in OpenRCA's layout

All times are UTC. `record.csv` has the answers, `query.csv` the questions with their scoring points.

## Possible root cause components

{components}

## Possible root cause reasons

{reasons}
"""
