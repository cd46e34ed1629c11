"""``lab batch``: many exams one after the other, each sat by the same agent, and a table of them."""

import json
import os
import shlex
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import IO, Any

from rich.console import Console
from rich.table import Table

from embedded import ROOT
from embedded.errors import LabError
from lab.exam_client import OVER, ExamClient, abort_unless_over, get_patiently, post_patiently
from lab.scenario import known_scenarios

POLL_S = 1.0
END_WITHIN_S = 10.0
"""For so long an agent may say its last words, and again after it was told to end."""
FAILED = "failed"
"""The state of an exam that could not be held."""
ALL = "all"
NOT_FOR_AGENTS = frozenset({"EXAMINER_TOKEN", "LAB_ADMIN_TOKEN", "DATABASE_URL", "EXAM_DATABASE_URL"})
"""What would open another door than the candidate's; passwords of others are left out as well."""
_WIDTH_OF_A_PIPE = 120


@dataclass(frozen=True)
class Exam:
    """One exam of a batch."""

    scenario: str
    seed: int


@dataclass(frozen=True)
class Terms:
    """What is the same for all exams of a batch. Times in minutes and seconds as named."""

    agent: Sequence[str]
    candidate: str
    minutes: float
    soak_s: float | None
    is_open: bool


@dataclass(frozen=True)
class Result:
    """What came of one exam. ``agent_exit`` is None where the agent was still at it when the run ended."""

    scenario: str
    seed: int
    run: str
    candidate: str
    state: str
    ended_by: str | None
    points: float | None
    criteria: Mapping[str, float]
    times: Mapping[str, float | None]
    agent_exit: int | None
    took_s: float


def exams(*, scenarios: str, seeds: str) -> list[Exam]:
    """Each scenario with each seed: ``all`` or names with commas, ``1..5`` or numbers with commas.

    ``LabError`` for a scenario that there is not and for what is no seed.
    """
    known = sorted(known_scenarios())
    names = known if scenarios == ALL else [name.strip() for name in scenarios.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise LabError(f"no scenario {', '.join(unknown)}; there are: {ALL}, {', '.join(known)}")
    return [Exam(name, seed) for name in names for seed in _seeds(seeds)]


def _seeds(text: str) -> list[int]:
    first, dots, last = text.partition("..")
    try:
        found = [*range(int(first), int(last) + 1)] if dots else [int(one) for one in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 0:
        raise LabError(f"{text!r} are no seeds: write 1..5, or 1,7,42")
    return found


def run_batch(
    examiner: ExamClient, wanted: Sequence[Exam], *, terms: Terms, output: IO[str], logs: Path
) -> list[Result]:
    """Run them all, a JSON line in ``output`` for each as it ends; the agents' output goes into ``logs``.

    One that fails (the exam is away for long, the lab is another's) is a result, too, and the others go on.
    """
    console = _console(stderr=True)
    logs.mkdir(parents=True, exist_ok=True)
    results = []
    for number, exam in enumerate(wanted, start=1):
        console.print(f"[{number}/{len(wanted)}] {exam.scenario}, seed {exam.seed} ...", markup=False)
        try:
            result = sit(examiner, exam, terms=terms, logs=logs)
        except LabError as error:
            console.print(f"    {error}", style="red", markup=False)
            result = Result(
                exam.scenario, exam.seed, "", terms.candidate, FAILED, None, None, {}, {}, None, 0.0
            )
        print(json.dumps(asdict(result)), file=output, flush=True)
        points = "no points" if result.points is None else f"{result.points:g} points"
        console.print(
            f"    {result.state} ({result.ended_by}): {points} in {result.took_s:.0f} s", markup=False
        )
        results.append(result)
    return results


def sit(examiner: ExamClient, exam: Exam, *, terms: Terms, logs: Path) -> Result:
    """One exam from its creation to its grade. What ends it early (Ctrl-C, an error) aborts the run."""
    began_s = time.monotonic()
    wanted = {"candidate": terms.candidate, "minutes": terms.minutes, "open": terms.is_open}
    soak = {} if terms.soak_s is None else {"soak_s": terms.soak_s}
    run = examiner.post("/runs", {**asdict(exam), **wanted, **soak})
    try:
        examiner.post(f"/runs/{run['id']}/start")
        _wait(examiner, run["id"], until=("soaking", "running", *OVER))
        agent = _start_agent(terms, run, url=examiner.url, log=logs / f"{run['id']}.log")
        try:
            _wait(examiner, run["id"], until=("grading", *OVER))
        finally:
            # Before the lab is put back: what the agent holds locked in the database would be in the way.
            agent_exit = _end(agent)
        ended = _wait(examiner, run["id"], until=OVER)
    except BaseException:
        abort_unless_over(examiner, run["id"])
        raise
    return _result(examiner, exam, ended, agent_exit=agent_exit, took_s=time.monotonic() - began_s)


def _start_agent(terms: Terms, run: Mapping[str, Any], *, url: str, log: Path) -> "subprocess.Popen[bytes]":
    """The agent as a candidate on another machine would be: with the run's token and no other."""
    own = {"FIREDRILL_RUN": run["id"], "FIREDRILL_TOKEN": run["token"], "EXAM_URL": url}
    with log.open("wb") as said:
        return subprocess.Popen(
            terms.agent,
            cwd=ROOT,
            env={**_without_secrets(os.environ), **own},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def _without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    def is_secret(name: str) -> bool:
        is_password = name.endswith("_PASSWORD") and name != "CANDIDATE_DB_PASSWORD"
        return is_password or name in NOT_FOR_AGENTS

    return {name: value for name, value in environ.items() if not is_secret(name)}


def _end(agent: "subprocess.Popen[bytes]") -> int | None:
    """The agent's exit code. One that goes on after its run is ended, with all that it has started."""
    code = None
    try:
        code = agent.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired:
        os.killpg(agent.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            agent.wait(END_WITHIN_S)
    # Also where the agent has exited: while one of its group goes on, the group's number is nobody else's.
    with suppress(ProcessLookupError):
        os.killpg(agent.pid, signal.SIGKILL)
    try:
        agent.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired as error:
        raise LabError(f"the agent (pid {agent.pid}) cannot be ended") from error
    return code


def _wait(examiner: ExamClient, run_id: str, *, until: Iterable[str]) -> dict[str, Any]:
    said = None
    while (run := get_patiently(examiner, f"/runs/{run_id}"))["state"] not in until:
        if (trouble := run.get("trouble")) and trouble != said:
            said = trouble
            _console(stderr=True).print(f"    waiting: {trouble}", markup=False)
        time.sleep(POLL_S)
    return dict(run)


def _result(
    examiner: ExamClient, exam: Exam, run: Mapping[str, Any], *, agent_exit: int | None, took_s: float
) -> Result:
    score = post_patiently(examiner, f"/runs/{run['id']}/grade") if run["state"] == "graded" else {}
    return Result(
        scenario=exam.scenario,
        seed=exam.seed,
        run=run["id"],
        candidate=run["candidate"],
        state=run["state"],
        ended_by=run["ended_by"],
        points=run["points"],
        criteria={one["name"]: one["points"] for one in score.get("criteria", ())},
        times=score.get("times", {}),
        agent_exit=agent_exit,
        took_s=round(took_s, 1),
    )


def show_summary(results: Sequence[Result]) -> None:
    """Print a line for each scenario: points, and how long it took to the page and to the mitigation."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("scenario")
    for column in ("runs", "points", "least", "most", "detect s", "mitigate s", "took s"):
        table.add_column(column, justify="right")
    for row in _summary(results):
        table.add_row(*row)
    _console(stderr=False).print(table)


def _summary(results: Sequence[Result]) -> Iterator[tuple[str, ...]]:
    by_scenario: defaultdict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_scenario[result.scenario].append(result)
    for scenario, found in by_scenario.items():
        points = [one.points for one in found if one.points is not None]
        yield (
            scenario,
            str(len(found)),
            _mean(points),
            f"{min(points):g}" if points else "-",
            f"{max(points):g}" if points else "-",
            _mean([one.times.get("detect_s") for one in found]),
            _mean([one.times.get("mitigate_s") for one in found]),
            _mean([one.took_s for one in found]),
        )


def _mean(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{fmean(known):.1f}" if known else "-"


def agent_command(text: str) -> list[str]:
    """A command line as a shell would split it; ``LabError`` if it cannot, or if there is nothing in it."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise LabError(f"--agent {text!r} is no command: {error}") from error
    if not words:
        raise LabError("--agent needs a command, for instance: .venv/bin/python -m exam.agents.reference")
    return words


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_OF_A_PIPE
    return console
