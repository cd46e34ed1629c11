"""The page On call in a browser, over the real on-call service."""

import pytest
from playwright.sync_api import expect

from tests.conftest import Shop
from tests.console import WITHIN_MS, Visit, sees
from tests.e2e.conftest import Unwritable, collisions, stand_in


@pytest.mark.parametrize("width", [390, 900, 1280])
def test_nothing_lies_over_anything_else(busy_rota: None, visit: Visit, width: int) -> None:
    page = visit("/on-call", viewport={"width": width, "height": 844})

    sees(page, "dns, fraud, inventory")
    sees(page, "Barbara is at the dentist's")
    expect(page.locator("[data-until]:empty")).to_have_count(0, timeout=WITHIN_MS)
    assert collisions(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_click_on_an_override_lasts_while_others_come(console: Shop, visit: Visit) -> None:
    console.start("oncall-service")
    stand_in(console, "payment", "ada", hours=4)
    page, colleagues = visit("/on-call"), visit("/on-call", name="ben")
    end = page.get_by_role("button", name="End ada's override")

    end.hover()
    page.mouse.down()
    colleagues.get_by_label("Who").fill("grace")
    colleagues.get_by_role("button", name="Put on call").click()
    expect(page.get_by_role("button", name="End grace's override")).to_be_visible(timeout=WITHIN_MS)
    expect(end).to_be_focused()
    page.mouse.up()

    expect(end).to_have_count(0, timeout=WITHIN_MS)
    expect(page.locator('[data-team="payment"]')).to_contain_text("grace")


def test_what_got_no_answer_is_not_said_to_have_failed(
    console: Shop, visit: Visit, unwritable: Unwritable
) -> None:
    console.start("oncall-service")
    stand_in(console, "payment", "ada", hours=4)
    page = visit("/on-call")

    with unwritable("oncall", "overrides"):
        page.get_by_label("Who").fill("grace")
        page.get_by_role("button", name="Put on call").click()
        page.get_by_role("button", name="End ada's override").click()
        sees(page, "It is not known whether grace was put on call: oncall-service")
        sees(page, "It is not known whether this was ended: oncall-service")

    assert page.get_by_text("Not put on call").count() == 0
    assert page.get_by_text("Not ended").count() == 0


def test_the_question_who_ends_an_override_outlives_it(console: Shop, visit: Visit) -> None:
    console.start("oncall-service")
    stand_in(console, "payment", "ada", hours=4)
    page, colleagues = visit("/on-call", name=""), visit("/on-call", name="ben")
    end = page.get_by_role("button", name="End ada's override")

    end.click()
    name = page.get_by_label("Name", exact=True)
    expect(name).to_be_visible()
    colleagues.get_by_role("button", name="End ada's override").click()
    expect(page.locator(".override")).to_have_count(0, timeout=WITHIN_MS)
    name.fill("ana")
    page.keyboard.press("Enter")

    sees(page, "Not ended: no override")


def test_what_was_refused_is_said_with_its_reason(console: Shop, visit: Visit) -> None:
    console.start("oncall-service")
    stand_in(console, "payment", "ada", hours=4)
    page = visit("/on-call")
    overrides = console["oncall-service"].client.get("/api/v1/overrides").json()["items"]
    console["oncall-service"].client.delete(f"/api/v1/overrides/{overrides[0]['id']}")

    page.get_by_role("button", name="End ada's override").click()

    sees(page, f"Not ended: no override {overrides[0]['id']}")
    sees(page, "Nobody stands in for anybody")
