"""The conductor: looks at the run that has the lab, and does what it needs next.

Everything it knows is in Postgres and in the services, so it may be killed at any
moment: what comes after it looks again and goes on.
"""

from collections.abc import Callable, Mapping

import structlog
from sqlalchemy.exc import SQLAlchemyError

from scenarios.access import AccessError
from scenarios.admin import AdminError
from scenarios.model import Scenario
from services.common.errors import ServiceError
from services.exam.closing import PATIENCE_S
from services.exam.faults import Faults
from services.exam.store import RunRow, Runs

log = structlog.get_logger()


class Conductor:
    """One step at a time, each short, each safe to take twice.

    ``prepare`` makes the lab ready for a run and begins it, or says what it
    waits for; ``show`` shows what red herrings are due; ``close`` ends a run.
    """

    def __init__(
        self,
        runs: Runs,
        scenarios: Mapping[str, Scenario],
        *,
        faults: Faults,
        prepare: Callable[[RunRow], str | None],
        show: Callable[[RunRow, Scenario], None],
        close: Callable[[RunRow, Scenario], str | None],
    ) -> None:
        self._runs = runs
        self._scenarios = scenarios
        self._faults = faults
        self._prepare = prepare
        self._show = show
        self._close = close

    def step(self) -> None:
        """Do what is due. What does not work now is written down for the examiner and tried again."""
        row = self._runs.active()
        if row is None:
            return
        trouble = self._try(row)
        if trouble != row.trouble and not self._is_over(row):
            self._runs.keep(row.id, trouble=trouble)
            # Not what it is: that may name what is broken, and the candidate reads logs.
            log.info("run.waits" if trouble else "run.goes_on", run_id=str(row.id))

    def _try(self, row: RunRow) -> str | None:
        try:
            scenario = self._scenarios.get(row.scenario)
            return self._without_scenario(row) if scenario is None else self._advance(row, scenario)
        except (AccessError, AdminError, ServiceError) as error:
            return f"{type(error).__name__}: {error}"
        except SQLAlchemyError as error:
            # Away, it will not take this down either; whatever else it says the examiner must see.
            return f"database: {str(error).partition(chr(10))[0]}"[:2000]
        except Exception as error:
            # An error of our own: the examiner must see that the run stands still, and why.
            self._runs.keep(row.id, trouble=f"{type(error).__name__}: {error}"[:2000])
            raise

    def _advance(self, row: RunRow, scenario: Scenario) -> str | None:
        if row.state == "waiting":
            return self._prepare(row)
        if row.state == "grading":
            return self._close(row, scenario)
        if row.paused_at is None and row.left_s <= 0:
            self._runs.time_up(row.id)
            return None
        if row.paused_at is None:
            self._show(row, scenario)
        if row.state == "soaking" and row.elapsed_s >= row.soak_s:
            self._runs.soaked(row.id)
        self._faults.keep_applied(row, scenario)
        return None

    def _without_scenario(self, row: RunRow) -> str | None:
        """A run whose scenario was renamed or removed can be aborted: what broke, the services know."""
        if row.ended_at is None or row.ended_by != "aborted":
            return f"the scenario {row.scenario} is gone: abort the run, or start the exam with its file back"
        left = self._faults.restore()
        if left and (row.now - row.ended_at).total_seconds() < PATIENCE_S:
            return "; ".join(left)
        self._runs.reverted(row.id, detail={"left": left})
        self._runs.finish(row.id)
        return None

    def _is_over(self, row: RunRow) -> bool:
        return self._runs.run(row.id).state in ("graded", "aborted")
