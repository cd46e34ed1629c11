"""What a machine makes of the OpenAPI of alert-ingestion and incident-management."""

from collections.abc import Iterator

import pytest
import requests

from tests.conftest import Shop
from tests.service.test_api_fuzzing import EXAMPLES, fuzz_both_ways, operations


@pytest.fixture(scope="module")
def platform(standing_shop: Shop) -> Shop:
    """Both services, as they run outside a demo."""
    standing_shop.start("incident-management", "alert-ingestion", ENV="local")
    return standing_shop


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """One client, so that connections are kept."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.mark.parametrize("name", ["alert-ingestion", "incident-management"])
def test_no_generated_request_is_answered_with_a_500_or_an_undeclared_status(
    platform: Shop, session: requests.Session, name: str
) -> None:
    found = [one for one in operations(platform[name]) if "/api/v1/" in one.path]

    sent = [fuzz_both_ways(one, session) for one in found]

    assert len(found) >= 6
    assert min(sent) >= 1
    assert sum(sent) > EXAMPLES * len(found) / 2
