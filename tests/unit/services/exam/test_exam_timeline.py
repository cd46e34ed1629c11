"""Who did what in a run."""

import pytest
from pydantic import TypeAdapter, ValidationError

from services.common.fields import OWN_ACTORS, OperatorName
from services.exam.grading.facts import is_person
from services.exam.timeline import named


@pytest.mark.parametrize("claimed", ["lab", "examiner", "payment", "prometheus"])
def test_who_changes_something_in_a_machines_name_is_taken_for_a_person(claimed: str) -> None:
    assert is_person(named(claimed))
    assert named("ana") == "ana"


@pytest.mark.parametrize("own", sorted(OWN_ACTORS))
def test_what_a_service_changes_by_itself_is_no_persons_and_nobody_can_say_so(own: str) -> None:
    assert not is_person(named(own))
    with pytest.raises(ValidationError):
        TypeAdapter(OperatorName).validate_python(own)
