"""The end of a run, step by step."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

from scenarios.model import load_all
from services.exam.closing import PATIENCE_S, Closing
from services.exam.grading import Rubric
from services.exam.grading.rubric import load
from services.exam.store import RunRow, Runs
from tests.journals import perfect

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
RUN = uuid4()
SCENARIOS = load_all()


class Noted:
    """Runs of which only what is put back is noted."""

    def __init__(self) -> None:
        self.reverted_with: list[list[str]] = []
        self.is_finished = False

    def reverted(self, _run_id: object, *, detail: dict[str, list[str]]) -> None:
        self.reverted_with.append(detail["left"])

    def finish(self, *_: object) -> None:
        """The lab is free."""
        self.is_finished = True

    def run(self, _run_id: object) -> RunRow:
        return aborted(NOW)


def aborted(now: datetime) -> RunRow:
    """A run that ended ten minutes before ``NOW``, while the exam was away."""
    facts: dict[str, Any] = {"ended_by": "aborted", "final": None, "reverted_at": None, "started_at": None}
    return cast(RunRow, SimpleNamespace(id=RUN, now=now, ended_at=NOW - timedelta(minutes=10), **facts))


def test_putting_back_has_its_time_also_when_the_exam_was_away_at_the_end(
    tmp_path: Path,
) -> None:
    noted = Noted()
    close = Closing(
        cast(Runs, noted),
        SCENARIOS,
        rubric=cast(Rubric, None),
        compiler=cast(Any, None),
        judge=cast(Any, None),
        restore=lambda _row: ["payment does not answer"],
        directory=tmp_path,
    )
    scenario = SCENARIOS["payment-dns"]

    first = close(aborted(NOW), scenario)
    second = close(aborted(NOW + timedelta(seconds=PATIENCE_S + 1)), scenario)

    assert (first, second) == ("payment does not answer", None)
    assert noted.reverted_with == [["payment does not answer"]]


def test_an_aborted_run_gives_the_lab_back_though_its_journal_cannot_be_made(tmp_path: Path) -> None:
    class Broken:
        def journal(self, _row: RunRow) -> object:
            raise TypeError("dates that do not compare")

    noted = Noted()
    close = Closing(
        cast(Runs, noted),
        SCENARIOS,
        rubric=cast(Rubric, None),
        compiler=cast(Any, Broken()),
        judge=cast(Any, None),
        restore=lambda _row: [],
        directory=tmp_path,
    )
    row = aborted(NOW)
    cast(Any, row).started_at = NOW

    assert close(row, SCENARIOS["payment-dns"]) is None
    assert noted.is_finished


def test_nobody_else_on_the_machine_can_open_the_folder_of_reports(tmp_path: Path) -> None:
    scenario = SCENARIOS["payment-dns"]

    class Graded:
        def journal(self, _run_id: object) -> dict[str, Any]:
            return perfect(scenario).model_dump(mode="json")

        def keep(self, *_: object, **__: object) -> None:
            """The score is on record."""

    close = Closing(
        cast(Runs, Graded()),
        SCENARIOS,
        rubric=load(),
        compiler=cast(Any, None),
        judge=cast(Any, None),
        restore=lambda _row: [],
        directory=tmp_path,
    )

    close.grade(cast(RunRow, SimpleNamespace(id=RUN, scenario=scenario.name)))

    [folder] = tmp_path.iterdir()
    assert sorted(one.name for one in folder.iterdir()) == [f"{RUN}.html", f"{RUN}.json"]
    assert folder.stat().st_mode & 0o777 == 0o700
