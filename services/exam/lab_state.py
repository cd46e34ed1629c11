"""The lab before a run and after it: as it should be at the start, judged at the end, put back."""

from collections.abc import Sequence

from pydantic import JsonValue

from scenarios import baseline, oracle
from scenarios.access import AccessError, LabAccess
from scenarios.baseline import Baseline
from scenarios.model import Scenario
from services.exam.faults import Faults
from services.exam.journal import Verdict
from services.exam.prometheus import Prometheus
from services.exam.store import RunRow


class LabState:
    """Looks at the lab that runs now. ``check`` raises ``AccessError`` when a part of it does not answer.

    ``routes`` are those that are asked before any run: the requests are in the traces.
    """

    def __init__(
        self, lab: LabAccess, *, faults: Faults, prometheus: Prometheus, rounds: int, routes: Sequence[str]
    ) -> None:
        self._lab = lab
        self._faults = faults
        self._prometheus = prometheus
        self._rounds = rounds
        self._routes = routes

    def check(self) -> tuple[JsonValue, list[str]]:
        """The baseline, and a line for each thing that keeps the lab from being a healthy start."""
        alerts = [f"alert {one} is active" for one in self._prometheus.active_alerts()]
        if alerts:
            return None, alerts
        found = baseline.take(self._lab, routes=self._routes)
        return found.model_dump(mode="json"), baseline.unwell(found)

    def judge(self, row: RunRow, scenario: Scenario) -> Verdict:
        """Whether the shop is well now, by the measure of what it was before the run."""
        before = Baseline.model_validate(row.world)
        found = oracle.judge(scenario, self._lab, baseline=before, rounds=self._rounds)
        return Verdict.model_validate(found.model_dump())

    def restore(self, row: RunRow) -> list[str]:
        """Put everything back; a line for each thing that is not as it was before the run."""
        wrong = self._faults.restore()
        if wrong or row.world is None:
            return wrong
        try:
            return baseline.differences(Baseline.model_validate(row.world), baseline.take(self._lab))
        except AccessError as error:
            # Somebody may hold a lock on what is compared, and then nobody waits for ever.
            return [str(error)]
