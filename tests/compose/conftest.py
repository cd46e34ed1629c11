"""One compose lab for all tests of this folder; ``make test-compose`` runs them, on a Docker engine."""

from collections.abc import Iterator

import pytest

from tests.compose.engine import ComposeLab, standing


@pytest.fixture(scope="session")
def lab() -> Iterator[ComposeLab]:
    """The whole lab, quiet: nothing is scheduled to break."""
    with standing("firedrill-test", subnet="172.30.78") as lab:
        yield lab
