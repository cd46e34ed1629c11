"""``lab batch``: many exams one after the other, each sat by the same agent."""

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal

from rich.console import Console

from embedded import ROOT
from embedded.errors import LabError
from lab.exam_client import (
    OVER,
    ExamAway,
    ExamClient,
    aborted_if_left,
    holder_of_the_lab,
    looks,
    post_patiently,
)
from lab.scenario import known_scenarios

POLL_S = 1.0
FREE_POLL_S = 5.0
FREE_WITHIN_S = 600.0
"""For so long an exam waits for another run to give the lab back."""
GONE_S = 45.0
"""So long after its agent a run ends: what it mended counts once it has held for 30 s, and 15 s show that."""
END_WITHIN_S = 10.0
"""For so long an agent may say its last words, and again after it was told to end."""
FAILED = "failed"
"""The state of an exam that could not be held."""
ALL = "all"
STDIN = "-"
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
    """What came of one exam. ``agent_exit`` is None where the agent was still at it when the run ended.

    ``handed_in_for_it`` is what was handed in for an agent that ended without doing so itself.
    """

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
    handed_in_for_it: Literal["draft", "nothing"] | None = None

    @property
    def has_agent_failed(self) -> bool:
        """Whether its agent ended with an error, or left the exam with not so much as a draft."""
        return self.agent_exit not in (0, None) or self.handed_in_for_it == "nothing"


def exams(*, scenarios: str, seeds: str) -> list[Exam]:
    """Each scenario with each seed: ``all``, names with commas or ``-`` for names on standard input;
    ``1..5`` or numbers with commas.

    They come in an order that the arguments draw, the same from the same: in an alphabetical one an agent
    would know what the next exam is. ``LabError`` for a scenario that there is not and for what is no seed.
    """
    known = sorted(known_scenarios())
    said = sys.stdin.read().strip().replace("\n", ",") if scenarios == STDIN else scenarios
    names = known if said == ALL else [name.strip() for name in said.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise LabError(f"no scenario {', '.join(unknown)}; there are: {ALL}, {', '.join(known)}")
    found = [Exam(name, seed) for name in names for seed in _seeds(seeds)]
    random.Random(repr(found)).shuffle(found)
    return found


def _seeds(text: str) -> list[int]:
    first, dots, last = text.partition("..")
    try:
        found = [*range(int(first), int(last) + 1)] if dots else [int(one) for one in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 0:
        raise LabError(f"{text!r} are no seeds: write 1..5, or 1,7,42")
    return found


def private_folder(folder: Path) -> Path:
    """A folder of its owner's alone: what is in it names scenarios and seeds."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def private_file(file: Path) -> IO[str]:
    """A new file of its owner's alone."""
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")


def run_batch(
    examiner: ExamClient, wanted: Sequence[Exam], *, terms: Terms, output: IO[str], logs: Path
) -> Iterator[Result]:
    """Run them all, a JSON line in ``output`` for each as it ends; the agents' output goes into ``logs``.

    One that fails (the exam is away for long, the lab is another's) is a result, too, and the others go on.
    """
    told = console(stderr=True)
    private_folder(logs)
    for number, exam in enumerate(wanted, start=1):
        told.print(f"[{number}/{len(wanted)}] {exam.scenario}, seed {exam.seed} ...", markup=False)
        try:
            result = sit(examiner, exam, terms=terms, logs=logs)
        except LabError as error:
            told.print(f"    {error}", style="red", markup=False)
            result = Result(
                exam.scenario, exam.seed, "", terms.candidate, FAILED, None, None, {}, {}, None, 0.0
            )
        print(json.dumps(asdict(result)), file=output, flush=True)
        points = "no points" if result.points is None else f"{result.points:g} points"
        failed = f"; the agent failed (exit code {result.agent_exit})" if result.has_agent_failed else ""
        _say(f"{result.state} ({result.ended_by}): {points} in {result.took_s:.0f} s{failed}")
        yield result


def sit(examiner: ExamClient, exam: Exam, *, terms: Terms, logs: Path) -> Result:
    """One exam from its creation to its grade. What ends it early (Ctrl-C, an error) aborts the run."""
    wanted = {"candidate": terms.candidate, "minutes": terms.minutes, "open": terms.is_open}
    soak = {} if terms.soak_s is None else {"soak_s": terms.soak_s}
    run = examiner.post("/runs", {**asdict(exam), **wanted, **soak})
    with aborted_if_left(examiner, run["id"]):
        _start(examiner, run["id"])
        began_s = time.monotonic()
        _wait(examiner, run["id"], until=("soaking", "running", *OVER))
        log = logs / f"{run['id']}.log"
        agent = _start_agent(terms, run, url=examiner.url, log=log)
        absence = _Absence(examiner, agent, token=run["token"], log=log)
        try:
            _wait(examiner, run["id"], until=("grading", *OVER), meanwhile=absence.look)
        finally:
            # Before the lab is put back: what the agent holds locked in the database would be in the way.
            agent_exit = _end(agent)
        ended = _wait(examiner, run["id"], until=OVER)
    return _result(
        examiner,
        exam,
        ended,
        agent_exit=agent_exit,
        took_s=time.monotonic() - began_s,
        handed_in_for_it=absence.handed_in,
    )


def _start(examiner: ExamClient, run_id: str) -> None:
    """Give the lab to the run, as soon as no other has it."""
    ends_at_s = time.monotonic() + FREE_WITHIN_S
    said = None
    while True:
        try:
            examiner.post(f"/runs/{run_id}/start")
            return
        except ExamAway:
            raise
        except LabError:
            holder = holder_of_the_lab(examiner)
            if holder is None:
                # Either that one has ended just now, or something else is wrong, which this will say.
                examiner.post(f"/runs/{run_id}/start")
                return
            if time.monotonic() > ends_at_s:
                raise
        if holder["id"] != said:
            said = holder["id"]
            _say(f"waiting: the run {said} of {holder['candidate']} has the lab")
        time.sleep(FREE_POLL_S)


def _start_agent(terms: Terms, run: Mapping[str, Any], *, url: str, log: Path) -> "subprocess.Popen[bytes]":
    """The agent as a candidate on another machine would be: with the run's token and no other."""
    own = {"FIREDRILL_RUN": run["id"], "FIREDRILL_TOKEN": run["token"], "EXAM_URL": url}
    with private_file(log) as said:
        try:
            return subprocess.Popen(
                terms.agent,
                cwd=ROOT,
                env={**_without_secrets(os.environ), **own},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        except OSError as error:
            raise LabError(f"the agent {terms.agent[0]} cannot be started: {error.strerror}") from error


def _without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    def is_secret(name: str) -> bool:
        is_password = name.endswith("_PASSWORD") and name != "CANDIDATE_DB_PASSWORD"
        return is_password or name in NOT_FOR_AGENTS

    return {name: value for name, value in environ.items() if not is_secret(name)}


class _Absence:
    """Ends the exam of an agent that has gone, as it stands: nobody would come back to it until time is up.

    What counts then is what would count at the end of the time: the last draft, or nothing.
    """

    def __init__(
        self, examiner: ExamClient, agent: "subprocess.Popen[bytes]", *, token: str, log: Path
    ) -> None:
        self._examiner = examiner
        self._agent = agent
        self._token = token
        self._log = log
        self._since_s: float | None = None
        self._is_said = False
        self._refused = ""
        self.handed_in: Literal["draft", "nothing"] | None = None

    def look(self) -> None:
        """To be called after each look at the run that found it under way."""
        if self._agent.poll() is None or self.handed_in:
            return
        if self._since_s is None:
            # What it did last may have ended the run since it was looked at: the next look will tell.
            self._since_s = time.monotonic()
            return
        if not self._is_said:
            self._is_said = True
            code = self._agent.returncode
            _say(f"the agent has ended (exit code {code}) without handing in; it said: {self._log}")
            _say(f"what it left is graded in {GONE_S:g} s")
        if time.monotonic() - self._since_s < GONE_S:
            return
        try:
            self.handed_in = self._hand_in()
        except LabError as error:
            # It may be paused, or the exam away: it is tried again until the run ends by itself.
            if str(error) != self._refused:
                self._refused = str(error)
                _say(f"what it left is not handed in yet: {error}")

    def _hand_in(self) -> Literal["draft", "nothing"]:
        with closing(self._examiner.of_candidate(self._token)) as desk:
            drafts = desk.get("/my/submissions")["items"]
            diagnosis = drafts[-1]["diagnosis"] if drafts else {}
            desk.post("/my/submissions", {"diagnosis": diagnosis, "draft": False})
        return "draft" if drafts else "nothing"


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


def _wait(
    examiner: ExamClient,
    run_id: str,
    *,
    until: Iterable[str],
    meanwhile: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    seen = looks(examiner, run_id, every_s=POLL_S, tell=_say)
    while (run := next(seen))["state"] not in until:
        meanwhile()
    return run


def _result(
    examiner: ExamClient,
    exam: Exam,
    run: Mapping[str, Any],
    *,
    agent_exit: int | None,
    took_s: float,
    handed_in_for_it: Literal["draft", "nothing"] | None,
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
        handed_in_for_it=handed_in_for_it,
    )


def agent_command(text: str) -> list[str]:
    """A command line as a shell would split it.

    ``LabError`` if it cannot, if there is nothing in it, and if its program is none.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise LabError(f"--agent {text!r} is no command: {error}") from error
    if not words:
        raise LabError("--agent needs a command, for instance: .venv/bin/python -m exam.agents.reference")
    # As it will be looked for: agents are started in the project's folder.
    program = str(ROOT / words[0]) if "/" in words[0] else words[0]
    if shutil.which(program) is None:
        raise LabError(f"--agent: there is no program {program}")
    return words


def _say(text: str) -> None:
    """Tell whoever watches the batch what becomes of the exam that is on."""
    console(stderr=True).print(f"    {text}", markup=False)


def console(*, stderr: bool) -> Console:
    """Where a batch is told of; as wide as its table where nobody says how wide it is."""
    found = Console(stderr=stderr, highlight=False)
    if not found.is_terminal:
        found.width = _WIDTH_OF_A_PIPE
    return found
