"""The prober: fresh requests over the shop's routes from the start of a run to its end.

Grading sees the shop through these alone, so nobody's traffic, cache or
connection can make it look better than it is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime

import structlog
from anyio import to_thread
from sqlalchemy.exc import SQLAlchemyError

from scenarios.model import Scenario
from scenarios.oracle import all_routes
from scenarios.probes import Answer
from services.exam.journal import Probe
from services.exam.store import RunRow, Runs

log = structlog.get_logger()

MAX_UNWRITTEN = 5_000
"""Probes kept while the database is away; the oldest are lost first."""

Ask = Callable[[str], Awaitable[Answer]]
"""Sends fresh requests over a route."""


class Prober:
    """Probes the shop while a run is under way, and writes down what came over the routes of its scenario.

    In every run the routes of all scenarios are asked in the same order: their requests are in the
    candidate's traces, and are to tell nothing of what the run is about.
    """

    def __init__(self, runs: Runs, scenarios: Mapping[str, Scenario], *, ask: Ask) -> None:
        self._runs = runs
        self._scenarios = scenarios
        self._routes = all_routes(scenarios.values())
        self._ask = ask
        self._run: RunRow | None = None
        self._unwritten: list[Probe] = []

    async def round(self) -> None:
        """One request over each route, all at once; nothing while no clock goes."""
        run = await self._current()
        if run is None or not run.is_under_way or run.paused_at is not None:
            return
        scenario = self._scenarios.get(run.scenario)
        if scenario is None:
            return
        asked = await asyncio.gather(*(self._probe(route) for route in self._routes))
        named = _named(scenario)
        probes = [
            Probe(at=at, route=route, affected=named[route], **asdict(answer))
            for route, (at, answer) in zip(self._routes, asked, strict=True)
            if route in named
        ]
        self._unwritten = [*self._unwritten, *probes][-MAX_UNWRITTEN:]
        await to_thread.run_sync(self._runs.add_probes, run.id, self._unwritten)
        self._unwritten = []

    async def _current(self) -> RunRow | None:
        """The run that has the lab. While the database is away it is the one that had it."""
        try:
            found = await to_thread.run_sync(self._runs.active)
        except SQLAlchemyError as error:
            log.warning("prober.database_away", error=str(error).partition("\n")[0])
            return self._run
        if self._run is not None and (found is None or found.id != self._run.id):
            self._unwritten = []
        self._run = found
        return found

    async def _probe(self, route: str) -> tuple[datetime, Answer]:
        # Not the database's clock: it may be what is away.
        at = datetime.now(UTC)
        return at, await self._ask(route)


def _named(scenario: Scenario) -> dict[str, bool]:
    """The routes that a scenario says anything about, and whether it breaks them."""
    truth = scenario.truth
    return {**dict.fromkeys(truth.not_affected, False), **dict.fromkeys(truth.affected, True)}
