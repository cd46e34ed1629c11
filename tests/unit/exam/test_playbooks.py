"""Which playbook the reference agent takes for what it sees."""

from dataclasses import replace

import pytest

from exam.agents.guesser import everything
from exam.agents.observations import Blocker, Normal, Observed, _profile
from exam.agents.playbooks import PLAYBOOKS, choose
from scenarios.model import load_all
from services.exam.diagnosis import COMPONENTS, Diagnosis

BEFORE = Normal(fraud_address="127.0.0.1")
NOTHING = Observed(
    alerts=frozenset({"GatewayHighErrorRatio"}),
    error_share=0.1,
    fraud_status="NOERROR",
    fraud_unreachable=False,
    blocker=None,
    profile_leaks=False,
    profile_scans=False,
    refused_card_range=None,
)
PROFILE_PAGES = replace(NOTHING, alerts=frozenset({"ProfileHighLatency", "GatewayHighLatency"}))


@pytest.mark.parametrize(
    ("seen", "mechanism", "trigger"),
    [
        (replace(NOTHING, fraud_status="NXDOMAIN"), "record-missing", "zone-change"),
        (replace(NOTHING, fraud_unreachable=True), "record-stale", "zone-change"),
        (replace(NOTHING, blocker=Blocker(7, "stock-take")), "lock-held", "batch-job"),
        (replace(NOTHING, blocker=Blocker(7, "back-office")), "lock-held", "manual-session"),
        (replace(PROFILE_PAGES, profile_leaks=True, profile_scans=True), "several-regressions", "release"),
        (replace(PROFILE_PAGES, profile_leaks=True), "connection-leak", "release"),
        (replace(PROFILE_PAGES, profile_scans=True), "missing-index", "release"),
        (replace(NOTHING, refused_card_range="424242"), "card-range-declined", "partner-change"),
    ],
)
def test_each_incident_is_told_by_its_signs(seen: Observed, mechanism: str, trigger: str) -> None:
    chosen = choose(BEFORE, seen)

    assert chosen is not None
    assert (chosen.mechanism, chosen.trigger) == (mechanism, trigger)


def test_a_page_without_any_sign_gives_no_playbook() -> None:
    assert choose(BEFORE, NOTHING) is None


def test_only_a_statement_that_looks_for_users_by_an_expression_is_taken_for_a_scan() -> None:
    columns = "SELECT id, email, profile.lookup_key(email) AS account_key FROM profile.users"
    by_id, by_key = f"{columns} WHERE id = 7", f"{columns} WHERE profile.lookup_key(email) = 'x'"

    assert _profile({"rows": [["idle in transaction", 3.0, by_id]]}) == (True, False)
    assert _profile({"rows": [["active", 0.1, by_key]]}) == (False, True)


def test_there_is_a_playbook_for_what_is_true_of_each_scenario() -> None:
    known = {(one.component, one.mechanism, one.trigger) for one in PLAYBOOKS}
    truths = [one.truth for one in load_all().values() if one.truth.component != "none"]

    missing = [(one.component, one.mechanism, one.trigger) for one in truths]

    assert set(missing) - known == set()


def test_the_guesser_claims_every_component() -> None:
    said = {"components": list(COMPONENTS), "mechanisms": {"none": ""}, "triggers": {"none": ""}}

    claimed = Diagnosis.model_validate(everything(said))

    assert claimed.component == COMPONENTS
