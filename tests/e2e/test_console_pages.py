"""The pages Shop, On call and Lab in a browser."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from services.common.admin import BURST
from tests.conftest import Shop
from tests.console import WITHIN_MS, Visit, open_incident, sees

TOKEN = "a-token-that-only-the-examiner-has"
RULE = 'sum(rate(http_requests_total{service="payment",status=~"5.."}[30s])) > 0.1'


class _Prometheus(BaseHTTPRequestHandler):
    """Prometheus' HTTP API for one service that answers four requests a second, a tenth of them with 5xx."""

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(place.query).items()}
        body = json.dumps({"status": "success", "data": self._answer(place.path, query)}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        if path == "/api/v1/rules":
            rule = {"type": "alerting", "name": "PaymentHighErrorRatio", "query": RULE}
            return {"groups": [{"name": "payment", "rules": [rule]}]}
        start, end, step_s = float(query["start"]), float(query["end"]), int(query["step"])
        value = "0.25" if "quantile" in query["query"] else "0.1" if "5.." in query["query"] else "4"
        points = [[at, value] for at in range(int(start), int(end) + 1, step_s)]
        return {"resultType": "matrix", "result": [{"metric": {"service": "payment"}, "values": points}]}

    def log_message(self, *_: object) -> None:
        """Say nothing on standard error."""


@pytest.fixture
def prometheus(shop: Shop) -> Iterator[str]:
    """A Prometheus that knows one service and one rule; its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Prometheus)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    shop.environment["PROMETHEUS_URL"] = url
    yield url
    server.shutdown()
    thread.join()
    server.server_close()


def box(page: Page, name: str) -> Any:
    return page.get_by_role("region", name=name, exact=True)


def test_the_shop_page_draws_a_services_signals_and_marks_its_incidents(
    prometheus: str, console: Shop, visit: Visit
) -> None:
    open_incident(console, "Payments fail", service="payment")

    page = visit("/shop")

    payment = box(page, "payment")
    expect(payment.locator("figcaption")).to_have_text(
        ["Requests4.0 /s", "Errors (5xx)10.0 %", "Latency, p95250 ms"], timeout=WITHIN_MS
    )
    expect(payment.locator("svg")).to_have_count(3, timeout=WITHIN_MS)
    expect(payment.get_by_role("link", name="Critical")).to_be_visible()
    # The line where it began, and the line of the signal.
    expect(payment.locator('svg path[stroke="var(--critical-mark)"]')).to_have_count(3, timeout=WITHIN_MS)
    expect(box(page, "gateway")).to_contain_text("No HTTP requests in the last 30 minutes.")


def test_an_alert_leads_to_its_trace_and_to_its_query(prometheus: str, console: Shop, visit: Visit) -> None:
    console.start("alert-ingestion")
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    alert = {
        "service": "payment",
        "severity": "critical",
        "message": "Payments fail",
        "labels": {
            "alertname": "PaymentHighErrorRatio",
            "trace_id": trace_id,
            "region": "north",
            "runbook_url": "docs/x.md",
        },
    }
    answer = console["alert-ingestion"].client.post("/api/v1/alerts", json=alert)

    page = visit(f"/incidents/{answer.json()['incident_id']}")

    alerts = box(page, "Alerts")
    expect(alerts).to_contain_text("PaymentHighErrorRatio", timeout=WITHIN_MS)
    trace = alerts.get_by_role("link", name="Trace", exact=True)
    assert trace.get_attribute("href") == f"/traces/{trace_id}"
    expect(alerts).to_contain_text("region=north")
    expect(alerts).to_contain_text("docs/x.md")
    link = alerts.get_by_role("link", name="Query").get_attribute("href") or ""
    assert link.startswith(f"{prometheus}/api/v1/query?")
    assert parse_qs(urlsplit(link).query) == {"query": [RULE]}


def test_somebody_stands_in_and_is_on_call_until_that_is_ended(console: Shop, visit: Visit) -> None:
    console.start("oncall-service")
    page = visit("/on-call")
    payment = page.locator('[data-team="payment"]')
    regular = payment.locator("strong").inner_text(timeout=WITHIN_MS)
    expect(box(page, "Next hand-offs")).to_contain_text(re.compile(r"UTC\s*in \d+ [dhm]"), timeout=WITHIN_MS)

    page.get_by_label("Who").fill("grace-from-the-night-shift")
    page.get_by_role("button", name="Put on call").click()
    expect(payment).to_contain_text("grace-from-the-night-shift", timeout=WITHIN_MS)
    expect(payment).to_contain_text("stands in")
    page.get_by_role("button", name="End grace-from-the-night-shift's override").click()

    expect(payment.locator("strong")).to_have_text(regular, timeout=WITHIN_MS)
    expect(box(page, "Overrides")).to_contain_text("Nobody stands in")


def test_a_scenario_is_started_and_taken_back_from_the_lab_page(console: Shop, visit: Visit) -> None:
    console.start("dns")
    page = visit("/lab")
    dns = page.locator('[data-service="dns"]')
    expect(dns).to_contain_text("Up", timeout=WITHIN_MS)
    expect(page.locator('[data-service="payment"]')).to_contain_text("Down")

    page.get_by_role("button", name="Start payment-dns").click()
    expect(dns).to_contain_text("record_missing", timeout=WITHIN_MS)
    assert console["dns"].client.get("/admin/failure-mode").json()["failure_mode"] == "record_missing"
    page.get_by_role("button", name="Everything back to the baseline").click()
    expect(dns).not_to_contain_text("record_missing", timeout=WITHIN_MS)

    assert console["dns"].client.get("/admin/failure-mode").json()["failure_mode"] == "none"


def test_the_controls_open_only_with_the_admin_token_which_no_log_shows(shop: Shop, browser: Any) -> None:
    shop.start("dns", "web-ui", LAB_ADMIN_TOKEN=TOKEN)
    page = browser.new_page()
    page.goto(f"{shop['web-ui'].url}/lab")
    token = page.get_by_label("Admin token")

    token.fill("guessed")
    page.get_by_role("button", name="Unlock").click()
    sees(page, "That is not the admin token.")
    expect(page.get_by_role("button", name="Start payment-dns")).to_have_count(0)
    token.fill(TOKEN)
    page.get_by_role("button", name="Unlock").click()
    page.get_by_role("button", name="Start payment-dns").click()
    expect(page.locator('[data-service="dns"]')).to_contain_text("record_missing", timeout=WITHIN_MS)
    page.close()

    assert TOKEN not in shop["web-ui"].log.read_text()


def test_who_guessed_the_admin_token_too_often_is_told_to_wait(shop: Shop, browser: Any) -> None:
    shop.start("dns", "web-ui", LAB_ADMIN_TOKEN=TOKEN)
    page = browser.new_page()
    page.goto(f"{shop['web-ui'].url}/lab")
    page.get_by_label("Admin token").fill("guessed again")

    for _ in range(BURST):
        guess = {"Authorization": "Bearer guessed"}
        assert shop["dns"].client.get("/admin/failure-mode", headers=guess).status_code == 403
    page.get_by_role("button", name="Unlock").click()

    sees(page, "Not unlocked: too many wrong admin tokens: wait before the next")
    page.close()


@pytest.mark.parametrize("environment", [{"ENV": "local"}, {"LAB_BLIND": "true"}])
def test_there_are_no_controls_outside_a_demo_or_in_a_blind_lab_without_a_token(
    shop: Shop, browser: Any, environment: dict[str, str]
) -> None:
    shop.start("dns", "web-ui", **environment)
    page = browser.new_page()

    page.goto(f"{shop['web-ui'].url}/lab")

    sees(page, "Nothing can be broken from here.")
    sees(page, "1 of")
    assert "payment-dns" not in page.content()
    page.close()


def test_ages_tick_in_the_browser(console: Shop, visit: Visit) -> None:
    open_incident(console, "Payments fail")
    page = visit("/")
    age = page.locator("[data-since]").first
    expect(age).to_have_text(re.compile(r"\d+ s"), timeout=WITHIN_MS)

    expect(age).not_to_have_text(age.inner_text(), timeout=WITHIN_MS)
