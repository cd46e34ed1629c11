"""Which level of a policy is due, and when."""

from datetime import UTC, datetime, timedelta

import pytest

from services.oncall.escalations import LastStep, due_level
from services.oncall.schemas import Level

CREATED = datetime(2026, 11, 2, 9, tzinfo=UTC)
DELAY = timedelta(seconds=300)
LEVELS = [Level(target="next_on_call"), Level(target="engineer", engineer="boss", after_s=60.0)]


def due(*, seconds: float, last: LastStep | None = None, levels: list[Level] = LEVELS) -> int | None:
    now = CREATED + timedelta(seconds=seconds)
    return due_level(levels, created_at=CREATED, last=last, delay=DELAY, now=now)


@pytest.mark.parametrize(("seconds", "level"), [(0, None), (299.9, None), (300, 1), (9999, 1)])
def test_the_first_level_is_due_its_delay_after_the_incident_began(seconds: float, level: int | None) -> None:
    assert due(seconds=seconds) == level


@pytest.mark.parametrize(("seconds", "level"), [(400, None), (559, None), (560, 2), (9999, 2)])
def test_a_further_level_waits_from_the_step_before_even_when_that_was_late(
    seconds: float, level: int | None
) -> None:
    late = LastStep(1, CREATED + timedelta(seconds=500))

    assert due(seconds=seconds, last=late) == level


def test_after_the_last_level_nothing_is_due() -> None:
    assert due(seconds=99999, last=LastStep(2, CREATED)) is None


def test_a_policy_without_levels_never_escalates() -> None:
    assert due(seconds=99999, levels=[]) is None


def test_a_policy_that_was_cut_short_does_not_escalate_further() -> None:
    assert due(seconds=99999, last=LastStep(5, CREATED)) is None
