"""A run's faults: applied when they are due, kept applied through restarts, put back at the end.

What is done here is done again after a restart of the exam, so every step may be
repeated: a mode that is on is not entered anew.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from uuid import UUID

from scenarios.admin import AdminError, ServiceAdmin
from scenarios.model import NO_FAULT, Scenario
from services.exam.store import RunRow, Runs


class Faults:
    """The faults of scenarios on the services of the lab; ``admins`` has their admin routes by name."""

    def __init__(
        self, runs: Runs, admins: Mapping[str, ServiceAdmin], *, now: Callable[[], datetime]
    ) -> None:
        self._runs = runs
        self._admins = admins
        self._now = now

    def keep_applied(self, row: RunRow, scenario: Scenario) -> None:
        """Apply what is due, and again what a restart of its service took away. Raises ``AdminError``.

        All services are asked for their mode, before anything is due and in a night without a fault as well:
        what it costs them is in their metrics, and is to tell nothing of what the run is about.
        """
        modes = self._modes()
        held_s = row.elapsed_s - row.soak_s
        for number, fault in enumerate(scenario.faults):
            if fault.mode == NO_FAULT or held_s < fault.offset_s:
                continue
            current = modes[fault.service]
            if isinstance(current, AdminError):
                raise current
            is_applied = number in row.applied
            self._keep(row.id, number, fault.service, fault.mode, current=current, is_applied=is_applied)

    def _modes(self) -> dict[str, str | AdminError]:
        """The mode of each service, or why it does not say; all at once, since some may hang."""
        with ThreadPoolExecutor(len(self._admins)) as asking:
            return dict(zip(self._admins, asking.map(_mode, self._admins.values()), strict=True))

    def _keep(
        self, run_id: UUID, number: int, service: str, mode: str, *, current: str, is_applied: bool
    ) -> None:
        admin = self._admins[service]
        if is_applied:
            if current == NO_FAULT:
                admin.enter(mode, resume=True)
            return
        at = self._now()
        if current != mode:
            admin.enter(mode, resume=False)
        self._runs.applied(run_id, number, at=at, service=service)

    def restore(self) -> list[str]:
        """Put every service back to its baseline; what went wrong, a line for each that did not."""
        wrong = []
        for name, admin in self._admins.items():
            try:
                admin.restore_baseline()
            except AdminError as error:
                wrong.append(f"{name}: {type(error).__name__}: {error}")
        return wrong


def _mode(admin: ServiceAdmin) -> str | AdminError:
    try:
        return admin.current_mode()
    except AdminError as error:
        return error
