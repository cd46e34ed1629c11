"""The timeline: overrides over a rotation, consistent with who is on call at each instant."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from services.oncall.rotation import HandoffRotation, WeeklyRotation
from services.oncall.timeline import Plan, StandIn

UTC_ZONE = ZoneInfo("UTC")
MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
DAILY = HandoffRotation(("ada", "grace"), UTC_ZONE, time(9), 1, date(2026, 11, 2))
HOUR = timedelta(hours=1)

rotations = st.sampled_from(
    [
        DAILY,
        WeeklyRotation(("ada", "grace", "edsger"), ZoneInfo("America/New_York")),
        HandoffRotation(
            ("ada", "grace", "edsger"), ZoneInfo("Europe/Berlin"), time(2, 30), 1, date(2026, 3, 1)
        ),
    ]
)
hours = st.integers(-200, 600).map(lambda n: datetime(2026, 10, 20, tzinfo=UTC) + n * HOUR)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A rotation with up to six overrides, made one after the other."""
    spans = draw(st.lists(st.tuples(hours, st.integers(1, 300), st.booleans()), max_size=6))
    overrides = [
        StandIn(UUID(int=n), f"s{n}", begins, begins + length * HOUR, (is_own, n))
        for n, (begins, length, is_own) in enumerate(spans)
    ]
    return Plan(draw(rotations), overrides, "rotation")


@given(plan=plans(), since=hours, length=st.integers(1, 500))
def test_a_timeline_has_neither_gaps_nor_overlaps_and_keeps_to_its_bounds(
    plan: Plan, since: datetime, length: int
) -> None:
    until = since + length * HOUR

    turns = plan.turns(since=since, until=until)

    assert (turns[0].since, turns[-1].until) == (since, until)
    assert all(one.until == after.since for one, after in pairwise(turns))
    assert all(one.since < one.until for one in turns)


@given(plan=plans(), since=hours, length=st.integers(1, 300), share=st.floats(0, 0.9999))
def test_a_timeline_says_what_current_says_at_every_instant(
    plan: Plan, since: datetime, length: int, share: float
) -> None:
    until = since + length * HOUR
    instant = since + (until - since) * share

    current = plan.current(instant)

    (turn,) = [one for one in plan.turns(since=since, until=until) if one.since <= instant < one.until]
    assert (turn.engineer, turn.source, turn.override_id) == (
        current.engineer,
        current.source,
        current.override_id,
    )
    assert turn.since == max(since, current.since)
    assert turn.until == min(until, current.until)


@given(plan=plans(), instant=hours)
def test_the_override_made_last_wins_and_without_one_the_rotation_holds(
    plan: Plan, instant: datetime
) -> None:
    holding = [one for one in plan.overrides if one.starts_at <= instant < one.ends_at]
    expected = (
        max(holding, key=lambda one: one.rank).engineer
        if holding
        else plan.rotation.shift_at(instant).engineer
    )

    assert plan.current(instant).engineer == expected


def test_an_override_in_the_middle_of_a_shift_gives_it_back_afterwards() -> None:
    override = StandIn(UUID(int=1), "edsger", MONDAY + 12 * HOUR, MONDAY + 14 * HOUR, (True, 1))

    turns = Plan(DAILY, [override], "rotation").turns(since=MONDAY + 9 * HOUR, until=MONDAY + 33 * HOUR)

    assert [(one.engineer, one.since.hour, one.until.hour, one.source) for one in turns] == [
        ("ada", 9, 12, "rotation"),
        ("edsger", 12, 14, "override"),
        ("ada", 14, 9, "rotation"),
    ]


def test_a_later_override_inside_an_earlier_one_splits_it() -> None:
    earlier = StandIn(UUID(int=1), "edsger", MONDAY, MONDAY + 20 * HOUR, (True, 1))
    later = StandIn(UUID(int=2), "barbara", MONDAY + 5 * HOUR, MONDAY + 6 * HOUR, (True, 2))

    plan = Plan(DAILY, [later, earlier], "rotation")

    assert [(one.engineer, one.until.hour) for one in plan.turns(since=MONDAY, until=MONDAY + 20 * HOUR)] == [
        ("edsger", 5),
        ("barbara", 6),
        ("edsger", 20),
    ]
    assert plan.current(MONDAY + 7 * HOUR).since == MONDAY + 6 * HOUR


def test_the_same_persons_next_shift_is_a_turn_of_its_own() -> None:
    alone = HandoffRotation(("ada",), UTC_ZONE, time(9), 1, date(2026, 11, 2))

    turns = Plan(alone, [], "default").turns(since=MONDAY + 9 * HOUR, until=MONDAY + 57 * HOUR)

    assert [(one.engineer, one.since.day) for one in turns] == [("ada", 2), ("ada", 3)]


def test_who_comes_next_is_somebody_else_where_there_is_somebody() -> None:
    assert Plan(DAILY, [], "rotation").next_other(MONDAY + 10 * HOUR) == "grace"
    alone = HandoffRotation(("ada",), UTC_ZONE, time(9), 1, date(2026, 11, 2))
    assert Plan(alone, [], "rotation").next_other(MONDAY) == "ada"
