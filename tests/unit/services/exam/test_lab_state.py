"""The lab put back, and compared with what it was."""

from types import SimpleNamespace
from typing import cast

from scenarios.access import ADMINISTERED, LabAccess
from scenarios.baseline import Baseline
from services.exam.faults import Faults
from services.exam.lab_state import LabState
from services.exam.prometheus import Prometheus
from services.exam.store import RunRow

BEFORE = Baseline(
    settings={},
    set_by_operators=(),
    releases={},
    records={},
    rules="",
    planned_per_s=8,
    schema_digest="",
    reference={},
    conserved={},
    rows={},
)


def test_a_lab_that_cannot_be_compared_is_not_as_it_was_and_stops_nothing() -> None:
    nobody = LabAccess(urls=dict.fromkeys(ADMINISTERED, "http://127.0.0.1:1"))
    faults = cast(Faults, SimpleNamespace(restore=list))
    state = LabState(nobody, faults=faults, prometheus=cast(Prometheus, None), rounds=1, routes=())
    row = cast(RunRow, SimpleNamespace(world=BEFORE.model_dump(mode="json")))

    [left] = state.restore(row)

    assert left.startswith("dns: no answer to GET /ops/settings")
