"""Phases in a real Postgres: written, written late, read by nobody but the examiner."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from fake_service import BREAK, RESTORE, FakeService, Timeline, schedule_over
from psycopg2.extras import RealDictCursor

import database
from embedded import postgres
from embedded.environment import role_url
from scenarios.model import Scenario
from scenarios.schedule import Schedule

ROOT = Path(__file__).resolve().parents[3]


class Exam:
    """The lab's database as its superuser, the examiner and others see it."""

    def __init__(self, server: postgres.Server) -> None:
        self.admin_url = server.create_database("firedrill")
        database.apply(self.admin_url, passwords={"shop": "s", "examiner": "e", "candidate": "c"})
        self.url = role_url(self.admin_url, role="examiner", password="e")

    def execute(self, statement: str, *, role: str = "") -> list[dict[str, Any]]:
        url = role_url(self.admin_url, role=role, password=role[0]) if role else self.admin_url
        connection = psycopg2.connect(url.replace("+psycopg2", ""), cursor_factory=RealDictCursor)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return [dict(row) for row in cursor.fetchall()] if cursor.description else []
        finally:
            connection.close()

    def phases(self) -> list[dict[str, Any]]:
        return self.execute("SELECT * FROM exam.phases ORDER BY started_at, ended_at")

    def lock_out(self) -> None:
        self.execute("ALTER ROLE examiner NOLOGIN")

    def let_in(self) -> None:
        self.execute("ALTER ROLE examiner LOGIN")


@pytest.fixture(scope="module")
def lab_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exam]:
    with postgres.running(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        yield Exam(server)


@pytest.fixture
def exam(lab_database: Exam) -> Exam:
    lab_database.execute("TRUNCATE exam.phases")
    return lab_database


@pytest.fixture
def schedule(exam: Exam, timeline: Timeline, service: FakeService, log: io.StringIO) -> Iterator[Schedule]:
    with schedule_over(service, timeline, log=log, examiner_url=exam.url, seed=77) as schedule:
        yield schedule


def test_every_phase_is_recorded_with_its_times_and_the_hold_with_the_truth(
    schedule: Schedule, exam: Exam, incident: Scenario
) -> None:
    schedule.play(incident)

    soak, hold, rest = exam.phases()
    assert [row["phase"] for row in (soak, hold, rest)] == ["soak", "hold", "rest"]
    assert {row["scenario"] for row in (soak, hold, rest)} == {"incident-b"}
    assert {row["seed"] for row in (soak, hold, rest)} == {77}
    assert all(row["started_at"] <= row["ended_at"] for row in (soak, hold, rest))
    assert soak["ended_at"] <= hold["started_at"] <= hold["ended_at"] <= rest["started_at"]
    assert hold["truth"] == incident.truth.model_dump(mode="json")
    assert hold["faults"] == [{"service": "profile", "mode": "combined", "offset_s": 0}]
    assert (soak["truth"], soak["faults"]) == (None, [])


@pytest.mark.parametrize("role", ["candidate", "shop"])
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM exam.phases",
        "INSERT INTO exam.phases (scenario, phase, started_at, seed) VALUES ('x', 'hold', now(), 1)",
        "DELETE FROM exam.phases",
        "DROP TABLE exam.phases",
        "SET ROLE examiner",
        "GRANT SELECT ON exam.phases TO candidate",
        "CREATE TABLE exam.mine ()",
    ],
)
def test_nobody_but_the_examiner_gets_at_the_record(exam: Exam, role: str, statement: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        exam.execute(statement, role=role)


def test_the_examiner_reads_the_record(schedule: Schedule, exam: Exam, incident: Scenario) -> None:
    schedule.play(incident)

    rows = exam.execute("SELECT truth ->> 'component' AS component FROM exam.phases", role="examiner")
    assert {row["component"] for row in rows} == {None, "profile"}


def test_applying_the_schema_again_keeps_the_record(
    schedule: Schedule, exam: Exam, incident: Scenario
) -> None:
    schedule.play(incident)
    before = exam.phases()

    database.apply(exam.admin_url, passwords={})

    assert exam.phases() == before


def test_a_database_that_is_away_does_not_stop_the_revert_and_gets_the_rows_when_it_is_back(
    schedule: Schedule, exam: Exam, service: FakeService, timeline: Timeline, incident: Scenario
) -> None:
    timeline.at(45, exam.lock_out)
    timeline.at(65, exam.let_in)

    schedule.play(incident)

    rows = {row["phase"]: row for row in exam.phases()}
    assert service.calls == [(10, BREAK), (50, RESTORE)]
    assert rows["hold"]["ended_at"] is not None
    # Begun at 50 s and written at 66 s or so; the fake clock stands still while the real one writes.
    assert 14 <= (rows["rest"]["ended_at"] - rows["rest"]["started_at"]).total_seconds() <= 18


def test_a_fault_waits_for_the_record_of_its_phase(
    schedule: Schedule, exam: Exam, service: FakeService, timeline: Timeline, incident: Scenario
) -> None:
    timeline.at(5, exam.lock_out)
    timeline.at(29.5, exam.let_in)

    schedule.play(incident)

    broken_at_s, path = service.calls[0]
    assert path == BREAK
    assert 30 <= broken_at_s <= 32
    assert service.calls[1] == (50, RESTORE)
    assert len(exam.phases()) == 3


@contextmanager
def schedule_process(
    service: FakeService, exam: Exam, log: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """``python -m scenarios.schedule`` for the length of a block; its output goes to ``log``."""
    urls = {f"{name}_URL": service.url for name in ("PROFILE", "DNS", "INVENTORY", "PAYMENT", "GATEWAY")}
    own = {"EXAM_DATABASE_URL": exam.url, "SCENARIO_SOAK_S": "0.1", "SCENARIO_HOLD_S": "60"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "scenarios.schedule"],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **urls, **own, **environment},
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_for(condition: Callable[[], bool], *, within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_terminated_schedule_reverts_and_closes_its_phase(
    service: FakeService, exam: Exam, tmp_path: Path
) -> None:
    with schedule_process(service, exam, tmp_path / "log", SCENARIO="incident-b") as process:
        wait_for(lambda: service.mode == "combined")
        process.send_signal(signal.SIGTERM)
        status = process.wait(timeout=5)

    assert status == 0
    assert (service.mode, service.world_is_broken) == ("none", False)
    assert all(row["ended_at"] for row in exam.phases())
    assert [line["event"] for line in lines(tmp_path / "log")][-3:] == [
        "fault.reverted",
        "phase.ended",
        "schedule.stopped",
    ]
    assert all({"timestamp", "level", "event", "service"} <= set(line) for line in lines(tmp_path / "log"))


def test_what_a_killed_schedule_left_broken_is_restored_by_the_next_one(
    service: FakeService, exam: Exam, tmp_path: Path
) -> None:
    with schedule_process(service, exam, tmp_path / "first", SCENARIO="incident-b") as killed:
        wait_for(lambda: service.mode == "combined")
        killed.kill()
        killed.wait()
    left_broken = service.world_is_broken

    with schedule_process(service, exam, tmp_path / "second", SCENARIO="none") as process:
        wait_for(lambda: all(row["ended_at"] for row in exam.phases()))
        process.send_signal(signal.SIGTERM)
        status = process.wait(timeout=5)

    assert left_broken
    assert [path for _, path in service.calls] == [BREAK, RESTORE]
    assert (service.mode, service.world_is_broken, status) == ("none", False, 0)


def test_what_is_left_of_a_service_that_is_gone_is_over_and_the_rest_is_restored(
    schedule: Schedule, exam: Exam, service: FakeService, log: io.StringIO
) -> None:
    exam.execute(
        "INSERT INTO exam.phases (scenario, phase, started_at, faults, seed)"
        """ VALUES ('older', 'hold', now(), '[{"service": "till"}, {"service": "profile"}]', 1)"""
    )

    schedule.restore_what_was_left()

    [left] = exam.phases()
    assert left["ended_at"] is not None
    assert [path for _, path in service.calls] == [RESTORE]
    assert "fault.service_is_gone" in log.getvalue()


def test_without_anything_left_scenario_none_leaves_a_mode_of_the_environment_alone(
    service: FakeService, exam: Exam, tmp_path: Path
) -> None:
    service.mode = "slow_query"
    with schedule_process(service, exam, tmp_path / "log", SCENARIO="none") as process:
        wait_for(lambda: "schedule.idle" in (tmp_path / "log").read_text())
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=5)

    assert service.calls == []
    assert service.mode == "slow_query"
    assert exam.phases() == []


def test_what_could_not_be_reverted_at_the_end_stays_open_for_the_next_start(
    service: FakeService, exam: Exam, tmp_path: Path
) -> None:
    with schedule_process(service, exam, tmp_path / "first", SCENARIO="incident-b") as process:
        wait_for(lambda: service.mode == "combined")
        service.stop()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=2.5)
    open_phases = [row["phase"] for row in exam.phases() if row["ended_at"] is None]

    service.start()
    with schedule_process(service, exam, tmp_path / "second", SCENARIO="none"):
        wait_for(lambda: not service.world_is_broken)

    assert open_phases == ["hold"]


def test_a_blind_schedule_prints_nothing_that_names_the_answer(
    service: FakeService, exam: Exam, tmp_path: Path
) -> None:
    environment = {"SCENARIO": "incident-b", "LAB_BLIND": "true", "SCENARIO_HOLD_S": "1"}
    with schedule_process(service, exam, tmp_path / "log", **environment):
        wait_for(lambda: RESTORE in [path for _, path in service.calls])
        wait_for(lambda: "fault.reverted" in (tmp_path / "log").read_text())

    said = (tmp_path / "log").read_text()
    assert len(lines(tmp_path / "log")) >= 6
    for word in ("incident", "profile", "combined", "hold", service.url):
        assert word not in said


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SCENARIO", "incident-c", "cycle, none, card-decline, connection-leak"),
        ("SCENARIO_HOLD_S", "-1", "SCENARIO_HOLD_S='-1'"),
        ("PROFILE_URL", "profile:8000", "PROFILE_URL='profile:8000'"),
        ("EXAM_DATABASE_URL", "secret@nowhere", "EXAM_DATABASE_URL=***: "),
    ],
)
def test_a_setting_that_cannot_be_used_ends_the_schedule_with_what_is_allowed(
    service: FakeService, exam: Exam, tmp_path: Path, variable: str, value: str, said: str
) -> None:
    with schedule_process(service, exam, tmp_path / "log", **{variable: value}) as process:
        status = process.wait(timeout=15)

    assert status == 2
    assert said in lines(tmp_path / "log")[0]["error"]
