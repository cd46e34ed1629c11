"""The whole lab plays each scenario: its symptom and no other, recovery, money and stock as before."""

import time
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from scenarios.model import load_all
from tests.lab import playing, wait_for

SOAK_S, HOLD_S = 6, 50
PAGED_WITHIN_S = 45
REQUESTS = 8 * HOLD_S
"""About what the load sends while the fault holds."""
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


@pytest.mark.parametrize(
    ("scenario", "symptoms"),
    [
        ("incident-b", {("/api/users/profile/{user_id}", "500")}),
        ("payment-dns", {("/api/payment", "503"), ("/api/refund", "503")}),
        ("inventory-timeout", {("/api/payment", "504")}),
        ("quiet-night", set()),
    ],
)
def test_a_scenario_shows_its_symptom_pages_recovers_and_conserves_money_and_stock(
    tmp_path: Path, scenario: str, symptoms: set[tuple[str, str]]
) -> None:
    with playing(scenario, tmp_path, soak_s=SOAK_S, hold_s=HOLD_S) as lab:
        money, stock = lab.ask(MONEY), lab.ask(STOCK)
        wait_for(lambda: lab.phase() == "soak", within_s=30, show=lab.output)
        healthy = lab.server_errors()

        wait_for(lambda: lab.phase() == "hold", within_s=SOAK_S + 20, show=lab.output)
        expected = {(alert.service, alert.severity) for alert in load_all()[scenario].expected_alerts}
        for paged in (name for name, severity in expected if severity == "critical"):
            wait_for(partial(lab.is_paged, service=paged), within_s=PAGED_WITHIN_S, show=lab.output)
        wait_for(lambda: lab.phase() == "rest", within_s=HOLD_S + 20, show=lab.output)
        broken = lab.server_errors() - healthy

        # What was under way when the fault was taken back may still end badly.
        time.sleep(6)
        before = lab.server_errors()
        time.sleep(5)
        after = lab.server_errors() - before
        wait_for(lambda: lab.ask(UNFINISHED) == 0, within_s=20, show=lab.output)

        assert all(broken[symptom] >= 2 for symptom in symptoms)
        elsewhere = sum(count for where, count in broken.items() if where not in symptoms)
        # One in a hundred, as a busy machine has it; the symptom itself is far above that.
        assert elsewhere <= 0.01 * REQUESTS, broken
        assert not after
        assert {(i["service"], i["severity"]) for i in lab.incidents()} <= expected
        assert lab.ask(MONEY) == money
        assert lab.ask(STOCK) == stock
