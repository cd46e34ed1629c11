"""A real browser for the tests of the console."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.conftest import Shop
from tests.console import WITHIN_MS, Visit

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, started once for a module."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def console(shop: Shop) -> Shop:
    """incident-management and the console over it; nothing else of the lab is there."""
    shop.start("incident-management", "web-ui")
    return shop


@pytest.fixture
def visit(console: Shop, browser: Browser) -> Iterator[Visit]:
    """Open a page in a browser of its own, as somebody of that name (or of none yet)."""
    opened: list[BrowserContext] = []

    def open_page(path: str = "/", *, name: str = "ana", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(WITHIN_MS)
        opened.append(context)
        if name:
            context.add_cookies([{"name": "firedrill_name", "value": name, "url": console["web-ui"].url}])
        page = context.new_page()
        page.goto(console["web-ui"].url + path)
        expect(page.locator(".loading:visible")).to_have_count(0, timeout=WITHIN_MS)
        return page

    yield open_page
    for context in opened:
        context.close()
