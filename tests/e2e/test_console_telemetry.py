"""The pages Traces, Logs and Errors in a browser, and the way from an incident to them."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import Shop
from tests.console import WITHIN_MS, Visit, incident, open_incident, sees
from tests.e2e import stand_in


@pytest.fixture
def asked(shop: Shop) -> Iterator[list[str]]:
    """A telemetry service that knows one failed checkout; what the console asked it."""
    with stand_in.serving() as (url, asked):
        shop.environment["TELEMETRY_URL"] = url
        yield asked


def box(page: Page, name: str) -> Any:
    return page.get_by_role("region", name=name, exact=True)


def test_a_trace_is_found_by_its_service_and_unfolds_as_a_waterfall(asked: list[str], visit: Visit) -> None:
    page = visit("/traces")

    page.get_by_role("combobox", name="Service").click()
    page.get_by_role("option", name="inventory").click()
    expect(page).to_have_url(re.compile("service=inventory"))
    page.get_by_role("link", name="gateway: POST /checkout").click()

    spans = box(page, "Spans").locator("details")
    expect(spans).to_have_count(3, timeout=WITHIN_MS)
    expect(spans.nth(0)).to_contain_text("gateway")
    expect(spans.nth(1)).to_contain_text("payment")
    expect(spans.nth(1)).to_contain_text("90 ms")
    expect(spans.nth(1)).to_have_class(re.compile("failed"))
    bars = [spans.nth(at).locator(".bar").bounding_box() for at in range(3)]
    lefts = [bar["x"] for bar in bars if bar]
    assert lefts == sorted(set(lefts))
    assert bars[0]["width"] > bars[1]["width"] > bars[2]["width"]
    spans.nth(1).locator("summary").click()
    expect(spans.nth(1)).to_contain_text("order_id = order-fail-pay")
    expect(spans.nth(1)).to_contain_text("ValueError: unknown acquirer code 57")
    expect(box(page, "Log lines")).to_contain_text("request.failed")
    assert "/api/v1/traces?service=inventory" in asked


def test_log_lines_are_searched_by_trace_level_and_text(asked: list[str], visit: Visit) -> None:
    page = visit("/logs")
    lines = page.locator("details.log-line")
    expect(lines).to_have_count(3, timeout=WITHIN_MS)

    page.get_by_label("Trace", exact=True).fill(stand_in.TRACE_ID)
    expect(lines).to_have_count(2, timeout=WITHIN_MS)
    page.get_by_role("combobox", name="Level").click()
    page.get_by_role("option", name="Error and above").click()
    expect(lines).to_have_count(1, timeout=WITHIN_MS)
    lines.first.locator("summary").click()
    expect(lines.first).to_contain_text("error = unknown acquirer code 57")
    page.get_by_label("Text", exact=True).fill("cache.warmed")
    sees(page, "No log line fits this search.")

    assert parse_qs(urlsplit(page.url).query) == {
        "trace_id": [stand_in.TRACE_ID],
        "level": ["ERROR"],
        "q": ["cache.warmed"],
    }


def test_an_error_shows_its_stack_trace_its_tags_and_the_way_to_its_trace(
    asked: list[str], visit: Visit
) -> None:
    page = visit("/errors")
    page.get_by_role("link", name="ValueError").click()

    expect(page.get_by_role("heading", name="ValueError")).to_be_visible(timeout=WITHIN_MS)
    expect(page.locator(".stack li")).to_have_text(
        ["captureservices/payment/processor.py:118", "payservices/payment/app.py:91"]
    )
    expect(box(page, "Tags")).to_contain_text("r-1")
    expect(page.locator(".facts")).to_contain_text("seen 7 times")
    page.get_by_role("link", name="Trace", exact=True).click()
    expect(page).to_have_url(re.compile(stand_in.TRACE_ID))


def test_an_incident_leads_to_what_happened_around_it(asked: list[str], console: Shop, visit: Visit) -> None:
    opened = open_incident(console, "Payments fail", service="payment")
    page = visit(f"/incidents/{opened}")

    around = box(page, "Around it")
    expect(around).to_contain_text("ValueError", timeout=WITHIN_MS)
    expect(around).to_contain_text("gateway: POST /checkout")
    around.get_by_role("link", name="Logs").click()
    expect(page.locator("details.log-line")).to_have_count(1, timeout=WITHIN_MS)

    query = parse_qs(urlsplit(page.url).query)
    created = incident(console, opened)["created_at"]
    assert query["service"] == ["payment"]
    assert query["since"][0] < created
    assert "until" not in query


def test_what_was_seen_is_readable_on_a_telephone(asked: list[str], visit: Visit) -> None:
    trace, error = f"/traces/{stand_in.TRACE_ID}", f"/errors/{stand_in.GROUP_ID}"

    for path in ("/traces", "/logs", "/errors", trace, error):
        page = visit(path, viewport={"width": 390, "height": 844})
        sees(page, "payment")

        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
