"""What a batch makes of its options, what it keeps from an agent, and what becomes of one that goes."""

import json
import os
import stat
import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import lab.exam_client
from embedded.errors import LabError
from lab import cli
from lab.batch import Exam, Result, Terms, agent_command, exams, run_batch, sit
from lab.batch_results import show_summary
from lab.exam_client import ExamAway
from scenarios.model import load_all


def result(
    scenario: str, points: float | None, *, mitigate_s: float | None = None, agent_exit: int | None = 0
) -> Result:
    state = "aborted" if points is None else "graded"
    times = {"detect_s": 30.0, "mitigate_s": mitigate_s}
    return Result(scenario, 1, "run", "a1", state, "submitted", points, {}, times, agent_exit, 100.0)


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


def test_every_scenario_comes_with_each_seed() -> None:
    found = exams(scenarios="all", seeds="1..2")

    assert set(found) == {Exam(name, seed) for name in load_all() for seed in (1, 2)}
    assert len(found) == 2 * len(load_all())


def test_exams_come_in_an_order_that_the_seeds_draw_and_the_same_draw_the_same() -> None:
    first, again, other = (exams(scenarios="all", seeds=seeds) for seeds in ("1..2", "1..2", "3..4"))

    assert first == again
    assert first != sorted(first, key=lambda one: (one.scenario, one.seed))
    assert [one.scenario for one in first] != [one.scenario for one in other]


def test_named_scenarios_come_with_the_seeds_that_are_listed() -> None:
    found = exams(scenarios="quiet-night, payment-dns", seeds="7,3")

    assert sorted((one.scenario, one.seed) for one in found) == [
        ("payment-dns", 3),
        ("payment-dns", 7),
        ("quiet-night", 3),
        ("quiet-night", 7),
    ]


def test_scenarios_may_come_from_where_no_list_of_processes_shows_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("quiet-night\npayment-dns\n"))

    assert {one.scenario for one in exams(scenarios="-", seeds="1")} == {"quiet-night", "payment-dns"}


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


@pytest.mark.parametrize("program", ["nosuchagent", "./nosuchagent", "/nosuchagent"])
def test_an_agent_that_is_no_program_is_refused(program: str) -> None:
    with pytest.raises(LabError, match=r"there is no program .*nosuchagent"):
        agent_command(f"{program} --fast")


def test_an_agents_program_is_looked_for_in_the_projects_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert agent_command(".venv/bin/python -m agent") == [".venv/bin/python", "-m", "agent"]


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

    found = [
        *run_batch(
            Examiner(fails=True),  # type: ignore[arg-type]
            wanted,
            terms=terms(),
            output=written,
            logs=tmp_path,
        )
    ]

    assert [(one.scenario, one.state, one.points) for one in found] == [
        ("quiet-night", "failed", None),
        ("payment-dns", "failed", None),
    ]
    assert written.getvalue().count("\n") == 2


def test_the_summary_has_a_line_for_each_scenario_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    show_summary(
        [result("c", None), result("a-b", 90.0, mitigate_s=50.0), result("a-b", 100.0, mitigate_s=70.0)]
    )

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == [
        ["a-b", "2", "95.0", "90", "100", "30.0", "2/2", "60.0", "100.0", "0"],
        ["c", "1", "-", "-", "-", "30.0", "0/0", "-", "100.0", "0"],
    ]


def test_the_summary_says_how_many_mitigated_and_whose_agent_failed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_summary(
        [
            result("a-b", 90.0, mitigate_s=50.0, agent_exit=None),
            result("a-b", 10.0, agent_exit=1),
            result("quiet-night", 90.0),
        ]
    )

    header, *lines = capsys.readouterr().out.splitlines()
    assert "mitigated" in header
    assert "agent failed" in header
    assert [line.split() for line in lines] == [
        ["a-b", "2", "50.0", "10", "90", "30.0", "1/2", "50.0", "100.0", "1"],
        ["quiet-night", "1", "90.0", "90", "90", "30.0", "-", "-", "100.0", "0"],
    ]


class Office:
    """An exam of many runs. Each goes on until it is handed in, or is over at its third look."""

    url = "http://exam.invalid"

    def __init__(
        self,
        *,
        waits_for_agents: bool = False,
        drafts: tuple[str, ...] = (),
        held_by_others: int = 0,
        interrupted_in: str = "",
        named: str = "r",
    ) -> None:
        self.handed_in: list[Any] = []
        self.sat: list[Exam] = []
        self.ended: dict[str, str] = {}
        self.refused = 0
        self._waits_for_agents = waits_for_agents
        self._drafts = drafts
        self._held_by_others = held_by_others
        self._interrupted_in = interrupted_in
        self._named = named
        self._looks: dict[str, int] = {}
        self._until_s = time.monotonic() + 20

    def post(self, path: str, body: Any = None) -> Any:
        if path == "/runs":
            self.sat.append(Exam(body["scenario"], body["seed"]))
            return {"id": f"{self._named}{len(self.sat)}", "token": "cand-1", **body}
        if path == "/my/submissions":
            self.handed_in.append(body)
            self.ended[f"{self._named}{len(self.sat)}"] = "grading"
        if path.endswith("/abort"):
            self.ended[path.split("/")[2]] = "aborted"
        if path.endswith("/start") and self._held_by_others:
            self._held_by_others -= 1
            self.refused += 1
            raise LabError("409: another run has the lab: let it end, or abort it")
        return {"criteria": [], "times": {}}

    def get(self, path: str) -> Any:
        assert time.monotonic() < self._until_s, "the exam goes on after its agent"
        if path == "/my/submissions":
            return {"items": [{"number": n, "diagnosis": {"summary": s}} for n, s in enumerate(self._drafts)]}
        run = path.split("/")[2]
        return {
            "id": run,
            "state": self._state(run),
            "ended_by": "submitted",
            "points": 5.0,
            "candidate": "agent",
        }

    def _state(self, run: str) -> str:
        if run == self._interrupted_in and run not in self.ended:
            self._interrupted_in = ""
            raise KeyboardInterrupt
        if self.ended.get(run) == "grading":
            self.ended[run] = "graded"
            return "grading"
        self._looks[run] = self._looks.get(run, 0) + 1
        if not self._waits_for_agents and self._looks[run] == 3:
            self.ended[run] = "graded"
            return "grading"
        return self.ended.get(run, "running")

    def all_runs(self) -> list[dict[str, Any]]:
        held = [{"id": "theirs", "state": "running", "candidate": "ana"}] if self._held_by_others else []
        return [*held, {"id": "old", "state": "graded", "candidate": "bob"}]

    def of_candidate(self, token: str) -> "Office":
        assert token == "cand-1"
        return self

    def close(self) -> None:
        pass


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("POLL_S", 0.02), ("FREE_POLL_S", 0.01)):
        monkeypatch.setattr(f"lab.batch.{name}", seconds)


@pytest.fixture
def soon_gone(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.batch.GONE_S", 0.1)


@pytest.mark.usefixtures("soon_gone")
def test_an_agent_that_goes_without_a_word_costs_no_whole_exam_and_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    office = Office(waits_for_agents=True)

    found = sit(office, Exam("payment-dns", 1), terms=terms("false"), logs=tmp_path)  # type: ignore[arg-type]

    said = capsys.readouterr().err
    assert office.handed_in == [{"diagnosis": {}, "draft": False}]
    assert (found.state, found.agent_exit, found.handed_in_for_it) == ("graded", 1, "nothing")
    assert said.count("the agent has ended (exit code 1) without handing in") == 1


@pytest.mark.usefixtures("soon_gone")
def test_an_agent_that_goes_and_leaves_a_draft_is_graded_by_the_last(tmp_path: Path) -> None:
    office = Office(waits_for_agents=True, drafts=("the first", "the last"))

    found = sit(office, Exam("payment-dns", 1), terms=terms("true"), logs=tmp_path)  # type: ignore[arg-type]

    assert office.handed_in == [{"diagnosis": {"summary": "the last"}, "draft": False}]
    assert (found.handed_in_for_it, found.has_agent_failed) == ("draft", False)


@pytest.mark.usefixtures("soon_gone")
def test_an_agent_that_is_at_it_may_take_its_time(tmp_path: Path) -> None:
    office = Office(waits_for_agents=True)

    sit(office, Exam("payment-dns", 1), terms=terms("sleep", "1"), logs=tmp_path)  # type: ignore[arg-type]

    assert office._looks["r1"] > 20


@pytest.mark.usefixtures("quick")
def test_an_exam_waits_for_another_run_to_give_the_lab_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    office = Office(held_by_others=3)

    found = sit(office, Exam("payment-dns", 1), terms=terms(), logs=tmp_path)  # type: ignore[arg-type]

    assert (found.state, office.refused) == ("graded", 3)
    assert capsys.readouterr().err.count("waiting: the run theirs of ana has the lab") == 1


@pytest.mark.usefixtures("quick")
def test_an_exam_waits_for_the_lab_for_so_long_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.batch.FREE_WITHIN_S", 0.1)
    office = Office(held_by_others=10_000)

    with pytest.raises(LabError, match="another run has the lab"):
        sit(office, Exam("payment-dns", 1), terms=terms(), logs=tmp_path)  # type: ignore[arg-type]

    assert office.ended == {"r1": "aborted"}


def test_a_run_that_cannot_be_aborted_does_not_hide_a_ctrl_c(tmp_path: Path) -> None:
    class Lost(Office):
        def get(self, path: str) -> Any:
            if self._interrupted_in:
                return super().get(path)
            raise LabError("the exam does not answer")

    office = Lost(interrupted_in="r1")

    with pytest.raises(KeyboardInterrupt):
        sit(office, Exam("payment-dns", 1), terms=terms(), logs=tmp_path)  # type: ignore[arg-type]


def test_an_agent_that_cannot_be_started_fails_its_exam_alone(tmp_path: Path) -> None:
    agent = tmp_path / "agent"
    agent.write_text("neither a script nor a program")
    agent.chmod(0o700)
    office = Office()

    with pytest.raises(LabError, match="cannot be started: Exec format error"):
        sit(office, Exam("payment-dns", 1), terms=terms(str(agent)), logs=tmp_path)  # type: ignore[arg-type]

    assert office.ended == {"r1": "aborted"}


def batch(office: Office, file: Path | None, *more: str) -> Any:
    """What `lab batch` says with this exam and writes into this file."""
    output = () if file is None else ("-o", str(file))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lab.exam_client, "examiner", lambda: office)
        return CliRunner().invoke(
            cli.app, ["batch", "--scenarios", "payment-dns,quiet-night", "--agent", "true", *output, *more]
        )


def exams_in(file: Path) -> list[str]:
    return [json.loads(line)["scenario"] for line in file.read_text().splitlines()]


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAB_DIR", str(tmp_path / "lab"))
    return tmp_path / "lines.jsonl"


@pytest.mark.usefixtures("quick")
def test_a_batch_whose_agent_fails_says_so_with_its_exit_code(lines: Path) -> None:
    well, ill = batch(Office(), lines), batch(Office(), lines.with_suffix(".2"), "--agent", "false")

    assert (well.exit_code, ill.exit_code) == (0, 1)


@pytest.mark.usefixtures("quick")
def test_a_file_that_is_there_is_not_written_over(lines: Path) -> None:
    lines.write_text("what a week of exams came to\n")
    office = Office()

    told = batch(office, lines)

    assert lines.read_text() == "what a week of exams came to\n"
    assert office.sat == []
    assert isinstance(told.exception, LabError)
    assert "is there already: go on with it (--resume), or name another file" in str(told.exception)


@pytest.mark.usefixtures("quick")
def test_what_is_done_when_somebody_stops_a_batch_is_told_and_can_be_gone_on_with(lines: Path) -> None:
    stopped = batch(Office(interrupted_in="r2"), lines)
    done = exams_in(lines)
    office = Office(named="s")
    gone_on = batch(office, lines, "--resume")

    assert stopped.exit_code == 130
    assert f"wrote {lines}" in stopped.output
    assert [row.split()[0] for row in stopped.stdout.splitlines()[1:-1]] == done
    assert (gone_on.exit_code, len(done), len(office.sat)) == (0, 1, 1)
    assert sorted(exams_in(lines)) == ["payment-dns", "quiet-night"]
    assert [row.split()[0] for row in gone_on.stdout.splitlines()[1:-1]] == ["payment-dns", "quiet-night"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("again", [{"state": "aborted", "points": None}, {"candidate": "somebody else"}])
def test_what_has_no_grade_or_is_anothers_is_sat_again(lines: Path, again: dict[str, Any]) -> None:
    batch(Office(), lines)
    first, second = lines.read_text().splitlines()
    lines.write_text(f"{first}\n{json.dumps(json.loads(second) | again)}\n")
    office = Office(named="s")

    batch(office, lines, "--resume")

    assert [one.scenario for one in office.sat] == [json.loads(second)["scenario"]]


@pytest.mark.parametrize(
    ("written", "why"), [("{}\n", "line 1 is no exam of a batch"), ("x", "line 1 is no exam of a batch")]
)
def test_a_file_that_is_no_batchs_is_not_gone_on_with(lines: Path, written: str, why: str) -> None:
    lines.write_text(written)

    told = batch(Office(), lines, "--resume")

    assert why in str(told.exception)
    assert lines.read_text() == written


def test_a_batch_that_is_gone_on_with_must_be_named(lines: Path) -> None:
    told = batch(Office(), None, "--resume")

    assert "--resume goes on with a file: name it with --output" in str(told.exception)
    assert not (lines.parent / "lab").exists()


@pytest.mark.usefixtures("quick")
def test_what_a_batch_leaves_is_its_owners_alone(lines: Path) -> None:
    folder = lines.parent / "lab" / "batches"
    folder.mkdir(parents=True)
    folder.chmod(0o755)

    batch(Office(), None)

    modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*")) if path.is_dir()}
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert modes == {0o700}
    assert len(files) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_an_agent_that_is_no_program_leaves_neither_a_run_nor_a_file(lines: Path) -> None:
    office = Office()

    told = batch(office, lines, "--agent", "nosuchagent")

    assert isinstance(told.exception, LabError)
    assert (office.sat, lines.exists()) == ([], False)
