"""Breaking a live lab by hand, outside the schedule: what ``lab scenario start`` and ``verify`` do.

What is broken is on record as an open phase, so that the schedule of a lab that is started anew puts it
back even if nobody else does.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scenarios.access import AccessError, LabAccess
from scenarios.admin import AdminError, ServiceAdmin
from scenarios.event_log import event_log
from scenarios.model import NO_FAULT, Scenario
from scenarios.records import PhaseRecords
from scenarios.steps import show

RESTORE_WITHIN_S = 60.0
RESTORE_EVERY_S = 1.0
PLAYING_SQL = "SELECT 1 FROM exam.phases WHERE ended_at IS NULL"
EXAM_SQL = "SELECT 1 FROM exam.runs WHERE state IN ('waiting', 'soaking', 'running', 'grading')"


class Stage:
    """One live lab, broken and put back by hand. Every method raises ``AccessError``."""

    def __init__(
        self,
        lab: LabAccess,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.lab = lab
        self._clock = clock
        self._sleep = sleep
        self._records = PhaseRecords(
            lab.reader_url, seed=0, log=event_log(blind=False, stream=sys.stderr), clock=time.monotonic
        )

    def require_free(self) -> None:
        """Raise unless nobody else breaks this lab: no phase of the schedule is open, no exam is on."""
        self.require_no_exam()
        if self._finds(PLAYING_SQL):
            raise AccessError(
                "the lab is not free: the schedule plays. Start it with SCENARIO=none (or `make exam-lab`),"
                " or run `lab scenario stop`"
            )

    def require_no_exam(self) -> None:
        """Raise while an exam is on: to put the lab back would undo what its candidate has mended."""
        if self._finds(EXAM_SQL):
            raise AccessError("the lab is not free: an exam is on. It ends by itself, or by `lab exam abort`")

    def _finds(self, query: str) -> bool:
        with self.lab.reading() as session, session.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchone() is not None

    def begin(self, scenario: Scenario) -> None:
        """Put what is about to be broken on record; raises where an exam has begun since it was looked."""
        phase = self._records.begin(scenario, "hold")
        if not self._records.holds(phase):
            raise AccessError("the database does not take the record of what is about to be broken")
        try:
            # An exam that begins from now on sees the open phase, and waits.
            self.require_no_exam()
        except AccessError:
            self.end()
            raise

    def end(self) -> None:
        """No open phase is on record any more."""
        for left in self._records.left_open():
            self._records.close(left)

    def inject(self, scenario: Scenario) -> None:
        """Apply the faults, each at its time."""
        with self._admins() as admins:
            started_s = self._clock()
            for fault in sorted(scenario.faults, key=lambda fault: fault.offset_s):
                if fault.mode == NO_FAULT:
                    continue
                self._sleep(max(0.0, started_s + fault.offset_s - self._clock()))
                try:
                    admins[fault.service].enter(fault.mode, resume=False)
                except AdminError as error:
                    raise AccessError(f"{fault.service}: {error}") from error

    def show_red_herrings(self, scenario: Scenario, *, seed: int) -> None:
        """Make them visible, in the order of the seed's times."""
        numbered = list(enumerate(scenario.red_herrings))
        for _, herring in sorted(numbered, key=lambda one: one[1].shown_at_s(seed=seed, number=one[0])):
            show(herring, self.lab)

    def restore(self) -> None:
        """Put every service of the shop back to its baseline, however long it takes to be accepted."""
        ends_at_s = self._clock() + RESTORE_WITHIN_S
        with self._admins() as admins:
            for name, admin in admins.items():
                while True:
                    try:
                        admin.restore_baseline()
                        break
                    except AdminError as error:
                        if self._clock() > ends_at_s:
                            raise AccessError(f"{name} does not go back to its baseline: {error}") from error
                        self._sleep(RESTORE_EVERY_S)

    def firing(self) -> set[tuple[str, str]]:
        """The alerts that fire now, by name and service."""
        found = self.lab.get("prometheus", "/api/v1/alerts").json()["data"]["alerts"]
        return {
            (alert["labels"]["alertname"], alert["labels"].get("service", ""))
            for alert in found
            if alert["state"] == "firing"
        }

    @contextmanager
    def _admins(self) -> Iterator[dict[str, ServiceAdmin]]:
        with self.lab.client() as client:
            yield self.lab.admins(client)
