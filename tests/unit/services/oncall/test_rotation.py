"""Whose turn it is: at every instant exactly one person's, handed over when the clock on the wall says so."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.oncall.rotation import HandoffRotation, Rotation, WeeklyRotation, shifts, wall_clock

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",  # until 2011 its clocks changed at 00:01
    "Asia/Beirut",  # its clocks leap over midnight
    "Australia/Lord_Howe",  # half an hour
    "Antarctica/Troll",  # two hours
    "Pacific/Apia",  # there was no 30 December 2011
    "Pacific/Chatham",
    "Africa/Casablanca",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
)
BERLIN = ZoneInfo("Europe/Berlin")
TEAM = ("ada", "grace", "edsger", "barbara")

zones = st.sampled_from(ZONES).map(ZoneInfo)
teams = st.integers(1, 9).map(lambda n: tuple(f"e{i}" for i in range(n)))
instants = st.datetimes(datetime(2003, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))
weekly = st.builds(WeeklyRotation, teams, zones)
handoff = st.builds(
    HandoffRotation,
    teams,
    zones,
    at=st.times().map(lambda t: t.replace(second=0, microsecond=0)),
    every_days=st.integers(1, 28),
    starts_on=st.dates(date(2000, 1, 1), date(2060, 1, 1)),
)
rotations = st.one_of(weekly, handoff)


@st.composite
def instants_near_a_change(draw: st.DrawFn, zone: ZoneInfo) -> datetime:
    """An instant within some hours of a change of a zone's clocks, or any instant where there is none."""
    instant = draw(instants)
    for weeks in range(53):
        before = instant + timedelta(weeks=weeks)
        if before.astimezone(zone).utcoffset() != (before + timedelta(weeks=1)).astimezone(zone).utcoffset():
            day = next(d for d in range(7) if _changes(zone, before + timedelta(days=d)))
            return before + timedelta(days=day) + draw(st.timedeltas(timedelta(0), timedelta(days=2)))
    return instant


def _changes(zone: ZoneInfo, instant: datetime) -> bool:
    after = instant + timedelta(days=1)
    return instant.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset()


@given(rotation=rotations, draw=st.data())
def test_at_every_instant_the_shift_that_holds_is_around_it(rotation: Rotation, draw: st.DataObject) -> None:
    zone = rotation.zone  # type: ignore[attr-defined]
    instant = draw.draw(st.one_of(instants, instants_near_a_change(zone)))

    shift = rotation.shift_at(instant)

    assert shift.since <= instant < shift.until
    assert shift.engineer in rotation.members  # type: ignore[attr-defined]
    # Wherever in the shift one asks, the answer is the same: exactly one person.
    inside = shift.since + (shift.until - shift.since) * draw.draw(st.floats(0, 0.999))
    assert rotation.shift_at(inside) == shift
    assert rotation.shift_at(shift.since) == shift
    assert rotation.shift_at(shift.until - timedelta(microseconds=1)) == shift
    assert rotation.shift_at(shift.until) != shift


@given(rotation=rotations, draw=st.data(), days=st.integers(1, 60))
def test_shifts_touch_and_cover_every_stretch(rotation: Rotation, draw: st.DataObject, days: int) -> None:
    since = draw.draw(instants_near_a_change(rotation.zone))  # type: ignore[attr-defined]
    until = since + timedelta(days=days)

    found = list(shifts(rotation, since=since, until=until))

    assert found[0].since <= since
    assert found[-1].until >= until
    assert all(one.until == after.since for one, after in pairwise(found))
    assert all(one.since < one.until for one in found)


@given(rotation=handoff, draw=st.data())
def test_hand_offs_are_at_the_wall_clock_time_and_at_its_first_pass(
    rotation: HandoffRotation, draw: st.DataObject
) -> None:
    instant = draw.draw(instants_near_a_change(rotation.zone))

    begins = rotation.shift_at(instant).since.astimezone(rotation.zone)

    assume(_exists(begins.date(), rotation.at, rotation.zone))
    assert begins.time().replace(fold=0) == rotation.at
    assert begins.fold == 0
    assert (begins.date() - rotation.starts_on).days % rotation.every_days == 0


@given(rotation=weekly, draw=st.data())
def test_a_weekly_turn_is_the_members_at_week_modulo_members(
    rotation: WeeklyRotation, draw: st.DataObject
) -> None:
    instant = draw.draw(instants)

    shift = rotation.shift_at(instant)

    week = shift.since.astimezone(rotation.zone).isocalendar().week
    assert shift.engineer == rotation.members[week % len(rotation.members)]
    assert shift.since.astimezone(rotation.zone).weekday() == 0


@given(year=st.integers(2001, 2099), members=st.integers(1, 9))
def test_a_year_has_as_many_weekly_turns_as_iso_weeks(year: int, members: int) -> None:
    team = tuple(f"e{i}" for i in range(members))
    weeks = date(year, 12, 28).isocalendar().week
    first = datetime.combine(date.fromisocalendar(year, 1, 1), time(0), tzinfo=UTC)
    next_first = datetime.combine(date.fromisocalendar(year + 1, 1, 1), time(0), tzinfo=UTC)

    found = list(shifts(WeeklyRotation(team, ZoneInfo("UTC")), since=first, until=next_first))

    assert [one.engineer for one in found] == [team[week % members] for week in range(1, weeks + 1)]


def test_a_53_week_year_ends_with_its_week_53() -> None:
    rotation = WeeklyRotation(TEAM, ZoneInfo("UTC"))

    engineers = [rotation.shift_at(datetime(2026, 12, day, 12, tzinfo=UTC)).engineer for day in (21, 28)] + [
        rotation.shift_at(datetime(2027, 1, day, 12, tzinfo=UTC)).engineer for day in (3, 4, 11)
    ]

    # Weeks 52 and 53 of 2026, still 53, then 1 and 2 of 2027.
    assert engineers == ["ada", "grace", "grace", "grace", "edsger"]


@pytest.mark.parametrize(
    ("day", "at", "expected"),
    [
        # 29 March 2026: 02:00 to 03:00 is leapt over; shifted forward by the leap.
        (date(2026, 3, 29), time(2, 30), datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
        (date(2026, 3, 29), time(1, 59), datetime(2026, 3, 29, 0, 59, tzinfo=UTC)),
        (date(2026, 3, 29), time(3, 0), datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
        # 25 October 2026: 02:00 to 03:00 comes twice; the first pass counts.
        (date(2026, 10, 25), time(2, 30), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        (date(2026, 10, 25), time(3, 0), datetime(2026, 10, 25, 2, 0, tzinfo=UTC)),
    ],
)
def test_wall_clock_times_around_berlins_changes(day: date, at: time, expected: datetime) -> None:
    assert wall_clock(day, at, zone=BERLIN) == expected


def test_a_daily_shift_is_23_hours_in_spring_and_25_in_autumn() -> None:
    rotation = HandoffRotation(TEAM, BERLIN, time(9), 1, date(2026, 1, 1))

    spring = rotation.shift_at(datetime(2026, 3, 29, 0, tzinfo=UTC))
    autumn = rotation.shift_at(datetime(2026, 10, 25, 0, tzinfo=UTC))

    assert spring.until - spring.since == timedelta(hours=23)
    assert autumn.until - autumn.since == timedelta(hours=25)


def test_the_day_that_samoa_left_out_is_nobodys_shift() -> None:
    rotation = HandoffRotation(TEAM, ZoneInfo("Pacific/Apia"), time(12), 1, date(2011, 12, 28))

    found = list(
        shifts(
            rotation,
            since=datetime(2011, 12, 28, 22, tzinfo=UTC),
            until=datetime(2012, 1, 1, 22, tzinfo=UTC),
        )
    )

    # Noon of the 30th never was; it falls on that of the 31st, and the turn of the 30th is empty.
    assert [one.engineer for one in found] == ["ada", "grace", "barbara", "ada"]


def _exists(day: date, at: time, zone: ZoneInfo) -> bool:
    instant = wall_clock(day, at, zone=zone)
    return instant.astimezone(zone).replace(tzinfo=None) == datetime.combine(day, at)
