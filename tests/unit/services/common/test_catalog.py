"""The table of services, and who needs whom."""

import pytest

from services.common.catalog import DEPENDS_ON, POSTGRES, SERVICES, steps_between


def test_only_services_of_the_lab_and_its_database_are_in_the_graph() -> None:
    named = {*DEPENDS_ON, *(name for called in DEPENDS_ON.values() for name in called)}

    assert named <= {POSTGRES, *(service.name for service in SERVICES)}


@pytest.mark.parametrize(
    ("one", "other", "steps"),
    [
        ("dns", "dns", 0),
        ("dns", "fraud", 1),
        ("payment", "dns", 2),
        ("gateway", "dns", 3),
        ("profile", "payment", 2),
        ("inventory", "postgres", 1),
        ("payment", "alert-ingestion", None),
    ],
)
def test_steps_count_whichever_side_calls(one: str, other: str, steps: int | None) -> None:
    assert steps_between(one, other) == steps
    assert steps_between(other, one) == steps
