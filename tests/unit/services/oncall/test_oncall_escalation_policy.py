"""Which level of a policy is due, and when."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from services.oncall.escalations import LastStep, due_level
from services.oncall.schemas import Level, OpenIncident

CREATED = datetime(2026, 11, 2, 9, tzinfo=UTC)
DELAY = timedelta(seconds=300)
LEVELS = [Level(target="next_on_call"), Level(target="engineer", engineer="boss", after_s=60.0)]


def at(seconds: float) -> datetime:
    return CREATED + timedelta(seconds=seconds)


def due(
    *,
    seconds: float,
    last: LastStep | None = None,
    levels: list[Level] = LEVELS,
    assigned_to: str | None = "ada",
    changed: float = 0,
    seen: float = 0,
) -> int | None:
    """What is due so many seconds after the creation; ``changed`` and ``seen`` count from there too."""
    incident = OpenIncident(
        id=UUID(int=1),
        title="t",
        service="payment",
        assigned_to=assigned_to,
        created_at=CREATED,
        updated_at=at(changed),
    )
    return due_level(levels, incident, seen_at=at(seen), last=last, delay=DELAY, now=at(seconds))


@pytest.mark.parametrize(("seconds", "level"), [(0, None), (299.9, None), (300, 1), (9999, 1)])
def test_the_first_level_is_due_its_delay_after_the_incident_began(seconds: float, level: int | None) -> None:
    assert due(seconds=seconds) == level


@pytest.mark.parametrize(("seconds", "level"), [(400, None), (559, None), (560, 2), (9999, 2)])
def test_a_further_level_waits_from_the_step_before_even_when_that_was_late(
    seconds: float, level: int | None
) -> None:
    late = LastStep(1, CREATED + timedelta(seconds=500))

    assert due(seconds=seconds, last=late) == level


@pytest.mark.parametrize(("seconds", "level"), [(360, None), (661, None), (662, 1)])
def test_who_was_asked_for_late_has_the_whole_wait(seconds: float, level: int | None) -> None:
    """On-call was away for six minutes: it sees the incident then, and two seconds later it is somebody's."""
    assert due(seconds=360, seen=360, assigned_to=None) is None
    assert due(seconds=seconds, seen=360, changed=362) == level


@pytest.mark.parametrize(("seconds", "level"), [(659, None), (660, 1)])
def test_what_stays_nobodys_is_due_a_wait_after_it_was_seen(seconds: float, level: int | None) -> None:
    assert due(seconds=seconds, seen=360, assigned_to=None) == level


@pytest.mark.parametrize(("seconds", "level"), [(1205, None), (1499, None), (1500, 1)])
def test_what_became_critical_late_is_due_a_wait_after_that(seconds: float, level: int | None) -> None:
    assert due(seconds=seconds, changed=1200, seen=1203) == level


@pytest.mark.parametrize(("seconds", "level"), [(599, None), (600, 1)])
def test_what_is_handed_on_again_and_again_is_due_after_twice_the_wait(
    seconds: float, level: int | None
) -> None:
    assert due(seconds=seconds, changed=seconds - 1) == level


@pytest.mark.parametrize(("seconds", "level"), [(519, None), (520, 2)])
def test_a_further_level_waits_no_longer_when_it_is_handed_on_again_and_again(
    seconds: float, level: int | None
) -> None:
    assert due(seconds=seconds, changed=seconds - 1, last=LastStep(1, at(400))) == level


def test_a_process_that_has_begun_anew_makes_nobody_wait_again() -> None:
    assert due(seconds=300, seen=299) == 1


def test_after_the_last_level_nothing_is_due() -> None:
    assert due(seconds=99999, last=LastStep(2, CREATED)) is None


def test_a_policy_without_levels_never_escalates() -> None:
    assert due(seconds=99999, levels=[]) is None


def test_a_policy_that_was_cut_short_does_not_escalate_further() -> None:
    assert due(seconds=99999, last=LastStep(5, CREATED)) is None
