"""What the brief tells, and when."""

from types import SimpleNamespace
from typing import cast

import pytest

from services.exam.candidate import customers_complain
from services.exam.store import RunRow


@pytest.mark.parametrize(
    ("state", "elapsed_s", "told"),
    [
        ("created", 0.0, False),
        ("soaking", 19.0, False),
        ("running", 21.0, False),
        ("running", 79.0, False),
        ("running", 80.0, True),
        ("graded", 30.0, True),
    ],
)
def test_customers_call_a_minute_after_the_fault(state: str, elapsed_s: float, told: bool) -> None:
    under_way = state in ("soaking", "running")
    row = SimpleNamespace(state=state, elapsed_s=elapsed_s, soak_s=20.0, is_under_way=under_way)

    assert customers_complain(cast(RunRow, row)) is told
