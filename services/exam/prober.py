"""The prober: fresh requests over the shop's routes from the start of a run to its end.

Grading sees the shop through these alone, so nobody's traffic, cache or
connection can make it look better than it is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

import structlog
from anyio import to_thread
from sqlalchemy.exc import SQLAlchemyError

from scenarios.model import Scenario
from scenarios.probes import Answer
from services.exam.journal import Probe
from services.exam.store import RunRow, Runs

log = structlog.get_logger()

MAX_UNWRITTEN = 5_000
"""Probes kept while the database is away; the oldest are lost first."""

Ask = Callable[[str], Awaitable[Answer]]
"""Sends fresh requests over a route."""


class Prober:
    """Probes the routes of the run that is under way, and writes down what came."""

    def __init__(self, runs: Runs, scenarios: Mapping[str, Scenario], *, ask: Ask) -> None:
        self._runs = runs
        self._scenarios = scenarios
        self._ask = ask
        self._run: RunRow | None = None
        self._unwritten: list[Probe] = []

    async def round(self) -> None:
        """One request over each route, all at once; nothing while no clock goes."""
        run = await self._current()
        if run is None or not run.is_under_way or run.paused_at is not None:
            return
        truth = self._scenarios[run.scenario].truth
        routes = {**dict.fromkeys(truth.not_affected, False), **dict.fromkeys(truth.affected, True)}
        probes = await asyncio.gather(*(self._probe(route, affected=bad) for route, bad in routes.items()))
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

    async def _probe(self, route: str, *, affected: bool) -> Probe:
        # Not the database's clock: it may be what is away.
        at = datetime.now(UTC)
        answer = await self._ask(route)
        return Probe(
            at=at,
            route=route,
            affected=affected,
            ok=answer.ok,
            status=answer.status,
            latency_ms=answer.latency_ms,
        )
