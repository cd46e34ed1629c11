"""Who is on call, as the page On call sees it: now, next, and who stands in."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.common.catalog import SERVICES
from services.web_ui.backends import Backend
from services.web_ui.schemas import DutyTimeline, Override, OverridePage

HORIZON = timedelta(days=15)
OVERRIDES_SHOWN = 200
EVERY_TEAM = "*"
TEAMS = tuple(service.name for service in SERVICES if service.name != "web-ui")
"""Every service has a team of its name."""


@dataclass(frozen=True)
class Handoff:
    """At ``at`` the duty of ``teams`` goes over to ``engineer``."""

    at: datetime
    engineer: str
    teams: tuple[str, ...]


@dataclass(frozen=True)
class Rota:
    """Every team's turns from ``read_at`` to ``HORIZON`` later, and the overrides that are not over."""

    read_at: datetime
    timelines: Sequence[DutyTimeline]
    overrides: Sequence[Override]

    def handoffs(self) -> list[Handoff]:
        """The hand-offs to come, the next one first; teams that change alike are one."""
        teams: dict[tuple[datetime, str], list[str]] = {}
        for timeline in self.timelines:
            for before, turn in zip(timeline.items, timeline.items[1:], strict=False):
                if turn.engineer != before.engineer:
                    teams.setdefault((turn.since, turn.engineer), []).append(timeline.team)
        return [Handoff(at, engineer, tuple(those)) for (at, engineer), those in sorted(teams.items())]


class Duty:
    """Reads the on-call service, and lets people stand in."""

    def __init__(
        self, backend: Backend, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._backend = backend
        self._clock = clock

    async def rota(self, teams: Iterable[str] = TEAMS) -> Rota:
        """The turns of these teams and the overrides. Raises ``BackendError``."""
        now = self._clock()
        timelines, overrides = await asyncio.gather(
            asyncio.gather(*(self._timeline(team, now) for team in teams)), self._overrides(now)
        )
        return Rota(now, timelines, overrides)

    async def stand_in(self, *, team: str, engineer: str, lasting: timedelta, actor: str) -> Override:
        """Put ``engineer`` on call for a team from now on. Raises ``Refused`` or ``Away``."""
        now = self._clock()
        override = {
            "team": team,
            "engineer": engineer,
            "starts_at": now.isoformat(),
            "ends_at": (now + lasting).isoformat(),
        }
        return await self._backend.change(
            "POST", "/api/v1/overrides", Override, json=override, headers={"X-Actor": actor}
        )

    async def end(self, override: Override, *, actor: str) -> None:
        """Take an override back. Raises ``Refused`` or ``Away``."""
        await self._backend.remove(f"/api/v1/overrides/{override.id}", headers={"X-Actor": actor})

    async def _timeline(self, team: str, now: datetime) -> DutyTimeline:
        params = {"team": team, "from": now.isoformat(), "to": (now + HORIZON).isoformat()}
        return await self._backend.read("/api/v1/oncall/timeline", DutyTimeline, params=params)

    async def _overrides(self, now: datetime) -> list[Override]:
        # Past ones would push those that hold off the page.
        lasting = [("from", now.isoformat()), ("limit", str(OVERRIDES_SHOWN))]
        return (await self._backend.read("/api/v1/overrides", OverridePage, params=lasting)).items
