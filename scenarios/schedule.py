"""The schedule: breaks the shop as the scenarios say, and puts back what it broke.

``SCENARIO=cycle`` plays three incidents in turn for ever, ``SCENARIO=<name>`` repeats
one, ``SCENARIO=none`` breaks nothing. What a run that was killed left broken is
restored before anything else. Run it with ``python -m scenarios.schedule``.
"""

import logging
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from types import FrameType
from typing import NoReturn
from uuid import UUID

from pydantic import ValidationError
from structlog.typing import FilteringBoundLogger

from scenarios import phase_metric
from scenarios.admin import CHANGE_TIMEOUT_S, AdminError, Client, ServiceAdmin, Unreachable
from scenarios.event_log import event_log
from scenarios.model import NO_FAULT, Fault, Scenario, ScenarioError, load_all
from scenarios.records import LeftOpen, Phase, PhaseRecords, RecordsUnreachable
from scenarios.settings import CYCLE, GATEWAY, NONE, SECRETS, ScheduleSettings

CYCLED = ("incident-b", "payment-dns", "inventory-timeout")
POLL_S = 1.0
HEALTH_POLL_S = 0.2
SHUTDOWN_BUDGET_S = 0.8


class ShutdownRequested(SystemExit):
    """SIGTERM or SIGINT arrived. Raised wherever the schedule is, so that no wait delays the revert."""


class CannotStart(Exception):
    """A setting or a scenario's file is no good. The message says which, and what is allowed."""


class UnknownScenario(Exception):
    """``SCENARIO`` names none; the message lists those that there are."""


@dataclass
class HeldFault:
    """A fault of the phase that is on, and whether it took."""

    fault: Fault
    applied: bool = False


class Schedule:
    """Plays scenarios one after the other. ``admins`` has the admin routes of each service by name."""

    def __init__(
        self,
        *,
        admins: Mapping[str, ServiceAdmin],
        records: PhaseRecords,
        log: FilteringBoundLogger,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._admins = admins
        self._records = records
        self._log = log
        self._clock = clock
        self._sleep = sleep
        self._phase: Phase | None = None
        self._saw_exam = False
        self._touched: list[str] = []
        """Services that we may have broken and have not restored yet."""
        self._troubles: dict[tuple[str, str], str] = {}
        """What an event said last of a service, so that it says so once and not each second."""

    def run(self, scenarios: Sequence[Scenario]) -> NoReturn:
        """Restore what an earlier run left, then play the scenarios in turn, for ever."""
        self.restore_what_was_left()
        if scenarios:
            self.wait_until_healthy(_needed(scenarios))
        for scenario in cycle(scenarios):
            self.play(scenario)
        self._log.info("schedule.idle")
        while True:
            self._sleep(60.0)

    def play(self, scenario: Scenario) -> None:
        """One round: soak, hold, rest. After it made way for an exam it soaks again."""
        self._make_way()
        while not (self._let_be(scenario, "soak", scenario.timeline.soak_s) and self._hold(scenario)):
            self._make_way()
        self._let_be(scenario, "rest", scenario.timeline.rest_s)

    def restore_what_was_left(self) -> None:
        """Revert the phases that an earlier run recorded and did not end, and end them.

        Waits for the database, which alone knows them, and for the services.
        """
        while True:
            try:
                for left in self._records.left_open():
                    self._restore_left(left)
                return
            except RecordsUnreachable as error:
                self._warn_once("records.awaited", error)
                self._sleep(POLL_S)

    def wait_until_healthy(self, services: Iterable[str]) -> None:
        """Return once each of the services has answered that it is healthy."""
        missing = list(services)
        waited_from = self._clock()
        self._log.info("services.awaited", targets=missing)
        while missing := [name for name in missing if not self._admins[name].is_healthy()]:
            self._sleep(HEALTH_POLL_S)
        self._log.info("services.healthy", waited_s=round(self._clock() - waited_from, 1))

    def shut_down(self) -> None:
        """Revert what is on, within ``SHUTDOWN_BUDGET_S``; what cannot be reverted stays recorded as open."""
        deadline = self._clock() + SHUTDOWN_BUDGET_S
        for name in list(self._touched):
            budget_s = max(0.05, deadline - self._clock())
            self._try_to_restore(name, timeout_s=budget_s)
        if self._touched:
            self._log.error("fault.left_applied", phase_id=self._phase_id, targets=self._touched)
        elif self._phase:
            self._end(self._phase)
        self._records.flush()
        self._records.say_what_is_lost()
        self._log.info("schedule.stopped")

    def _make_way(self) -> None:
        """Wait while a run of the exam has the lab."""
        if not self._exam_is_on():
            return
        self._log.info("schedule.resting")
        while self._exam_is_on():
            self._sleep(POLL_S)
        self._log.info("schedule.goes_on")

    def _exam_is_on(self) -> bool:
        """Whether a run has the lab. While the database cannot say, what it said last."""
        try:
            self._saw_exam = self._records.exam_is_on()
        except RecordsUnreachable as error:
            self._warn_once("records.awaited", error)
        return self._saw_exam

    def _let_be(self, scenario: Scenario, name: str, duration_s: float) -> bool:
        """A phase in which nothing is broken by us; whether it lasted, or an exam cut it short."""
        phase = self._begin(scenario, name)
        until = phase.started_s + duration_s
        while self._clock() < until and not self._exam_is_on():
            self._records.flush()
            self._sleep(max(0.0, min(POLL_S, until - self._clock())))
        lasted = self._clock() >= until
        self._end(phase)
        return lasted

    def _hold(self, scenario: Scenario) -> bool:
        """Apply the faults and keep them applied, then revert them; whether an exam let it."""
        held = [HeldFault(fault) for fault in scenario.faults if fault.mode != NO_FAULT]
        phase = self._begin(scenario, "hold")
        # Asked after the phase is on record, where a run that begins looks: one of the two sees the other.
        if self._exam_is_on():
            self._end(phase)
            return False
        # Nothing breaks in these, but what a person sets there to get by is to be taken back as well.
        self._touched += [one for one in scenario.services if one not in {two.fault.service for two in held}]
        until = phase.started_s + scenario.timeline.hold_s
        while self._clock() < until:
            self._records.flush()
            # A fault that no record knows of would outlive a kill of this process.
            if self._records.holds(phase):
                for fault in held:
                    self._keep_applied(fault, phase)
            self._sleep(max(0.0, min(POLL_S, until - self._clock())))
        self._restore(list(self._touched))
        self._end(phase)
        return True

    def _keep_applied(self, held: HeldFault, phase: Phase) -> None:
        """Apply the fault when it is due; apply it again when a restart of its service took it away."""
        fault = held.fault
        if self._clock() - phase.started_s < fault.offset_s:
            return
        try:
            if not held.applied:
                self._apply(fault)
                held.applied = True
                self._log_fault("fault.applied", fault, phase)
            elif self._admins[fault.service].current_mode() == NO_FAULT:
                self._admins[fault.service].enter(fault.mode, resume=True)
                self._log_fault("fault.reapplied", fault, phase)
            self._troubles.pop(("fault.waiting", fault.service), None)
        except AdminError as error:
            self._warn_once("fault.waiting", error, target=fault.service)

    def _apply(self, fault: Fault) -> None:
        """Enter the fault's mode anew. Unless the service surely got nothing, it counts as touched."""
        newly_touched = fault.service not in self._touched
        if newly_touched:
            # What broke last is restored first, and what only suffers from it after that.
            self._touched.insert(0, fault.service)
        try:
            self._admins[fault.service].enter(fault.mode, resume=False)
        except Unreachable:
            if newly_touched:
                self._touched.remove(fault.service)
            raise

    def _restore(self, services: Iterable[str]) -> None:
        """Restore the baseline of each service, however long it takes to be accepted."""
        pending = list(dict.fromkeys(services))
        while pending := [name for name in pending if not self._try_to_restore(name)]:
            self._records.flush()
            self._sleep(POLL_S)

    def _restore_left(self, left: LeftOpen) -> None:
        self._restore(self._known(left.services))
        self._records.close(left)
        self._log.info("phase.restored", phase_id=left.id, targets=left.services)

    def _known(self, services: Iterable[str]) -> list[str]:
        """Those that there still are: a record may be of an older lab."""
        unknown = [name for name in services if name not in self._admins]
        if unknown:
            self._log.warning("fault.service_is_gone", targets=unknown)
        return [name for name in services if name in self._admins]

    def _try_to_restore(self, name: str, *, timeout_s: float = CHANGE_TIMEOUT_S) -> bool:
        try:
            self._admins[name].restore_baseline(timeout_s=timeout_s)
        except AdminError as error:
            self._warn_once("fault.revert_pending", error, target=name)
            return False
        if name in self._touched:
            self._touched.remove(name)
        self._troubles.pop(("fault.revert_pending", name), None)
        self._log.info("fault.reverted", phase_id=self._phase_id, target=name)
        return True

    def _warn_once(self, event: str, error: Exception, *, target: str = "") -> None:
        """Log a trouble when it is new."""
        trouble = f"{type(error).__name__}: {error}"
        if self._troubles.get((event, target)) != trouble:
            self._log.warning(event, phase_id=self._phase_id, target=target or None, error=trouble)
        self._troubles[event, target] = trouble

    @property
    def phase(self) -> Phase | None:
        """The phase that is on."""
        return self._phase

    @property
    def _phase_id(self) -> UUID | None:
        return self._phase.id if self._phase else None

    def _begin(self, scenario: Scenario, name: str) -> Phase:
        phase = self._phase = self._records.begin(scenario, name)
        self._log.info("phase.started", phase_id=phase.id, scenario=scenario.name, phase=name)
        return phase

    def _end(self, phase: Phase) -> None:
        self._phase = None
        self._records.end(phase)
        self._log.info("phase.ended", phase_id=phase.id, scenario=phase.scenario.name, phase=phase.name)

    def _log_fault(self, event: str, fault: Fault, phase: Phase) -> None:
        self._log.info(event, phase_id=phase.id, target=fault.service, mode=fault.mode)


def _needed(scenarios: Sequence[Scenario]) -> list[str]:
    """The services that must be healthy before the first soak."""
    faulty = [service for scenario in scenarios for service in scenario.services]
    return list(dict.fromkeys([GATEWAY, *faulty]))


def chosen(name: str, *, known: Mapping[str, Scenario]) -> list[Scenario]:
    """The scenarios that ``SCENARIO`` means, in turn. Raises ``UnknownScenario``."""
    if name == NONE:
        return []
    names = CYCLED if name == CYCLE else (name,)
    for one in names:
        if one not in known:
            allowed = ", ".join([CYCLE, NONE, *sorted(known)])
            raise UnknownScenario(f"SCENARIO={one!r} is no scenario; allowed: {allowed}")
    return [known[one] for one in names]


def planned() -> tuple[ScheduleSettings, list[Scenario]]:
    """What the environment asks for, and what is played then. Raises ``CannotStart``."""
    try:
        settings = ScheduleSettings()
        return settings, _scenarios(settings)
    except (ValidationError, ScenarioError, UnknownScenario) as error:
        raise CannotStart(_explained(error)) from error


def _scenarios(settings: ScheduleSettings) -> list[Scenario]:
    return [
        scenario.with_timeline(
            soak_s=settings.scenario_soak_s,
            hold_s=settings.scenario_hold_s,
            rest_s=settings.scenario_rest_s,
        )
        for scenario in chosen(settings.scenario, known=load_all())
    ]


def main() -> None:
    """Play what the environment asks for, until SIGTERM or SIGINT. Ends with status 2 on a bad setting."""
    signal.signal(signal.SIGTERM, _request_shutdown)
    signal.signal(signal.SIGINT, _request_shutdown)
    # It would log the URL of each request, which names the service and the mode.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings, scenarios = planned()
    except CannotStart as error:
        event_log(blind=False).error("schedule.cannot_start", error=str(error))
        raise SystemExit(2) from None
    log = event_log(blind=settings.lab_blind)
    database_url = settings.exam_database_url
    if database_url is None:
        log.warning("records.none", reason="EXAM_DATABASE_URL is not set")
    records = PhaseRecords(
        database_url.get_secret_value() if database_url else None,
        seed=settings.traffic_seed,
        log=log,
        clock=time.monotonic,
    )
    token = settings.lab_admin_token
    with ExitStack() as stack:
        client = stack.enter_context(Client(token=token.get_secret_value() if token else None))
        admins = {name: ServiceAdmin(url, client=client) for name, url in settings.urls.items()}
        schedule = Schedule(admins=admins, records=records, log=log)
        if settings.schedule_metrics_port is not None:
            stack.enter_context(
                phase_metric.exposed(
                    lambda: schedule.phase,
                    address=settings.lab_bind,
                    port=settings.schedule_metrics_port,
                    blind=settings.lab_blind,
                )
            )
        _run_until_shutdown(schedule, scenarios)


def _run_until_shutdown(schedule: Schedule, scenarios: Sequence[Scenario]) -> None:
    try:
        schedule.run(scenarios)
    except ShutdownRequested:
        return
    finally:
        schedule.shut_down()


def _request_shutdown(_signal: int, _frame: FrameType | None) -> NoReturn:
    # Once is enough: a second signal must not end the revert half-way.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise ShutdownRequested(0)


def _explained(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        f"{field.upper()}={'***' if field in SECRETS else repr(one['input'])}: {one['msg']}"
        for one in error.errors()
        for field in [str(one["loc"][0])]
    )


if __name__ == "__main__":
    main()
