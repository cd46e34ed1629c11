"""The whole blind lab plays each scenario: somebody is paged, nothing tells the fault, it all recovers."""

import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from scenarios.model import ExpectedAlert, Scenario, load_all
from tests.lab import playing, wait_for
from tests.leaks import everything, leaks

SCENARIOS = load_all()
SOAK_S = 6
PAGED_WITHIN_S = 45
LOOK_S = 14
"""What a candidate can fetch is fetched while the fault holds."""
REQUESTS_PER_S = 8
"""About what the load sends."""
STATUSES: dict[str, set[str]] = {
    "card-decline": {"500"},
    "connection-leak": {"500"},
    "forgotten-session": {"500", "504"},
    "incident-b": {"500"},
    "inventory-timeout": {"504"},
    "missing-index": set(),
    "payment-dns": {"503"},
    "quiet-night": set(),
    "stale-record": {"503"},
}
"""With what the gateway answers on the affected routes."""
BREAKS_MORE = {"forgotten-session"}
"""Its truth names some of the routes that it breaks, which is every one of the payment service."""
MONEY = text(
    "SELECT (SELECT sum(balance) FROM payment.account_balances)"
    " + sum(CASE kind WHEN 'payment' THEN amount ELSE -amount END)"
    " FROM payment.transactions WHERE status = 'captured'"
)
STOCK = text(
    "SELECT (SELECT sum(available) FROM inventory.stock) + coalesce((SELECT sum((item ->> 'quantity')::int)"
    " FROM inventory.reservations, jsonb_array_elements(items) AS item WHERE status = 'reserved'), 0)"
)
UNFINISHED = text(
    "SELECT (SELECT count(*) FROM payment.transactions WHERE status = 'pending')"
    " + (SELECT count(*) FROM payment.releases WHERE released_at IS NULL)"
)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_pages_names_no_fault_breaks_nothing_else_recovers_and_conserves(
    tmp_path: Path, name: str
) -> None:
    scenario = SCENARIOS[name]
    paged_within_s = max([PAGED_WITHIN_S, *(alert.within_s for alert in _pages(scenario))])
    hold_s = paged_within_s + LOOK_S
    with playing(name, tmp_path, soak_s=SOAK_S, hold_s=hold_s, LAB_BLIND="true") as lab:
        money, stock = lab.ask(MONEY), lab.ask(STOCK)
        wait_for(lambda: lab.phase() == "soak", within_s=30, show=lab.output)
        healthy = lab.server_errors()
        wait_for(lambda: lab.phase() == "hold", within_s=SOAK_S + 20, show=lab.output)
        began_s = time.monotonic()

        for alert in _pages(scenario):
            paged = partial(lab.is_paged, service=alert.service, severity=alert.severity)
            wait_for(paged, within_s=paged_within_s, show=lab.output)
        # Errors that mount up after the page are the symptom, too; those of our own looking around are not.
        time.sleep(max(0.0, began_s + PAGED_WITHIN_S - 10 - time.monotonic()))
        broken = lab.server_errors() - healthy
        broken_s = time.monotonic() - began_s
        seen = dict(everything(lab, tmp_path)) if _pages(scenario) else {}
        assert lab.phase() == "hold"

        wait_for(lambda: lab.phase() == "rest", within_s=hold_s + 20, show=lab.output)
        # What was under way when the fault was taken back may still end badly.
        time.sleep(6)
        before = lab.server_errors()
        time.sleep(5)
        after = lab.server_errors() - before
        wait_for(lambda: lab.ask(UNFINISHED) == 0, within_s=20, show=lab.output)

        assert not leaks(seen)
        assert len(seen) > 150 or not _pages(scenario), sorted(seen)
        _assert_only_what_is_affected_breaks(scenario, broken, seconds=broken_s)
        assert not after
        expected = {(alert.service, alert.severity) for alert in scenario.expected_alerts}
        assert {(i["service"], i["severity"]) for i in lab.incidents()} <= expected
        assert lab.ask(MONEY) == money
        assert lab.ask(STOCK) == stock


def _pages(scenario: Scenario) -> list[ExpectedAlert]:
    """The alerts for which somebody is called: the critical ones, or those next to them."""
    worst = next(
        (s for s in ("critical", "high") if s in {a.severity for a in scenario.expected_alerts}), None
    )
    return [alert for alert in scenario.expected_alerts if alert.severity == worst]


def _assert_only_what_is_affected_breaks(
    scenario: Scenario, broken: Counter[tuple[str, str]], *, seconds: float
) -> None:
    affected, spared = (
        {route.partition(" ")[2] for route in routes}
        for routes in (scenario.truth.affected, scenario.truth.not_affected)
    )
    if scenario.name in BREAKS_MORE:
        affected = {route for route, _ in broken} - spared
    symptom = Counter({where: count for where, count in broken.items() if where[0] in affected})
    statuses = {status for (_, status), count in symptom.items() if count >= 2}
    assert statuses == STATUSES[scenario.name], broken
    # One in a hundred elsewhere, as a busy machine has it; the symptom itself is far above that.
    assert (broken - symptom).total() <= 0.01 * REQUESTS_PER_S * seconds, broken
