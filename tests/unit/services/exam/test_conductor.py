"""What keeps a run from going on is written down for the examiner."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import DataError, SQLAlchemyError

from services.exam.closing import PATIENCE_S
from services.exam.conductor import Conductor

ENDED_AT = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)


class OneRun:
    """The store of runs with one run in it, which is being graded."""

    def __init__(self) -> None:
        self.row = SimpleNamespace(
            id=uuid4(), scenario="quiet", state="grading", trouble=None, paused_at=None
        )

    def active(self) -> Any:
        return self.row

    def run(self, _id: object) -> Any:
        return self.row

    def keep(self, _id: object, *, trouble: str | None) -> None:
        self.row.trouble = trouble

    def reverted(self, _id: object, *, detail: dict[str, list[str]]) -> None:
        self.row.left = detail["left"]

    def finish(self, _id: object) -> None:
        self.row.state, self.row.trouble = "aborted", None


def conductor(runs: OneRun, closing: Any, *, left: list[str] | None = None) -> Conductor:
    return Conductor(
        runs,  # type: ignore[arg-type]
        {"quiet": SimpleNamespace()},  # type: ignore[dict-item]
        faults=SimpleNamespace(restore=lambda: left or []),  # type: ignore[arg-type]
        prepare=lambda _run: None,
        show=lambda _run, _scenario: None,
        close=closing,
    )


@pytest.mark.parametrize("refused", [DataError, SQLAlchemyError])
def test_what_the_database_refuses_is_the_runs_trouble_until_it_goes_on(refused: type[Exception]) -> None:
    runs, troubles = OneRun(), ["file length too large", None]

    def closing(_run: object, _scenario: object) -> None:
        said = troubles.pop(0)
        if said and refused is DataError:
            raise DataError("SELECT", {}, Exception(said))
        if said:
            raise refused(said)

    steps = conductor(runs, closing)
    steps.step()
    assert "file length too large" in runs.row.trouble
    steps.step()
    assert runs.row.trouble is None


def gone(*, ended_by: str | None, ago_s: float = 0) -> OneRun:
    """A run whose scenario there is no more; it has ended so long ago, or not."""
    runs = OneRun()
    runs.row.scenario, runs.row.ended_by = "renamed", ended_by
    runs.row.ended_at = ENDED_AT if ended_by else None
    runs.row.now = ENDED_AT + timedelta(seconds=ago_s)
    return runs


@pytest.mark.parametrize("ended_by", [None, "submitted", "time_up"])
def test_a_run_whose_scenario_is_gone_says_which_and_that_it_can_be_aborted(ended_by: str | None) -> None:
    runs = gone(ended_by=ended_by)

    conductor(runs, None).step()

    assert "the scenario renamed is gone: abort the run" in runs.row.trouble
    assert runs.row.state == "grading"


def test_an_aborted_run_whose_scenario_is_gone_ends_once_the_shop_is_put_back() -> None:
    runs = gone(ended_by="aborted")

    conductor(runs, None).step()

    assert (runs.row.state, runs.row.left, runs.row.trouble) == ("aborted", [], None)


def test_such_a_run_waits_a_minute_for_what_cannot_be_put_back_and_no_longer() -> None:
    runs = gone(ended_by="aborted", ago_s=PATIENCE_S - 1)
    steps = conductor(runs, None, left=["dns: away"])

    steps.step()
    assert (runs.row.state, runs.row.trouble) == ("grading", "dns: away")
    runs.row.now += timedelta(seconds=2)
    steps.step()
    assert (runs.row.state, runs.row.left, runs.row.trouble) == ("aborted", ["dns: away"], None)
