"""Each scenario through real Prometheus and Alertmanager to a page; containers that die on the way."""

import threading
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitoring.grafana import check
from scenarios.model import load_all
from tests.compose.engine import ComposeLab, wait_for
from tests.compose.playing import (
    HOLD_S,
    PAGED_WITHIN_S,
    PHASE,
    PLAYED_BY_THE_EXAM,
    SINCE_THE_FAULT_S,
    firing,
    is_paged,
    is_quiet,
    is_somebody_paged,
    play,
    told,
)
from tests.storm import post_all

SCENARIOS = load_all()


def pays(lab: ComposeLab) -> bool:
    """Whether a small payment goes through."""
    body = {"customer_id": 2, "amount": "5.00"}
    return httpx.post(lab.url("gateway") + "/api/payment", json=body, timeout=10, trust_env=False).is_success


@pytest.fixture(scope="module", autouse=True)
def _quiet_again(lab: ComposeLab) -> Any:
    """What the tests before this module have broken is no alert any more."""
    wait_for(partial(is_quiet, lab), within_s=90, what="no alert fires")
    yield
    lab.up("schedule")


def test_the_candidates_commands_find_the_lab_in_containers(lab: ComposeLab, tmp_path: Path) -> None:
    trace_id = httpx.get(lab.url("gateway") + "/api/stats", trust_env=False).headers["x-trace-id"]
    telemetry = partial(lab.get, "telemetry", f"/api/v1/traces/{trace_id}")
    wait_for(telemetry, within_s=15, what="the trace is stored")
    answers = {
        ("psql", "-c", "SELECT count(*) AS found FROM payment.customers"): "found",
        ("dig", "fraud-api"): "172.30.78.",
        ("query", "sum(up)"): "{}",
        ("logs", "gateway", "--since", "5m", "-n", "5"): "request.finished",
        ("trace", trace_id): "GET /api/stats",
        ("ops", "get", "payment"): "deadline_s",
        ("ops", "record", "fraud-api"): "172.30.78.",
        ("incident", "list"): "severity",
    }

    said = {words: told(lab, *words, folder=tmp_path) for words in answers}

    assert {words: text for words, text in said.items() if answers[words] not in text} == {}


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != PLAYED_BY_THE_EXAM])
def test_a_scenario_pages_within_a_minute_opens_no_other_incident_and_resolves(
    lab: ComposeLab, name: str
) -> None:
    scenario = SCENARIOS[name]
    play(lab, name)
    expected = {(alert.service, alert.severity) for alert in scenario.expected_alerts}

    if expected:
        paged = partial(is_somebody_paged, lab, scenario)
        wait_for(paged, within_s=PAGED_WITHIN_S, what="somebody is paged")
        took_s = float(lab.psql(SINCE_THE_FAULT_S))
        print(f"\n{name}: paged {took_s:.0f} s after the fault")
        assert took_s < PAGED_WITHIN_S
    else:
        wait_for(lambda: lab.psql(PHASE) == "rest", within_s=HOLD_S + 20, what="the night is over")
    # The schedule takes back what it broke before it ends, and its successor breaks nothing.
    lab.up("schedule")
    wait_for(partial(is_quiet, lab), within_s=120, what="no alert fires any more")

    opened = {(i["service"], i["severity"]) for i in lab.incidents() if i["status"] != "resolved"}
    assert opened <= expected


def test_every_query_of_every_dashboard_finds_something(
    lab: ComposeLab, capsys: pytest.CaptureFixture[str]
) -> None:
    """What Grafana would ask, after incidents that were resolved."""
    lab.resolve_all()
    password = lab.environment["OBSERVER_DB_PASSWORD"]
    postgres = f"postgresql://observer:{password}@127.0.0.1:{lab.port('POSTGRES_PORT')}/firedrill"

    code = check.main(["--prometheus", lab.url("prometheus"), "--postgres", postgres, "--within", "60"])

    assert code == 0, capsys.readouterr().out


def test_a_cause_is_quiet_while_a_symptom_of_its_service_pages(lab: ComposeLab) -> None:
    symptom = {"alertname": "Symptom", "service": "till", "severity": "critical", "page": "true"}
    cause = {"alertname": "Cause", "service": "till", "severity": "medium"}
    posted = [{"labels": labels} for labels in (symptom, cause, {**cause, "service": "safe"})]

    httpx.post(lab.url("alertmanager") + "/api/v2/alerts", json=posted, trust_env=False).raise_for_status()

    def quiet() -> list[str]:
        alerts = lab.get("alertmanager", "/api/v2/alerts", filter='service=~"till|safe"')
        inhibited = [one["labels"] for one in alerts if one["status"]["inhibitedBy"]]
        return [f"{labels['alertname']} of {labels['service']}" for labels in inhibited]

    wait_for(lambda: quiet() == ["Cause of till"], within_s=15, what="the till's cause alone is quiet")


def test_alertmanager_that_dies_in_a_fault_pages_when_it_is_back(lab: ComposeLab) -> None:
    play(lab, PLAYED_BY_THE_EXAM)
    lab.kill("alertmanager")
    wait_for(lambda: ("PaymentHighErrorRatio", "payment") in firing(lab), within_s=60, what="the alert fires")

    lab.start("alertmanager")

    wait_for(partial(is_paged, lab, service="payment"), within_s=60, what="payment pages")


@pytest.mark.parametrize("victim", ["alert-ingestion", "incident-management", "postgres"])
def test_no_alert_that_was_answered_2xx_is_lost_when_a_container_is_killed(
    lab: ComposeLab, victim: str
) -> None:
    service = f"lost-and-found-{victim}"
    bodies = [{"service": service, "severity": "high", "message": f"number {n}"} for n in range(600)]
    killed = threading.Event()
    lab.up()

    def kill_in_the_middle(answered: int) -> None:
        if answered == 100 and not killed.is_set():
            killed.set()
            lab.kill(victim)
            lab.start(victim)

    storm = post_all([lab.url("alert-ingestion")], bodies, clients=8, after=kill_in_the_middle)
    assert killed.is_set()
    accepted = storm.accepted_ids
    assert len(accepted) >= 100

    def all_in_an_incident() -> bool:
        found = lab.psql(
            f"SELECT id FROM incident.alerts WHERE service = '{service}' AND incident_id IS NOT NULL"
        )
        return accepted <= set(found.split())

    wait_for(all_in_an_incident, within_s=60, what="every acknowledged alert is in an incident")
    # The alerts may have been in it before the one that was killed could be asked again.
    lab.up()
    found = [incident for incident in lab.incidents() if incident["service"] == service]
    assert len(found) == 1
    print(f"\n{victim} killed: {dict(storm.statuses)}, {len(accepted)} acknowledged, none lost")


def test_the_shop_works_again_after_postgres_was_killed(lab: ComposeLab) -> None:
    lab.kill("postgres")
    lab.start("postgres")

    lab.up()

    wait_for(lambda: lab.get("gateway", "/api/users/profile/1")["id"] == 1, within_s=30, what="profiles")


def test_a_person_breaks_the_lab_by_hand_and_puts_it_back(lab: ComposeLab, tmp_path: Path) -> None:
    started = told(lab, "scenario", "start", PLAYED_BY_THE_EXAM, folder=tmp_path)
    wait_for(lambda: not pays(lab), within_s=10, what="payments fail")

    stopped = told(lab, "scenario", "stop", folder=tmp_path)

    assert PLAYED_BY_THE_EXAM in started
    assert "the lab is as before" in stopped
    wait_for(partial(pays, lab), within_s=10, what="payments succeed")
