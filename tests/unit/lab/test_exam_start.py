"""What ``lab exam start`` leaves behind, whatever becomes of the run."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import lab.exam_client
from embedded.errors import LabError
from lab.exam import app


class Examiner:
    """An exam whose run is in this state as soon as it is looked at."""

    url = "http://exam.invalid"

    def __init__(self, *, state: str, ended_by: str | None = None) -> None:
        self._run = {"id": "r1", "scenario": "payment-dns", "seed": 1, "state": state, "ended_by": ended_by}
        self.kept: list[str] = []

    def post(self, _path: str, _body: Any = None) -> Any:
        return {**self._run, "token": "cand-1"}

    def get(self, _path: str) -> Any:
        return self._run

    def keep_for_candidate(self, _run_id: str, token: str) -> Path:
        self.kept.append(token)
        return Path("candidate.json")


def start(exam: Examiner, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(lab.exam_client, "examiner", lambda: exam)
    return CliRunner().invoke(app, ["start", "random", "--candidate", "ana"])


def test_what_random_drew_is_not_told_to_who_starts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told = start(Examiner(state="soaking"), monkeypatch)

    assert told.exit_code == 0
    assert "(scenario random, seed sealed until the report)" in told.output
    assert "payment-dns" not in told.output


def test_a_run_that_is_aborted_before_its_clock_began_is_no_started_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exam = Examiner(state="aborted", ended_by="aborted")

    told = start(exam, monkeypatch)

    assert isinstance(told.exception, LabError)
    assert "minutes from now" not in told.output
    assert exam.kept == ["cand-1"]
