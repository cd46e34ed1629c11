"""Three agents sit exams on a whole blind lab through `lab mcp`: only solving them pays."""

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from embedded.environment import EXAMINER_TOKEN_FILE, settings
from lab.batch import Exam, Result, Terms, sit
from lab.exam_client import ExamClient
from scenarios.model import load_all
from tests.lab import Lab, playing

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("agents")]

ALL = os.environ.get("AGENTS_SIT") == "all"
"""`make agents` lets the reference agent sit every scenario; otherwise one with a fault and one without."""
SCENARIOS = sorted(load_all()) if ALL else ["payment-dns", "quiet-night"]
PASSES_AT = 90.0
FAILS_BELOW = 20.0
SOAK_S = 15.0
QUIET_AFTER_S = 75.0


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A blind lab in which nothing breaks but what an exam breaks."""
    folder = tmp_path_factory.mktemp("agents")
    with playing("none", folder, soak_s=5, hold_s=5, LAB_BLIND="true") as lab:
        yield lab


def sat(lab: Lab, agent: str, scenario: str, *options: str, minutes: float) -> Result:
    """What the agent's exam came to."""
    directory = lab.output.parent / "lab"
    variables = {**{name: str(port) for name, port in lab.ports.items()}, "LAB_DIR": str(directory)}
    token = (directory / EXAMINER_TOKEN_FILE).read_text()
    command = [sys.executable, "-P", "-m", f"exam.agents.{agent}", *options]
    logs = Path(lab.output.parent / "agents")
    logs.mkdir(exist_ok=True)
    client = ExamClient(settings(variables), url=lab.url("exam"), token=token)
    with pytest.MonkeyPatch.context() as patch, closing(client) as examiner:
        for name, value in variables.items():
            patch.setenv(name, value)
        terms = Terms(command, agent, minutes, SOAK_S, is_open=False)
        return sit(examiner, Exam(scenario, 1), terms=terms, logs=logs)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_reference_agent_solves_it(lab: Lab, scenario: str) -> None:
    result = sat(lab, "reference", scenario, "--watch-s", str(QUIET_AFTER_S), minutes=10)

    said = (lab.output.parent / "agents" / f"{result.run}.log").read_text()
    assert (result.state, result.ended_by, result.agent_exit) == ("graded", "submitted", 0), said
    assert result.points is not None
    assert result.points >= PASSES_AT, (result, said)


@pytest.mark.parametrize(("agent", "minutes"), [("idle", 1.0), ("guesser", 5.0)])
def test_doing_nothing_and_claiming_everything_do_not_pay(lab: Lab, agent: str, minutes: float) -> None:
    result = sat(lab, agent, "payment-dns", minutes=minutes)

    assert (result.state, result.agent_exit) == ("graded", 0)
    assert result.points is not None
    assert result.points < FAILS_BELOW, result
