"""The timeline of a team: its rotation with the overrides laid over it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal
from uuid import UUID

from services.oncall.rotation import Rotation, Shift, shifts

Source = Literal["rotation", "override", "default"]
LOOK_AHEAD = timedelta(days=400)
"""How far ahead somebody else's turn is looked for."""


@dataclass(frozen=True)
class StandIn:
    """Somebody stands in from ``starts_at`` until just before ``ends_at``.

    Of several that hold, the one with the highest ``rank`` wins: one for the
    team itself before one for every team, then the one made later.
    """

    id: UUID
    engineer: str
    starts_at: datetime
    ends_at: datetime
    rank: tuple[bool, int]

    def holds_at(self, instant: datetime) -> bool:
        """Whether it covers an instant."""
        return self.starts_at <= instant < self.ends_at


@dataclass(frozen=True)
class Turn:
    """Who is on call from ``since`` until just before ``until``, and why."""

    engineer: str
    since: datetime
    until: datetime
    source: Source
    override_id: UUID | None = None


@dataclass(frozen=True)
class Plan:
    """What decides who is on call for a team: ``source`` is the rotation's own."""

    rotation: Rotation
    overrides: Sequence[StandIn]
    source: Source

    def turns(self, *, since: datetime, until: datetime) -> list[Turn]:
        """Who is on call from ``since`` until ``until``: without gaps or overlaps, cut to these bounds."""
        own = list(shifts(self.rotation, since=since, until=until))
        edges = {since, until}
        edges |= {shift.since for shift in own if since < shift.since < until}
        edges |= {
            edge for one in self.overrides for edge in (one.starts_at, one.ends_at) if since < edge < until
        }
        ordered = sorted(edges)
        turns: list[Turn] = []
        remaining = iter(own)
        shift = next(remaining, None)
        for begins, ends in pairwise(ordered):
            while shift is not None and shift.until <= begins:
                shift = next(remaining, None)
            assert shift is not None
            turns.append(self._turn(begins, ends, shift))
        return _joined(turns, starts={shift.since for shift in own})

    def current(self, instant: datetime) -> Turn:
        """Who is on call at an instant, with the whole of the turn around it."""
        shift = self.rotation.shift_at(instant)
        holding = [one for one in self.overrides if one.holds_at(instant)]
        since = min([shift.since, *(one.starts_at for one in holding)])
        until = max([shift.until, *(one.ends_at for one in holding)])
        return next(
            turn for turn in self.turns(since=since, until=until) if turn.since <= instant < turn.until
        )

    def next_other(self, instant: datetime) -> str:
        """Who comes after whoever is on call now; the same person when nobody else ever does."""
        now = self.current(instant)
        for turn in self.turns(since=instant, until=instant + LOOK_AHEAD):
            if turn.engineer != now.engineer:
                return turn.engineer
        return now.engineer

    def _turn(self, begins: datetime, ends: datetime, shift: Shift) -> Turn:
        holding = [one for one in self.overrides if one.holds_at(begins)]
        if not holding:
            return Turn(shift.engineer, begins, ends, self.source)
        winner = max(holding, key=lambda one: one.rank)
        return Turn(winner.engineer, begins, ends, "override", winner.id)


def _joined(turns: Iterable[Turn], *, starts: set[datetime]) -> list[Turn]:
    """Make one of what edges of overruled overrides or shifts cut apart."""
    joined: list[Turn] = []
    for turn in turns:
        last = joined[-1] if joined else None
        is_hand_off = turn.source != "override" and turn.since in starts
        if last is None or is_hand_off or (last.source, last.override_id) != (turn.source, turn.override_id):
            joined.append(turn)
        else:
            joined[-1] = Turn(last.engineer, last.since, turn.until, last.source, last.override_id)
    return joined
