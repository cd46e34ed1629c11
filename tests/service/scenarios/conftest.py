"""What the tests of the schedule share: one scenario, played on a clock of its own against a fake service."""

import io
from collections.abc import Iterator

import pytest
from fake_service import FakeService, Timeline

from scenarios.model import Scenario, load_all


@pytest.fixture
def incident() -> Scenario:
    """``incident-b``: healthy for 10 s, broken for 40 s, healthy for 30 s."""
    return load_all()["incident-b"].with_timeline(soak_s=10, hold_s=40, rest_s=30)


@pytest.fixture
def timeline() -> Timeline:
    return Timeline()


@pytest.fixture
def service(timeline: Timeline) -> Iterator[FakeService]:
    fake = FakeService(timeline)
    yield fake
    fake.stop()


@pytest.fixture
def log() -> io.StringIO:
    """What the schedule says."""
    return io.StringIO()
