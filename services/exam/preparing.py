"""The start of a run: the lab is this run's alone, everything in it at its baseline, nothing left to see."""

from collections.abc import Callable
from uuid import UUID

from sqlalchemy import text

from services.common.database import Database
from services.exam.incidents import Incidents
from services.exam.store import RunRow, Runs

_OPEN_PHASES = text("SELECT count(*) FROM exam.phases WHERE ended_at IS NULL")


class Preparation:
    """Prepares the lab for a run and begins it. Safe to repeat: nothing of the run is on yet.

    ``restore`` puts every service back, or says what it could not; ``check``
    gives the baseline's fingerprint, and a line for each thing that is not well.
    """

    def __init__(
        self,
        runs: Runs,
        database: Database,
        *,
        incidents: Incidents,
        restore: Callable[[], list[str]],
        check: Callable[[], tuple[object, list[str]]],
    ) -> None:
        self._runs = runs
        self._database = database
        self._incidents = incidents
        self._restore = restore
        self._check = check
        self._restored: UUID | None = None
        """The run for which everything was put back: once is enough, and each time disturbs the shop."""

    def __call__(self, row: RunRow) -> str | None:
        """Begin the run; or what it waits for."""
        if self._open_phases():
            return "the lab's schedule ends its phase first"
        if self._restored != row.id:
            if wrong := self._restore():
                return "; ".join(wrong)
            self._restored = row.id
        world, unwell = self._check()
        if unwell:
            return "; ".join(unwell)
        closed = self._incidents.close_all()
        self._runs.begin(row.id, world=world, detail={"closed_incidents": closed})
        return None

    def _open_phases(self) -> int:
        with self._database.transaction() as db:
            return int(db.execute(_OPEN_PHASES).scalar_one())
