"""What ``SCENARIO`` may be, and what it means."""

import pytest

from scenarios.model import load_all
from scenarios.schedule import UnknownScenario, chosen
from scenarios.settings import ScheduleSettings
from services.common import catalog

KNOWN = load_all()


def test_cycle_plays_the_three_incidents_in_turn() -> None:
    names = [scenario.name for scenario in chosen("cycle", known=KNOWN)]

    assert names == ["incident-b", "payment-dns", "inventory-timeout"]


def test_none_plays_nothing() -> None:
    assert chosen("none", known=KNOWN) == []


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_name_repeats_that_scenario(name: str) -> None:
    assert [scenario.name for scenario in chosen(name, known=KNOWN)] == [name]


def test_an_unknown_name_is_answered_with_all_that_are_allowed() -> None:
    with pytest.raises(UnknownScenario) as error:
        chosen("incident-c", known=KNOWN)

    assert "'incident-c'" in str(error.value)
    for allowed in ("cycle", "none", *KNOWN):
        assert allowed in str(error.value)


def test_services_are_where_the_catalog_says_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DNS_URL", "http://dns.example:1")

    urls = ScheduleSettings(_env_file=None).urls  # type: ignore[call-arg]

    assert urls["dns"] == "http://dns.example:1"
    assert urls["profile"] == f"http://127.0.0.1:{catalog.service('profile').port}"
    assert set(urls) == {"gateway", "profile", "dns", "inventory", "payment"}


def test_the_order_of_a_scenarios_services_is_that_of_the_file_and_each_comes_once() -> None:
    fault = KNOWN["incident-b"].faults[0]
    other = KNOWN["payment-dns"].faults[0]

    scenario = KNOWN["incident-b"].model_copy(update={"faults": (fault, other, fault)})

    assert scenario.services == ("profile", "dns")


def test_other_durations_leave_the_rest_of_a_scenario_as_it_is() -> None:
    before = KNOWN["payment-dns"]

    after = before.with_timeline(hold_s=600)

    assert after.timeline.hold_s == 600
    assert (after.timeline.soak_s, after.timeline.rest_s) == (before.timeline.soak_s, before.timeline.rest_s)
    assert after.truth == before.truth
