"""The console in a browser, over the real services: what a person on call does in an incident."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import Shop
from tests.console import WITHIN_MS, Visit, does_not_see, incident, open_incident, sees
from tests.e2e.conftest import collisions


def test_an_incident_is_walked_from_its_arrival_to_its_figures(console: Shop, visit: Visit) -> None:
    page = visit("/")
    sees(page, "Nothing is wrong.")

    incident_id = open_incident(console, "Payments fail")
    sees(page, "Payments fail")
    page.get_by_role("link", name="Payments fail").click()
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator(".incident-head .status")).to_have_text("Acknowledged", timeout=WITHIN_MS)

    page.get_by_label("New note").fill("The name does not resolve")
    page.get_by_role("button", name="Add note").click()
    expect(page.locator(".note-text")).to_have_text("The name does not resolve", timeout=WITHIN_MS)
    expect(page.get_by_label("New note")).to_have_value("")

    page.locator("h1").click()
    page.keyboard.press("r")
    expect(page.locator(".incident-head .status")).to_have_text("Resolved", timeout=WITHIN_MS)
    figures = page.locator(".figures")
    expect(figures.locator(".figure-box", has_text="MTTA")).to_contain_text(re.compile(r"\d+ s by ana"))
    expect(figures.locator(".figure-box", has_text="MTTR")).to_contain_text(re.compile(r"\d+ s by ana"))
    expect(page.locator(".timeline")).to_contain_text("→ Resolved")
    assert incident(console, incident_id)["status"] == "resolved"


def test_the_key_a_acknowledges_the_incident_that_is_shown(console: Shop, visit: Visit) -> None:
    incident_id = open_incident(console, "Payments fail")
    page = visit(f"/incidents/{incident_id}")
    expect(page.get_by_role("button", name="Acknowledge")).to_be_enabled()

    page.keyboard.press("a")

    expect(page.locator(".incident-head .status")).to_have_text("Acknowledged", timeout=WITHIN_MS)
    assert incident(console, incident_id)["acknowledged_by"] == "ana"


def test_keys_act_on_the_row_that_was_chosen_in_the_list(console: Shop, visit: Visit) -> None:
    older, newer = open_incident(console, "The older one"), open_incident(console, "The newer one")
    page = visit("/")
    sees(page, "The older one")

    page.keyboard.press("a")
    sees(page, "Choose an incident first")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("a")

    expect(page.locator(f'[data-incident="{older}"]')).to_contain_text("Acknowledged", timeout=WITHIN_MS)
    expect(page.locator(f'[data-incident="{older}"]')).to_be_focused()
    assert incident(console, newer)["status"] == "open"


def test_keys_typed_into_a_field_or_with_a_modifier_change_nothing(console: Shop, visit: Visit) -> None:
    incident_id = open_incident(console, "Payments fail")
    page = visit(f"/incidents/{incident_id}")

    page.get_by_label("New note").press_sequentially("a rather long night /")
    page.locator("h1").click()
    page.keyboard.press("Alt+a")

    expect(page.get_by_label("New note")).to_have_value("a rather long night /")
    assert incident(console, incident_id)["status"] == "open"


def test_a_visitor_without_a_name_is_asked_once(console: Shop, visit: Visit) -> None:
    first, second = open_incident(console, "Payments fail"), open_incident(console, "Profiles are slow")
    page = visit(f"/incidents/{first}", name="")

    page.keyboard.press("a")
    page.get_by_label("Name", exact=True).fill("Grace Hopper")
    page.keyboard.press("Enter")
    expect(page.locator(".incident-head .status")).to_have_text("Acknowledged", timeout=WITHIN_MS)
    page.goto(f"{console['web-ui'].url}/incidents/{second}")
    expect(page.get_by_role("button", name="Acknowledge")).to_be_enabled(timeout=WITHIN_MS)
    page.keyboard.press("a")
    expect(page.locator(".incident-head .status")).to_have_text("Acknowledged", timeout=WITHIN_MS)

    assert {incident(console, one)["acknowledged_by"] for one in (first, second)} == {"Grace Hopper"}


def test_the_one_who_acknowledges_second_learns_who_was_first(
    console: Shop, visit: Visit, eventually: Callable[..., None]
) -> None:
    incident_id = open_incident(console, "Payments fail")
    pages = [visit(f"/incidents/{incident_id}", name=name) for name in ("ana", "ben")]
    for page in pages:
        expect(page.get_by_role("button", name="Acknowledge")).to_be_enabled()

    # A second acknowledgement before the second page has seen the first one: no pause in between.
    for page in pages:
        page.evaluate("emitEvent('console-key', {key: 'a', incident: null})")

    eventually(lambda: incident(console, incident_id)["status"] == "acknowledged")
    winner = incident(console, incident_id)["acknowledged_by"]
    loser = pages[0] if winner == "ben" else pages[1]
    expect(loser.get_by_role("alert").filter(has_text=winner)).to_be_visible(timeout=WITHIN_MS)
    for page in pages:
        expect(page.locator(".incident-head .status")).to_have_text("Acknowledged", timeout=WITHIN_MS)


def test_a_resolved_incident_gets_a_postmortem_that_is_shown_and_handed_out(
    console: Shop, visit: Visit
) -> None:
    incident_id = open_incident(console, "Payments fail")
    page = visit(f"/incidents/{incident_id}")
    expect(page.get_by_role("button", name="Write postmortem")).to_be_hidden()
    page.get_by_role("button", name="Resolve").click()

    page.get_by_role("button", name="Write postmortem").click()
    page.get_by_role("button", name="Save").click()
    sees(page, "say in a sentence or two what happened")
    page.get_by_label("Summary").fill("The fraud service's name was gone.")
    page.get_by_label("Action items, one a line").fill("Watch the zone\nPractise this")
    page.get_by_role("button", name="Save").click()

    text = page.get_by_role("region", name="Postmortem").locator("pre")
    expect(text).to_contain_text("The fraud service's name was gone.", timeout=WITHIN_MS)
    expect(text).to_contain_text("- [ ] Practise this")
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download").click()
    assert downloading.value.suggested_filename == f"postmortem-{incident_id}.md"
    kept = console["incident-management"].client.get(f"/api/v1/incidents/{incident_id}/postmortem")
    assert Path(downloading.value.path()).read_text() == kept.text
    page.reload()
    expect(text).to_contain_text("# Postmortem: Payments fail", timeout=WITHIN_MS)


def test_the_way_to_the_incident_before_stays_the_same_link(console: Shop, visit: Visit) -> None:
    first = open_incident(console, "Payments fail")
    incidents = console["incident-management"].client
    incidents.patch(f"/api/v1/incidents/{first}", json={"status": "resolved"})
    again = incidents.post(f"/api/v1/incidents/{first}/reopen").json()["id"]
    page = visit(f"/incidents/{again}")
    link = page.get_by_role("link", name="Reopened from an earlier incident")

    link.focus()
    for text in ("One look later", "And another one"):
        incidents.patch(f"/api/v1/incidents/{again}", json={"notes": text})
        sees(page, text)

    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(first))


def test_the_severity_is_changed_from_the_incidents_page(console: Shop, visit: Visit) -> None:
    incident_id = open_incident(console, "Payments fail", severity="critical")
    page = visit(f"/incidents/{incident_id}")

    page.get_by_role("button", name="Severity").click()
    page.get_by_text("High", exact=True).click()

    expect(page.locator(".incident-head .severity-high")).to_be_visible(timeout=WITHIN_MS)
    expect(page.locator(".timeline")).to_contain_text("changed the severity from Critical to High")
    assert incident(console, incident_id)["severity"] == "high"


def test_incidents_beyond_a_page_are_reached(console: Shop, visit: Visit) -> None:
    oldest = open_incident(console, "The oldest one")
    storm = [
        {"title": f"Number {at}", "service": "payment", "severity": "low", "idempotency_key": str(at)}
        for at in range(200)
    ]
    answer = console["incident-management"].client.post("/api/v1/incidents/batch", json={"incidents": storm})
    assert answer.status_code == 201
    page = visit("/")
    expect(page.locator("a[data-incident]")).to_have_count(200, timeout=WITHIN_MS)

    page.get_by_role("button", name="Older").click()

    expect(page.locator("a[data-incident]")).to_have_count(1, timeout=WITHIN_MS)
    expect(page.locator(f'[data-incident="{oldest}"]')).to_be_visible()
    expect(page).to_have_url(re.compile("offset=200"))
    page.get_by_role("button", name="Newer").click()
    expect(page.locator("a[data-incident]")).to_have_count(200, timeout=WITHIN_MS)


def test_its_own_files_are_counted_under_one_route(
    console: Shop, eventually: Callable[[Callable[[], object]], None]
) -> None:
    for name in ("console.css", "console.js"):
        assert console["web-ui"].client.get(f"/static/{name}").status_code == 200

    # A file's last byte is out before it is counted.
    eventually(lambda: console["web-ui"].metric("http_requests_total", route="/static/{path}") == 2)
    assert console["web-ui"].metric("http_requests_total", route="unmatched") == 0


def test_filters_narrow_the_list_and_stay_in_the_address(console: Shop, visit: Visit) -> None:
    open_incident(console, "Payments fail", service="payment", severity="critical")
    open_incident(console, "Profiles are slow", service="profile", severity="high")
    page = visit("/")
    sees(page, "Payments fail")

    page.get_by_role("combobox", name="Severity").click()
    page.get_by_role("option", name="High").click()
    does_not_see(page, "Payments fail")
    sees(page, "Profiles are slow")
    expect(page).to_have_url(re.compile(r"severity=high"))
    page.reload()
    sees(page, "Profiles are slow")
    does_not_see(page, "Payments fail")


@pytest.mark.parametrize(
    ("address", "reason"), [("/?service=a%20b", "query.service: "), ("/?offset=2000000", "query.offset: ")]
)
def test_what_cannot_be_searched_for_is_said_with_the_reason(
    console: Shop, visit: Visit, address: str, reason: str
) -> None:
    page = visit(address)

    sees(page, "This cannot be searched for.")
    sees(page, reason)
    does_not_see(page, "This page fills itself")


def test_a_slash_puts_the_cursor_into_the_search_from_any_page(console: Shop, visit: Visit) -> None:
    open_incident(console, "Payments fail")
    open_incident(console, "Profiles are slow")
    page = visit("/lab")

    page.keyboard.press("/")
    search = page.get_by_label("Search incidents")
    expect(search).to_be_focused(timeout=WITHIN_MS)
    search.press_sequentially("SLOW prof")
    does_not_see(page, "Payments fail")
    sees(page, "Profiles are slow")
    search.press("Escape")
    page.keyboard.press("/")
    expect(search).to_be_focused()


def test_a_backend_that_is_down_is_named_and_its_return_is_seen(console: Shop, visit: Visit) -> None:
    open_incident(console, "Payments fail")
    page = visit("/")
    sees(page, "Payments fail")

    console["incident-management"].stop()
    sees(page, "incident-management does not answer")
    sees(page, "Payments fail")
    console.start("incident-management")
    does_not_see(page, "incident-management does not answer")
    open_incident(console, "Profiles are slow")
    sees(page, "Profiles are slow")


def test_every_page_opens_with_no_backend_at_all_and_says_which_are_away(
    shop: Shop, browser: Browser
) -> None:
    shop.start("web-ui")
    page = browser.new_page()

    for path, away in {
        "/": "incident-management does not answer",
        "/incidents/00000000-0000-4000-8000-000000000000": "incident-management does not answer",
        "/shop": "prometheus does not answer",
        "/traces": "telemetry does not answer",
        "/traces/4bf92f3577b34da6a3ce929d0e0e4736": "telemetry does not answer",
        "/logs": "telemetry does not answer",
        "/errors": "telemetry does not answer",
        "/errors/1": "telemetry does not answer",
        "/on-call": "oncall-service does not answer",
        "/lab": "0 of",
    }.items():
        page.goto(shop["web-ui"].url + path)
        sees(page, away)
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_scrolls_sideways_on_a_telephone(
    console: Shop, busy_rota: None, visit: Visit, scheme: str
) -> None:
    incident_id = open_incident(console, f"{'Averylongwordwithoutanyspace' * 4} and then the payments fail")
    console["incident-management"].client.patch(
        f"/api/v1/incidents/{incident_id}", json={"notes": "x" * 400, "assigned_to": "y" * 120}
    )

    for path, shown in {
        "/": "and then the payments fail",
        f"/incidents/{incident_id}": "and then the payments fail",
        "/shop": "prometheus does not answer",
        "/on-call": "Barbara is at the dentist's",
        "/lab": "are up",
    }.items():
        page = visit(path, viewport={"width": 390, "height": 844}, color_scheme=scheme)
        sees(page, shown)
        page.wait_for_timeout(300)

        assert collisions(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert page.evaluate("document.body.classList.contains('body--dark')") is (scheme == "dark")


def test_nothing_is_fetched_from_anywhere_but_the_console(console: Shop, browser: Browser) -> None:
    open_incident(console, "Payments fail")
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    for path in ("/", "/shop", "/traces", "/on-call", "/lab"):
        page.goto(console["web-ui"].url + path)
        page.wait_for_load_state("networkidle")
    page.close()

    elsewhere = [url for url in asked if not url.startswith((console["web-ui"].url, "data:", "blob:"))]
    assert asked
    assert elsewhere == []


def test_the_theme_that_was_chosen_is_kept_in_the_browser(visit: Visit) -> None:
    page = visit("/", color_scheme="light")

    page.get_by_role("button", name="Theme: auto").click()
    expect(page.locator("body.body--dark")).to_have_count(1, timeout=WITHIN_MS)
    page.reload()

    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible(timeout=WITHIN_MS)
    expect(page.locator("body.body--dark")).to_have_count(1, timeout=WITHIN_MS)


def test_an_address_that_is_no_page_leads_back_to_the_incidents(console: Shop, browser: Browser) -> None:
    page = browser.new_page()

    answer = page.goto(console["web-ui"].url + "/nowhere")
    page.get_by_role("link", name="the incidents").click()

    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", name="Incidents")).to_be_visible(timeout=WITHIN_MS)
    page.close()
