"""Rotations: who has the shift at an instant, and from when until when.

Shifts touch: each ends where the next begins, so at every instant exactly one
person is on call. Hand-offs are at a wall-clock time of a named time zone. An
hour that the clocks go through twice counts as its first pass, and one that
they leap over is shifted forward by the leap: both are what ``fold=0`` means
(PEP 495), and what java.time's ``ZonedDateTime.of`` does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Shift:
    """One person's turn: from ``since`` until just before ``until``, both in UTC."""

    engineer: str
    since: datetime
    until: datetime


class Rotation(Protocol):
    """Whose turn it is, at every instant."""

    def shift_at(self, instant: datetime) -> Shift:
        """The shift that holds at an aware instant."""


@dataclass(frozen=True)
class WeeklyRotation:
    """A turn for each ISO week, from Monday 00:00 on: member number ``week % members``, counted from 0.

    The week's number starts anew each year, so after week 52 or 53 it may be
    anybody's turn, the same person's included.
    """

    members: tuple[str, ...]
    zone: ZoneInfo

    def shift_at(self, instant: datetime) -> Shift:
        """The shift of the ISO week that an aware instant lies in."""
        local = instant.astimezone(self.zone).date()
        monday = local - timedelta(days=local.weekday())
        # Where Monday's midnight is leapt over or comes twice, the date alone may be a week off.
        while self._begins(monday) > instant:
            monday -= _WEEK
        while self._begins(monday + _WEEK) <= instant:
            monday += _WEEK
        engineer = self.members[monday.isocalendar().week % len(self.members)]
        return Shift(engineer, self._begins(monday), self._begins(monday + _WEEK))

    def _begins(self, monday: date) -> datetime:
        return wall_clock(monday, time(0), zone=self.zone)


@dataclass(frozen=True)
class HandoffRotation:
    """A turn every ``every_days`` days, handed over at the wall-clock time ``at``.

    The first member's turn begins on ``starts_on``; the rotation goes on for
    ever, before that day too.
    """

    members: tuple[str, ...]
    zone: ZoneInfo
    at: time
    every_days: int
    starts_on: date

    def shift_at(self, instant: datetime) -> Shift:
        """The shift that holds at an aware instant."""
        days = (instant.astimezone(self.zone).date() - self.starts_on).days
        turn = days // self.every_days
        while self._begins(turn) > instant:
            turn -= 1
        while self._begins(turn + 1) <= instant:
            turn += 1
        engineer = self.members[turn % len(self.members)]
        return Shift(engineer, self._begins(turn), self._begins(turn + 1))

    def _begins(self, turn: int) -> datetime:
        day = self.starts_on + timedelta(days=turn * self.every_days)
        return wall_clock(day, self.at, zone=self.zone)


def wall_clock(day: date, at: time, *, zone: ZoneInfo) -> datetime:
    """The instant, in UTC, at which clocks in ``zone`` first show ``at`` on that day."""
    return datetime.combine(day, at.replace(fold=0), tzinfo=zone).astimezone(UTC)


def shifts(rotation: Rotation, *, since: datetime, until: datetime) -> Iterator[Shift]:
    """The shifts that hold at some instant from ``since`` to just before ``until``, in order, uncut."""
    at = since
    while at < until:
        shift = rotation.shift_at(at)
        yield shift
        at = shift.until
