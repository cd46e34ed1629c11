"""What a machine makes of each service's OpenAPI: no answer is a 500, none is undeclared."""

from collections.abc import Iterator

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, GenerationMode
from schemathesis.specs.openapi import checks

from services.gateway.app import PASSED_THROUGH
from tests.books import Books
from tests.conftest import SHOP, RunningService, Shop

EXAMPLES = 12
PLATFORM = (
    "notification-service",
    "oncall-service",
    "incident-management",
    "alert-ingestion",
    "telemetry",
)
CHANGE_SETTINGS = "PATCH /ops/settings"
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]


@pytest.fixture(scope="module")
def whole_shop(standing_shop: Shop) -> Shop:
    """Every service, as it runs outside a demo."""
    standing_shop.start_all(ENV="local")
    return standing_shop


@pytest.fixture(scope="module")
def whole_platform(standing_shop: Shop) -> Shop:
    """The services that page somebody, as they run outside a demo."""
    standing_shop.start(*PLATFORM, ENV="local")
    return standing_shop


@pytest.fixture
def balanced(whole_shop: Shop, standing_books: Books) -> Books:
    """Whatever is sent, money and stock are conserved."""
    # The generated operator may have sent the fraud check elsewhere.
    whole_shop["dns"].client.put("/ops/records/fraud-api", json={"address": "127.0.0.1"})
    return standing_books


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """One client, so that connections are kept."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


def operations(service: RunningService, *, asked_at: RunningService | None = None) -> list[APIOperation]:
    """The operations of a running service's own ``/openapi.json``, perhaps asked at another one."""
    schema = schemathesis.openapi.from_dict(service.client.get("/openapi.json").json())
    schema.config.update(base_url=(asked_at or service).url)
    return [found.ok() for found in schema.get_all_operations()]


def fuzz(operation: APIOperation, mode: GenerationMode, session: requests.Session) -> int:
    """Send generated requests, the same in every run; returns how many. Raises what the checks find."""
    sent = 0

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: schemathesis.Case) -> None:
        nonlocal sent
        sent += 1
        case.call_and_validate(session=session, checks=CHECKS)

    send()
    return sent


def fuzz_both_ways(operation: APIOperation, session: requests.Session) -> int:
    """Ask as one may and as one may not; returns how many requests were made."""
    sent = fuzz(operation, GenerationMode.POSITIVE, session)
    if not operation.body and not list(operation.iter_parameters()):
        return sent
    try:
        return sent + fuzz(operation, GenerationMode.NEGATIVE, session)
    except Unsatisfiable:
        # All it takes is text, and no text is wrong.
        return sent


@pytest.mark.parametrize("name", SHOP)
def test_no_generated_request_is_answered_with_a_500_or_an_undeclared_status(
    whole_shop: Shop, balanced: Books, session: requests.Session, name: str
) -> None:
    found = [one for one in operations(whole_shop[name]) if one.label != CHANGE_SETTINGS]

    sent = [fuzz_both_ways(one, session) for one in found]

    assert len(found) >= 5
    assert min(sent) >= 1
    assert sum(sent) > EXAMPLES * len(found) / 2


@pytest.mark.parametrize("name", PLATFORM)
def test_no_generated_request_to_the_platform_is_answered_with_a_500_or_an_undeclared_status(
    whole_platform: Shop, session: requests.Session, name: str
) -> None:
    found = [one for one in operations(whole_platform[name]) if one.label != CHANGE_SETTINGS]

    sent = [fuzz_both_ways(one, session) for one in found]

    assert len(found) >= 5
    assert sum(sent) > EXAMPLES * len(found) / 2


@pytest.mark.parametrize("name", ["payment", "profile"])
def test_what_is_passed_through_the_gateway_holds_to_the_openapi_of_the_service_behind_it(
    whole_shop: Shop, balanced: Books, session: requests.Session, name: str
) -> None:
    passed = {f"{method} {path}" for method, path, dependency in PASSED_THROUGH if dependency == name}
    found = operations(whole_shop[name], asked_at=whole_shop["gateway"])
    through = [one for one in found if one.label in passed]

    sent = [fuzz_both_ways(one, session) for one in through]

    assert len(through) == len(passed)
    assert min(sent) >= 1


@pytest.mark.parametrize("name", SHOP)
def test_no_generated_change_of_settings_is_answered_with_a_500_or_an_undeclared_status(
    whole_shop: Shop, balanced: Books, session: requests.Session, name: str
) -> None:
    service = whole_shop[name]
    [change] = [one for one in operations(service) if one.label == CHANGE_SETTINGS]

    sent = fuzz_both_ways(change, session)

    known = service.client.get("/ops/settings").json()["settings"]
    assert service.set(**dict.fromkeys(known)).status_code == 200
    assert sent > EXAMPLES / 2
