import csv
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from embedded.errors import LabError
from embedded.monitoring.promql import Instant, Moment, read
from embedded.monitoring.store import NAME, Store, labels_of
from lab.export import baseline, firedrill, openrca, rcaeval
from lab.export.baseline import answer, ask, chance_among_first, hits
from lab.export.metrics import METRICS, filled, framed, unmeasured_for_s
from lab.export.recording import SHOP, LogLine, MetricFrame, Recording, Span
from scenarios.model import SERVICE_NAMES
from scenarios.vocabulary import MECHANISMS
from services.exam.journal import Journal
from tests.journals import INJECTED_AT, after
from tests.recordings import log_line, recording, span, with_metrics

ANOTHER = UUID("7a1f2b3c-0d4e-4f5a-9b6c-8d7e6f5a4b3c")


BY_NAME = {metric.name: metric for metric in METRICS}


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_embedded_prometheus_understands_every_expression(metric: object) -> None:
    read(metric.expression)  # type: ignore[attr-defined]


def test_no_name_that_readers_split_at_underscores_has_one() -> None:
    names = [*(metric.name for metric in METRICS), *SERVICE_NAMES, *MECHANISMS]

    assert [name for name in names if "_" in name] == []
    assert set(SHOP) <= set(SERVICE_NAMES)


def test_what_is_counted_is_zero_and_what_is_measured_holds_where_there_is_no_sample() -> None:
    times = [0, 5, 10, 15]

    assert filled(times, {5: 2.0}, empty="zero", inject_time=10) == [0.0, 2.0, 0.0, 0.0]
    assert filled(times, {5: 2.0, 15: 3.0}, empty="hold", inject_time=10) == [2.0, 2.0, 2.0, 3.0]


def test_the_healthy_minutes_are_not_filled_with_what_was_measured_after_the_fault() -> None:
    times = [0, 5, 10, 15, 20]

    assert filled(times, {15: 0.9, 20: 0.8}, empty="hold", inject_time=15) is None
    assert filled(times, {15: 0.9, 20: 0.8}, empty="hold", inject_time=16) == [0.9, 0.9, 0.9, 0.9, 0.8]
    assert filled(times, {15: 0.9, 20: 0.8}, empty="hold", inject_time=None) == [0.9, 0.9, 0.9, 0.9, 0.8]
    assert filled(times, {15: 0.9, 20: 0.8}, empty="zero", inject_time=15) == [0.0, 0.0, 0.0, 0.9, 0.8]


def test_a_column_that_was_not_measured_before_the_fault_is_left_out_and_named() -> None:
    mem, cpu = BY_NAME["mem"], BY_NAME["cpu"]

    found = framed([0, 5, 10], {("dns", mem): {10: 7.0}, ("dns", cpu): {10: 0.5}}, inject_time=10)

    assert found.columns == {"dns_cpu": [0.0, 0.0, 0.5]}
    assert found.gaps == ["left out, since it was not measured before the fault: dns_mem"]


def test_what_was_not_measured_for_more_than_two_scrapes_is_told_wherever_it_is() -> None:
    times = list(range(0, 60, 5))
    early = dict.fromkeys(times[3:], 1.0)
    within = {at: 1.0 for at in times if at not in (15, 20, 25, 30)}
    short = {at: 1.0 for at in times if at not in (15, 20)}
    sampled = {
        ("dns", BY_NAME["mem"]): early,
        ("dns", BY_NAME["latency-50"]): within,
        ("dns", BY_NAME["latency-90"]): within,
        ("payment", BY_NAME["mem"]): dict.fromkeys(times[:9], 1.0),
        ("payment", BY_NAME["pool-wait"]): short,
        ("payment", BY_NAME["pool-used"]): {},
    }

    found = framed(times, sampled, inject_time=40)

    assert set(found.columns) == {f"{service}_{metric.name}" for service, metric in sampled}
    assert found.gaps == [
        "unmeasured: dns_latency-50, dns_latency-90 from 00:00:15 to 00:00:30 UTC",
        "unmeasured: dns_mem from 00:00:00 to 00:00:10 UTC",
        "unmeasured: payment_mem from 00:00:45 to 00:00:55 UTC",
    ]


def test_metrics_that_begin_late_are_noticed() -> None:
    late = MetricFrame([0, 5, 10], {"gateway_workload": [0.0, 0.0, 4.0], "gateway_mem": [1.0, 1.0, 1.0]})

    assert unmeasured_for_s(late) == 10
    assert unmeasured_for_s(MetricFrame([0, 5], {"gateway_workload": [0.0, 0.0]})) == float("inf")


def test_our_own_format_has_everything_and_says_what_is_missing(tmp_path: Path) -> None:
    one = recording(
        lines=[log_line("telemetry", "x,\ny")], spans=[span("payment")], gaps=["no spans before 9"]
    )

    directory = firedrill.write(one, tmp_path)

    assert Journal.model_validate_json((directory / "journal.json").read_text()) == one.journal
    truth = json.loads((directory / "truth.json").read_text())
    assert (truth["component"], truth["mechanism"]) == ("dns", "record-missing")
    assert truth["inject_time"] == INJECTED_AT.timestamp()
    assert [line["message"] for line in rows(directory / "logs.csv")] == ["x,\ny"]
    assert [line["parent_span_id"] for line in rows(directory / "traces.csv")] == [""]
    metrics = rows(directory / "metrics.csv")
    assert sum(int(line["time"]) < truth["inject_time"] for line in metrics) == 60
    assert all(value for line in metrics for value in line.values())
    assert "no spans before 9" in (directory / "README.md").read_text()


def test_a_case_of_rcaeval_has_its_files_columns_and_units(tmp_path: Path) -> None:
    one = recording(lines=[log_line("payment", "refused")], spans=[span("payment", parent="c" * 16)])

    case = rcaeval.write(one, tmp_path)

    assert case.name.split("_") == ["firedrill", "dns", "record-missing", "1"]
    at = int(INJECTED_AT.timestamp())
    assert (case / "inject_time.txt").read_text() == f"{at}\n"
    series = json.loads((case / "metrics.json").read_text())
    assert series["dns_latency-90"][0] == [one.metrics.times[0], one.metrics.columns["dns_latency-90"][0]]
    assert rows(case / "logs.csv") == [
        {
            "time": str(at),
            "timestamp": f"{at}000000000",
            "container_name": "payment",
            "message": "refused",
            "level": "error",
            "req_path": "/api/payment",
            "error": "503",
        }
    ]
    assert rows(case / "traces.csv") == [
        {
            "time": str(at),
            "traceID": "a" * 32,
            "spanID": "b" * 16,
            "serviceName": "payment",
            "methodName": "POST /api/payment",
            "operationName": "POST /api/payment",
            "startTimeMillis": f"{at}250",
            "startTime": f"{at}250125",
            "duration": "12500",
            "statusCode": "503",
            "parentSpanID": "c" * 16,
        }
    ]


def test_the_benchmarks_layouts_keep_what_is_missing_in_files_of_our_own(tmp_path: Path) -> None:
    one = recording(gaps=["no spans before 9"])

    case, dataset = rcaeval.write(one, tmp_path), openrca.write(one, tmp_path)

    assert json.loads((case / "case.json").read_text())["missing"] == ["no spans before 9"]
    assert rows(dataset / "missing.csv") == [{"run": str(one.journal.run.id), "what": "no spans before 9"}]


def test_each_run_is_a_case_of_its_own_and_the_same_run_the_same_one(tmp_path: Path) -> None:
    written = [rcaeval.write(recording(run=run), tmp_path).name for run in (None, ANOTHER, None)]

    assert [name.rpartition("_")[2] for name in written] == ["1", "2", "1"]


@pytest.mark.parametrize("form", [rcaeval, openrca])
def test_the_benchmarks_see_the_shop_and_not_what_watches_it(tmp_path: Path, form: object) -> None:
    watching = ("alert-ingestion", "telemetry", "exam", "web-ui")
    one = recording(lines=[log_line(s, "m") for s in watching], spans=[span(s) for s in watching])

    form.write(one, tmp_path)  # type: ignore[attr-defined]

    tables = [*tmp_path.rglob("log*.csv"), *tmp_path.rglob("trace*.csv")]
    assert [rows(file) for file in tables] == [[]] * len(tables)


@pytest.mark.parametrize("form", [firedrill, rcaeval, openrca])
def test_no_export_has_what_the_lab_itself_does_to_a_run(tmp_path: Path, form: object) -> None:
    form.write(with_the_labs_own_doing(), tmp_path)  # type: ignore[attr-defined]

    text = "".join(file.read_text() for kind in ("csv", "json") for file in tmp_path.rglob(f"*.{kind}"))
    assert "/admin" not in text
    assert "a customer's" in text
    assert "GET /ops/records" in text
    assert [
        told
        for told in ("record missing", "DELETE FROM zone", "run.waits", "POST /runs", "said of")
        if told in text
    ] == []


def with_the_labs_own_doing() -> Recording:
    """An open lab: dns is asked and broken over its admin routes, the exam works, a customer pays."""
    admin, exams = "d" * 32, "e" * 32
    asked = {"path": "/admin/failure-mode/record_missing", "route": "/admin/failure-mode/{mode}"}
    switched = replace(span("dns"), trace_id=admin, span_id="1" * 16, name="POST /admin/failure-mode/{mode}")
    statement = {"trace_id": admin, "parent_span_id": "1" * 16, "name": "DELETE FROM zone", "attributes": {}}
    return recording(
        lines=[
            replace(log_line("dns", "request.finished"), trace_id=None, attributes=asked),
            replace(log_line("dns", "record missing"), trace_id=admin),
            log_line("web-ui", "no answer: http://127.0.0.1:8006/admin/failure-mode"),
            log_line("exam", "run.waits"),
            replace(log_line("incident", "said of exam"), trace_id=exams),
            log_line("payment", "a customer's"),
        ],
        spans=[
            # It arrives before its parent, as what ends first does.
            replace(span("dns"), **statement),
            switched,
            replace(span("web-ui"), trace_id="f" * 32, attributes={"url.full": "http://dns/admin/baseline"}),
            replace(span("exam"), trace_id=exams, name="POST /runs"),
            replace(span("incident", parent="b" * 16), trace_id=exams, name="said of exam"),
            replace(span("dns"), name="GET /ops/records"),
        ],
    )


@pytest.mark.parametrize(
    "metric",
    [one for one in METRICS if "http_request" in one.expression],
    ids=lambda metric: metric.name,
)
def test_admin_requests_are_in_no_column(metric: object) -> None:
    own = {"/ops/records/{name}": ("503", 0.02)}
    without, asked_by_the_exam = requests(own), requests({**own, "/admin/failure-mode": ("200", 3.0)})

    expected = dns(metric.expression, without)  # type: ignore[attr-defined]

    assert expected is not None
    assert dns(metric.expression, asked_by_the_exam) == expected  # type: ignore[attr-defined]


def requests(answers: dict[str, tuple[str, float]]) -> Store:
    """Two requests a second to each route of dns, for a minute, with their status and seconds."""
    made = Store()
    for route, (status, latency_s) in answers.items():
        labels = {"service": "dns", "method": "GET", "route": route}
        for name, more, each in (
            ("http_requests_total", {"status": status}, 1.0),
            ("http_request_duration_seconds_count", {}, 1.0),
            ("http_request_duration_seconds_sum", {}, latency_s),
            ("http_request_duration_seconds_bucket", {"le": "0.1"}, float(latency_s <= 0.1)),
            ("http_request_duration_seconds_bucket", {"le": "5"}, 1.0),
            ("http_request_duration_seconds_bucket", {"le": "+Inf"}, 1.0),
        ):
            series = made.series(labels_of({NAME: name, **labels, **more}))
            for scrape in range(13):
                series.append(scrape * 5_000, scrape * 10 * each)
    return made


def dns(expression: str, samples: Store) -> float | None:
    """What an expression yields for dns."""
    root = read(expression).root
    assert isinstance(root, Instant)
    found = {dict(labels)["service"]: value for labels, value in root.vector(Moment(samples, 60_000)).items()}
    return found.get("dns")


@pytest.mark.parametrize("form", [rcaeval, openrca])
def test_the_benchmarks_have_no_case_for_a_quiet_night(tmp_path: Path, form: object) -> None:
    with pytest.raises(LabError, match="nothing was broken"):
        form.write(recording("quiet-night"), tmp_path)  # type: ignore[attr-defined]

    assert list(tmp_path.iterdir()) == []


def test_a_quiet_night_has_our_own_format(tmp_path: Path) -> None:
    directory = firedrill.write(recording("quiet-night"), tmp_path)

    assert json.loads((directory / "truth.json").read_text())["inject_time"] is None


def test_the_openrca_dataset_grows_by_a_record_and_seven_tasks_a_run(tmp_path: Path) -> None:
    for run in (None, ANOTHER):
        dataset = openrca.write(recording("missing-index", run=run), tmp_path)

    records, tasks = rows(dataset / "record.csv"), rows(dataset / "query.csv")
    assert [list(one.values()) for one in records] == [
        ["1772614860", "2026-03-04 09:01:00", "profile", "missing-index"]
    ] * 2
    assert [one["task_index"] for one in tasks] == [f"task_{n}" for n in range(1, 8)] * 2
    with pytest.raises(LabError, match=r"is in .* already"):
        openrca.write(recording("missing-index", run=ANOTHER), tmp_path)


def test_an_export_that_broke_off_leaves_nothing_that_is_written_twice(tmp_path: Path) -> None:
    one = recording("missing-index", lines=[log_line("profile", "slow")], spans=[span("profile")])
    with pytest.raises(LabError, match="the database refuses"):
        openrca.write(replace(one, telemetry=BreaksOff()), tmp_path)

    dataset = openrca.write(one, tmp_path)

    frame = one.metrics
    containers = [line for file in dataset.rglob("metric_container.csv") for line in rows(file)]
    assert len(containers) == len(frame.times) * len(frame.columns)
    assert [len(rows(file)) for file in dataset.rglob("trace_span.csv")] == [1]


class BreaksOff:
    """Telemetry whose database gives up before the log lines."""

    def spans(self) -> Iterator[Span]:
        yield span("profile")

    def logs(self) -> Iterator[LogLine]:
        raise LabError("the database refuses: canceling statement due to statement timeout")


def test_the_evaluation_of_openrca_finds_the_scoring_points(tmp_path: Path) -> None:
    dataset = openrca.write(recording("missing-index"), tmp_path)

    points = rows(dataset / "query.csv")[6]["scoring_points"]
    found = [
        re.findall(pattern, points)
        for pattern in (
            r"The (?:\d+-th|only) predicted root cause component is ([^\n]+)",
            r"The (?:\d+-th|only) predicted root cause reason is ([^\n]+)",
            r"The (?:\d+-th|only) root cause occurrence time is within 1 minutes \(i.e., <=1min\) of (.+)",
        )
    ]
    assert found == [["profile"], ["missing-index"], ["2026-03-04 09:01:00"]]


def test_the_telemetry_of_openrca_is_by_day_and_in_the_units_of_its_files(tmp_path: Path) -> None:
    midnight = after(15 * 3600 - 60)
    one = recording(
        lines=[log_line("payment", "before"), log_line("payment", "after", at=midnight)],
        spans=[span("payment"), span("payment", at=midnight)],
    )

    telemetry = openrca.write(one, tmp_path) / "telemetry"

    first = telemetry / "2026_03_04"
    assert sorted(str(file.relative_to(first)) for file in first.rglob("*.csv")) == [
        "log/log_service.csv",
        "metric/metric_container.csv",
        "metric/metric_service.csv",
        "trace/trace_span.csv",
    ]
    assert [line["value"][:32] for line in rows(telemetry / "2026_03_05/log/log_service.csv")] == [
        "severity: error, message: after,"
    ]
    at = int(INJECTED_AT.timestamp())
    spans = rows(first / "trace/trace_span.csv")
    assert [(one["timestamp"], one["duration"]) for one in spans] == [(f"{at}250", "12500")]
    assert rows(first / "log/log_service.csv")[0]["timestamp"] == str(at)


def test_requests_a_minute_and_mean_response_times_are_those_of_the_metrics(tmp_path: Path) -> None:
    times = list(range(0, 120, 5))
    metrics = MetricFrame(
        times,
        {
            "gateway_workload": [2.0] * 12 + [3.0] * 12,
            "gateway_server-error": [0.0] * 12 + [0.25] * 12,
            "gateway_latency-mean": [0.01] * 12 + [0.5] * 12,
        },
    )

    dataset = openrca.write(with_metrics(recording(), metrics), tmp_path)

    assert [
        list(one.values()) for one in rows(dataset / "telemetry/1970_01_01/metric/metric_service.csv")
    ] == [
        ["gateway", "0", "100.0", "100.0", "10.0", "120"],
        ["gateway", "60", "100.0", "75.0", "500.0", "180"],
    ]


def test_a_service_is_suspected_where_its_first_column_stands() -> None:
    said = answer("baro", ["payment_error", "dns_errors", "payment_cpu", "gateway_error"], truth="dns")

    assert said.services == ["payment", "dns", "gateway"]
    assert said.place == 2
    assert (hits([said], k=1), hits([said], k=3)) == (0.0, 1.0)


def test_a_service_without_a_column_is_not_ranked_and_cannot_be_met_by_chance() -> None:
    said = answer("baro", ["payment_error"], truth="dns")

    assert (said.place, said.chance[1], said.chance[3]) == (None, 0.0, 0.0)


def test_chance_is_that_of_all_orders_of_the_columns() -> None:
    columns = {"a": 2, "b": 1, "c": 1, "d": 1}
    drawn = [service for service, count in columns.items() for _ in range(count)]
    orders = [list(dict.fromkeys(order)) for order in itertools.permutations(drawn)]

    for k in (1, 2, 3, 4):
        counted = sum("a" in order[:k] for order in orders) / len(orders)
        assert chance_among_first(k, "a", columns) == pytest.approx(counted)


def test_methods_that_take_too_long_are_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(baseline, "TIMEOUT_S", 0.1)

    with pytest.raises(LabError, match=r"^RCAEval took longer than 0\.1 s for 2 cases: .+$"):
        ask([tmp_path, tmp_path], python=slow)


def test_an_interpreter_that_ends_without_a_word_is_said(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="RCAEval failed: exit code 1"):
        ask([tmp_path], python=Path("/bin/false"))
