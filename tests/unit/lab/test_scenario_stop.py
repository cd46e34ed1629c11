"""What ``lab scenario stop`` does while an exam is on: nothing."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from typer.testing import CliRunner

import lab.scenario
from embedded.errors import LabError
from scenarios.access import AccessError
from scenarios.stage import Stage


@dataclass
class Answers:
    """A session of a lab whose runs of the exam, or whose open phases, are these."""

    rows: dict[str, list[tuple[int]]]
    asked: list[str] = field(default_factory=list)

    def cursor(self) -> Any:
        return closing(self)

    def execute(self, query: str) -> None:
        self.asked.append(query)

    def fetchone(self) -> tuple[int] | None:
        return next((row for name, rows in self.rows.items() if name in self.asked[-1] for row in rows), None)

    def close(self) -> None:
        """There is nothing to close."""


class Lab:
    """A lab of which only the database is there."""

    reader_url = None

    def __init__(self, **rows: list[tuple[int]]) -> None:
        self._session = Answers({f"exam.{name}": found for name, found in rows.items()})

    @contextmanager
    def reading(self) -> Iterator[Any]:
        yield self._session


def _stage(**rows: list[tuple[int]]) -> Stage:
    return Stage(Lab(**rows))  # type: ignore[arg-type]


def test_a_running_exam_is_not_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.scenario, "_stage", lambda: _stage(runs=[(1,)]))

    told = CliRunner().invoke(lab.scenario.app, ["stop"])

    assert isinstance(told.exception, LabError)
    assert "an exam is on. It ends by itself, or by `lab exam abort`" in str(told.exception)


def test_who_is_in_the_way_of_a_scenario_is_named() -> None:
    with pytest.raises(AccessError, match="an exam is on"):
        _stage(runs=[(1,)], phases=[(1,)]).require_free()
    with pytest.raises(AccessError, match="the schedule plays"):
        _stage(phases=[(1,)]).require_free()


def test_a_free_lab_is_nobodys() -> None:
    free = _stage(runs=[], phases=[])

    free.require_free()
    free.require_no_exam()
