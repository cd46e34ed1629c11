"""The end of a run: the last look, putting back what was broken, the journal, the grade, the report.

Each part is written down before the next begins, so that a restart goes on
where the last one ended.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from uuid import UUID

import sentry_sdk
import structlog
from pydantic import JsonValue

from scenarios.model import Scenario
from services.exam import report
from services.exam.compiling import Compiler
from services.exam.grading.grade import grade
from services.exam.grading.rubric import Rubric
from services.exam.grading.score import Score
from services.exam.journal import Journal, Verdict
from services.exam.store import RunRow, Runs

log = structlog.get_logger()

REPORTS = "reports"
PATIENCE_S = 60.0
"""So long is it tried to put back all of it; what is left then is said in the journal."""


class Closing:
    """Ends runs. ``judge`` gives the verdict on the shop; ``restore`` puts it back, and says what is left."""

    def __init__(
        self,
        runs: Runs,
        scenarios: Mapping[str, Scenario],
        *,
        rubric: Rubric,
        compiler: Compiler,
        judge: Callable[[RunRow, Scenario], Verdict],
        restore: Callable[[RunRow], list[str]],
        directory: Path,
    ) -> None:
        self._runs = runs
        self._scenarios = scenarios
        self._rubric = rubric
        self._compiler = compiler
        self._judge = judge
        self._restore = restore
        self._directory = directory / REPORTS
        self._first_try: tuple[UUID, datetime] | None = None
        """The run that is being put back, and since when."""

    def __call__(self, row: RunRow, scenario: Scenario) -> str | None:
        """Do what is left to do; why it does not go on."""
        is_aborted = row.ended_by == "aborted"
        if row.final is None and not is_aborted:
            self._runs.keep(row.id, final=self._judge(row, scenario).model_dump(mode="json"))
        if row.reverted_at is None:
            left = self._restore(row)
            if left and self._tried_for_s(row) < PATIENCE_S:
                return "; ".join(left)
            self._runs.reverted(row.id, detail={"left": left})
            # That takes a while, in which the examiner may have thought better of it.
            is_aborted = self._runs.run(row.id).ended_by == "aborted"
        if row.started_at is not None:
            self._keep_journal(row, is_needed=not is_aborted)
        if not is_aborted:
            self.grade(row)
        self._runs.finish(row.id)
        return None

    def _keep_journal(self, row: RunRow, *, is_needed: bool) -> None:
        try:
            journal = self._compiler.journal(self._runs.run(row.id))
        except Exception as error:
            if is_needed:
                raise
            # Whoever aborts a run wants the lab back, whatever stands in the way of its journal.
            sentry_sdk.capture_exception(error)
            log.error("run.without_journal", run_id=str(row.id), error_type=type(error).__name__)
            return
        self._runs.keep(row.id, journal=journal.model_dump(mode="json"))

    def grade(self, row: RunRow) -> dict[str, JsonValue]:
        """Grade the journal that is on record, and write the report anew; the score as JSON."""
        scenario, journal, score = self._graded(row)
        found = score.model_dump(mode="json")
        self._runs.keep(row.id, score=found)
        self._write(row, scenario, journal, score)
        return found

    def report_html(self, row: RunRow) -> str:
        """The report for people."""
        scenario, journal, score = self._graded(row)
        return report.as_html(scenario, self._rubric, journal, score)

    def report_json(self, row: RunRow) -> dict[str, JsonValue]:
        """The report for programs."""
        scenario, journal, score = self._graded(row)
        return report.as_json(scenario, self._rubric, journal, score)

    def _graded(self, row: RunRow) -> tuple[Scenario, Journal, Score]:
        scenario = self._scenarios[row.scenario]
        journal = Journal.model_validate(self._runs.journal(row.id))
        return scenario, journal, grade(scenario, self._rubric, journal)

    def _tried_for_s(self, row: RunRow) -> float:
        """Since the first time, of this process: the run may have ended while the exam was away."""
        if self._first_try is None or self._first_try[0] != row.id:
            self._first_try = (row.id, row.now)
        return (row.now - self._first_try[1]).total_seconds()

    def _write(self, row: RunRow, scenario: Scenario, journal: Journal, score: Score) -> None:
        # The candidate may be somebody else on this machine, and the truth is in it.
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        html = report.as_html(scenario, self._rubric, journal, score)
        (self._directory / f"{row.id}.html").write_text(html, encoding="utf-8")
        found = report.as_json(scenario, self._rubric, journal, score)
        (self._directory / f"{row.id}.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
