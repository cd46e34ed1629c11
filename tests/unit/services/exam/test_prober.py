"""Which requests the prober sends in a run, and what it writes down of them."""

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from scenarios.model import load_all
from scenarios.probes import ROUTES, Answer
from services.exam.journal import Probe
from services.exam.prober import Prober

SCENARIOS = load_all()


class Watched:
    """A run of a scenario that is under way; what is asked for and what is written down in it."""

    def __init__(self, scenario: str) -> None:
        self.row = SimpleNamespace(id=UUID(int=1), scenario=scenario, is_under_way=True, paused_at=None)
        self.asked: list[str] = []
        self.written: list[Probe] = []

    def active(self) -> Any:
        return self.row

    def add_probes(self, _id: object, found: Iterable[Probe]) -> None:
        self.written += found

    async def ask(self, route: str) -> Answer:
        self.asked.append(route)
        return Answer(ok=True, status=200, latency_ms=20)


def probed(scenario: str) -> Watched:
    watched = Watched(scenario)
    asyncio.run(Prober(watched, SCENARIOS, ask=watched.ask).round())  # type: ignore[arg-type]
    return watched


def test_the_requests_are_the_same_in_every_run() -> None:
    orders = {tuple(probed(name).asked) for name in SCENARIOS}

    [order] = orders
    assert list(order) == sorted(order)
    assert {*order} <= {*ROUTES}


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_the_scenario_says_nothing_of_is_not_written_down(name: str) -> None:
    truth = SCENARIOS[name].truth

    written = {probe.route: probe.affected for probe in probed(name).written}

    assert {route for route, affected in written.items() if affected} == {*truth.affected}
    assert {route for route, affected in written.items() if not affected} == {*truth.not_affected}


def test_a_run_whose_scenario_is_gone_is_not_probed() -> None:
    assert probed("renamed").asked == []
