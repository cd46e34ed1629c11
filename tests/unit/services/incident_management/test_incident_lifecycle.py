"""Which steps an incident may take, and what whoever is refused is told."""

from datetime import UTC, datetime
from itertools import product

import pytest

from services.common.errors import Conflict
from services.incident_management.lifecycle import check_step, sets_acknowledged
from services.incident_management.schemas import STATUSES, Status

NOON = datetime(2026, 2, 9, 12, tzinfo=UTC)
PAIRS = list(product(STATUSES, STATUSES))
FORWARD = [(now, wanted) for now, wanted in PAIRS if STATUSES.index(wanted) > STATUSES.index(now)]


@pytest.mark.parametrize(("now", "wanted"), FORWARD)
def test_every_step_forward_is_allowed(now: Status, wanted: Status) -> None:
    check_step(now, wanted, actor="ann", at=NOON)


@pytest.mark.parametrize(("now", "wanted"), [pair for pair in PAIRS if pair not in FORWARD])
def test_every_other_step_is_a_conflict(now: Status, wanted: Status) -> None:
    with pytest.raises(Conflict):
        check_step(now, wanted, actor=None, at=None)


def test_who_comes_second_learns_who_was_first_and_when() -> None:
    with pytest.raises(Conflict) as refusal:
        check_step("acknowledged", "acknowledged", actor="ann", at=NOON)

    assert refusal.value.detail == "already acknowledged by ann at 2026-02-09T12:00:00Z"


def test_who_wants_back_learns_why_not_and_what_else() -> None:
    with pytest.raises(Conflict) as refusal:
        check_step("resolved", "open", actor="ann", at=NOON)

    assert "resolved by ann" in refusal.value.detail
    assert "only moves forward" in refusal.value.detail
    assert refusal.value.detail.endswith("reopen it instead")


def test_working_on_an_incident_acknowledges_it_and_resolving_it_does_not() -> None:
    assert [status for status in STATUSES if sets_acknowledged(status)] == ["acknowledged", "in_progress"]
