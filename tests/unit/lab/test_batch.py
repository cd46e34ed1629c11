"""What a batch makes of its options, and what it keeps from an agent."""

import os
import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from embedded.errors import LabError
from lab.batch import Exam, Result, Terms, agent_command, exams, run_batch, show_summary, sit
from lab.exam_client import ExamAway
from scenarios.model import load_all


def result(scenario: str, points: float | None, *, mitigate_s: float | None = None) -> Result:
    state = "aborted" if points is None else "graded"
    times = {"detect_s": 30.0, "mitigate_s": mitigate_s}
    return Result(scenario, 1, "run", "a1", state, "submitted", points, {}, times, 0, 100.0)


class Examiner:
    """An exam whose runs are over as soon as they are looked at twice."""

    url = "http://exam.invalid"

    def __init__(self, *, fails: bool = False, restarts: bool = False) -> None:
        self.asked: list[str] = []
        self._fails = fails
        self._states = iter(("running", "away" if restarts else "running", "grading", "graded"))

    def post(self, path: str, body: Any = None) -> Any:
        self.asked.append(path)
        if path == "/runs":
            return {"id": "r1", "token": "cand-1", **body}
        return {"criteria": [{"name": "safety", "points": 10.0}], "times": {"detect_s": 31.0}}

    def get(self, path: str) -> Any:
        if self._fails and self.asked[-1].endswith("start"):
            self.asked.append("lost")
            raise LabError("the exam does not answer")
        state = "running" if self._fails else next(self._states)
        if state == "away":
            raise ExamAway("the exam does not answer")
        return {"id": "r1", "state": state, "ended_by": "submitted", "points": 10.0, "candidate": "a1"}


def terms(*agent: str) -> Terms:
    return Terms(agent or ("true",), "a1", 5.0, None, is_open=False)


def test_all_scenarios_with_each_seed_come_scenario_by_scenario() -> None:
    found = exams(scenarios="all", seeds="1..2")

    assert found == [Exam(name, seed) for name in sorted(load_all()) for seed in (1, 2)]


def test_named_scenarios_and_listed_seeds_are_taken_as_they_stand() -> None:
    found = exams(scenarios="quiet-night, payment-dns", seeds="7,3")

    assert [(one.scenario, one.seed) for one in found] == [
        ("quiet-night", 7),
        ("quiet-night", 3),
        ("payment-dns", 7),
        ("payment-dns", 3),
    ]


@pytest.mark.parametrize("seeds", ["", "a", "3..1", "-1", "1..", "1;2"])
def test_what_is_no_seed_is_refused(seeds: str) -> None:
    with pytest.raises(LabError, match="are no seeds"):
        exams(scenarios="all", seeds=seeds)


def test_a_scenario_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(LabError, match=r"no scenario payment-dsn; there are: all, .*payment-dns"):
        exams(scenarios="payment-dsn", seeds="1")


def test_an_agent_without_a_command_is_refused() -> None:
    with pytest.raises(LabError, match="--agent needs a command"):
        agent_command("  ")


def test_an_agent_has_its_run_and_token_and_nobody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXAMINER_TOKEN", "examiners")
    monkeypatch.setenv("LAB_ADMIN_TOKEN", "admins")
    monkeypatch.setenv("EXAMINER_DB_PASSWORD", "examiners")
    monkeypatch.setenv("POSTGRES_PASSWORD", "superusers")
    monkeypatch.setenv("CANDIDATE_DB_PASSWORD", "candidates")
    agent = terms(sys.executable, "-c", "import os; print(dict(os.environ))")

    found = sit(Examiner(), Exam("quiet-night", 1), terms=agent, logs=tmp_path)  # type: ignore[arg-type]

    said = (tmp_path / "r1.log").read_text()
    assert found.points == 10.0
    assert found.agent_exit == 0
    assert "'FIREDRILL_RUN': 'r1'" in said
    assert "'FIREDRILL_TOKEN': 'cand-1'" in said
    assert "candidates" in said
    assert "examiners" not in said
    assert "admins" not in said
    assert "superusers" not in said


def goes_on(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Held(Examiner):
    """An exam that cannot put the lab back while the agent, whose pid is in its log, goes on."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self._log = log
        self._looks = 0

    def get(self, path: str) -> Any:
        self._looks += 1
        assert self._looks < 100, "nobody ends the agent"
        if not self._log.exists():
            return {"id": "r1", "state": "running"}
        said = self._log.read_text().strip()
        state = "grading" if not said or goes_on(int(said)) else "graded"
        return {"id": "r1", "state": state, "ended_by": "time_up", "points": 0.0, "candidate": "a1"}


def test_an_agent_that_goes_on_is_ended_before_the_lab_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.batch.POLL_S", 0.01)
    monkeypatch.setattr("lab.batch.END_WITHIN_S", 0.5)
    examiner = Held(tmp_path / "r1.log")
    agent = terms("sh", "-c", "echo $$; exec sleep 600")

    found = sit(examiner, Exam("quiet-night", 1), terms=agent, logs=tmp_path)  # type: ignore[arg-type]

    assert (found.state, found.agent_exit) == ("graded", None)


def test_what_an_agent_that_has_exited_leaves_running_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.batch.POLL_S", 0.01)
    agent = terms("sh", "-c", "(sleep 1; echo acted) & echo left")

    found = sit(Examiner(), Exam("quiet-night", 1), terms=agent, logs=tmp_path)  # type: ignore[arg-type]

    time.sleep(1.5)
    assert found.agent_exit == 0
    assert (tmp_path / "r1.log").read_text() == "left\n"


def test_a_run_that_cannot_be_followed_is_aborted(tmp_path: Path) -> None:
    examiner = Examiner(fails=True)

    with pytest.raises(LabError, match="does not answer"):
        sit(examiner, Exam("quiet-night", 1), terms=terms(), logs=tmp_path)  # type: ignore[arg-type]

    assert examiner.asked[-1] == "/runs/r1/abort"


def test_an_exam_that_restarts_in_the_middle_ends_no_batch(tmp_path: Path) -> None:
    examiner = Examiner(restarts=True)

    found = sit(examiner, Exam("quiet-night", 1), terms=terms(), logs=tmp_path)  # type: ignore[arg-type]

    assert found.state == "graded"
    assert "/runs/r1/abort" not in examiner.asked


def test_an_exam_that_fails_ends_no_batch(tmp_path: Path) -> None:
    written = StringIO()
    wanted = [Exam("quiet-night", 1), Exam("payment-dns", 1)]

    found = run_batch(
        Examiner(fails=True),  # type: ignore[arg-type]
        wanted,
        terms=terms(),
        output=written,
        logs=tmp_path,
    )

    assert [(one.scenario, one.state, one.points) for one in found] == [
        ("quiet-night", "failed", None),
        ("payment-dns", "failed", None),
    ]
    assert written.getvalue().count("\n") == 2


def test_the_summary_has_a_line_for_each_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    show_summary(
        [result("a-b", 90.0, mitigate_s=50.0), result("a-b", 100.0, mitigate_s=70.0), result("c", None)]
    )

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == [
        ["a-b", "2", "95.0", "90", "100", "30.0", "60.0", "100.0"],
        ["c", "1", "-", "-", "-", "30.0", "-", "100.0"],
    ]
