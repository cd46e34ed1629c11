"""What the brief tells, and when."""

from types import SimpleNamespace
from typing import cast

import pytest

from scenarios.access import from_environment
from services.exam.candidate import customers_complain
from services.exam.store import RunRow
from services.exam.wiring import places


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


BETWEEN_CONTAINERS = {
    "GATEWAY_URL": "http://gateway:8010",
    "PROMETHEUS_URL": "http://prometheus:9090",
    "DATABASE_URL": "postgresql://examiner:secret@postgres:5432/firedrill",
}


def test_the_brief_names_the_addresses_that_containers_are_published_on() -> None:
    published = {"PUBLISHED_ON": "10.0.0.5", "GATEWAY_PORT": "18010", "POSTGRES_PORT": "15432"}
    environ = {**BETWEEN_CONTAINERS, **published}

    told = places(from_environment(environ), environ)

    assert told["gateway"] == "http://10.0.0.5:18010"
    assert told["prometheus"] == "http://10.0.0.5:9090"
    assert told["database"] == "postgresql://candidate@10.0.0.5:15432/firedrill"


def test_what_is_published_on_every_address_is_found_on_this_machines() -> None:
    environ = {**BETWEEN_CONTAINERS, "PUBLISHED_ON": "0.0.0.0", "GATEWAY_PORT": ""}

    told = places(from_environment(environ), environ)

    assert told["gateway"] == "http://127.0.0.1:8010"


def test_without_containers_the_brief_names_the_services_own_addresses() -> None:
    environ = {"GATEWAY_URL": "http://192.0.2.7:8010", "DATABASE_URL": "postgresql://e:s@192.0.2.7:5433/lab"}

    told = places(from_environment(environ), environ)

    assert told["gateway"] == "http://192.0.2.7:8010"
    assert told["database"] == "postgresql://candidate@192.0.2.7:5433/lab"
