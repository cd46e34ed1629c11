"""Red herrings: what looks like a cause and is none, shown on the run's clock."""

from collections.abc import Callable

from scenarios.access import AccessError
from scenarios.model import RedHerring, Scenario
from services.exam.store import RunRow, Runs


class Herrings:
    """Shows what is due of a scenario's red herrings, each once; when is the seed's to say."""

    def __init__(self, runs: Runs, *, show: Callable[[RedHerring], None]) -> None:
        self._runs = runs
        self._show = show

    def __call__(self, row: RunRow, scenario: Scenario) -> None:
        held_s = row.elapsed_s - row.soak_s
        for number, herring in enumerate(scenario.red_herrings):
            if not herring.steps or number in row.shown:
                continue
            if held_s < herring.shown_at_s(seed=row.seed, number=number):
                continue
            self._runs.shown(row.id, number, herring=herring.kind, failed=self._try(herring))

    def _try(self, herring: RedHerring) -> str | None:
        """Why it could not be shown. It is not tried again: a run must not wait for its decoration."""
        try:
            self._show(herring)
        except AccessError as error:
            return str(error)
        return None
