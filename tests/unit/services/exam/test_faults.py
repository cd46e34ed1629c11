"""How a run's faults are kept applied, and what that tells of them."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from scenarios.access import ADMINISTERED
from scenarios.admin import NoAnswer
from scenarios.model import Scenario, load_all
from services.exam.faults import Faults

SCENARIOS = load_all()


class Admin:
    """A service that says its mode, or does not."""

    def __init__(self) -> None:
        self.asked = 0
        self.mode = "none"
        self.entered: list[tuple[str, bool]] = []
        self.is_away = False

    def current_mode(self) -> str:
        self.asked += 1
        if self.is_away:
            raise NoAnswer("away")
        return self.mode

    def enter(self, mode: str, *, resume: bool) -> None:
        self.entered.append((mode, resume))
        self.mode = mode


class Night:
    """A run of a scenario, looked at every half second."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.admins = {name: Admin() for name in ADMINISTERED}
        self.row: Any = SimpleNamespace(id=uuid4(), elapsed_s=0.0, soak_s=10.0, applied=[])
        runs = SimpleNamespace(applied=lambda _run, number, **_of: self.row.applied.append(number))
        admins: Any = self.admins
        self._faults = Faults(runs, admins, now=lambda: datetime.now(UTC))  # type: ignore[arg-type]

    def look(self, *, at_s: float) -> None:
        self.row.elapsed_s = at_s
        self._faults.keep_applied(self.row, self.scenario)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_service_is_asked_as_often_as_every_other_before_the_fault_and_after(name: str) -> None:
    night = Night(SCENARIOS[name])

    for number in range(60):
        night.look(at_s=number / 2)

    assert {admin.asked for admin in night.admins.values()} == {60}


def test_a_fault_comes_when_it_is_due_and_again_after_a_restart() -> None:
    night = Night(SCENARIOS["payment-dns"])
    dns = night.admins["dns"]

    night.look(at_s=9.5)
    before = list(dns.entered)
    night.look(at_s=10)
    dns.mode = "none"
    night.look(at_s=10.5)

    assert before == []
    assert dns.entered == [("record_missing", False), ("record_missing", True)]


def test_a_service_that_is_away_holds_up_no_fault_of_another() -> None:
    night = Night(SCENARIOS["payment-dns"])
    night.admins["gateway"].is_away = True

    night.look(at_s=10)

    assert night.row.applied == [0]


def test_the_broken_service_that_is_away_is_said() -> None:
    night = Night(SCENARIOS["payment-dns"])
    night.admins["dns"].is_away = True

    with pytest.raises(NoAnswer):
        night.look(at_s=10)
