"""What keeps a run from going on is written down for the examiner."""

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import DataError, SQLAlchemyError

from services.exam.conductor import Conductor


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


def conductor(runs: OneRun, closing: Any) -> Conductor:
    return Conductor(
        runs,  # type: ignore[arg-type]
        {"quiet": SimpleNamespace()},  # type: ignore[dict-item]
        faults=SimpleNamespace(),  # type: ignore[arg-type]
        prepare=lambda _run, _scenario: None,
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
