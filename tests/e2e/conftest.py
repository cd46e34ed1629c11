"""A real browser for the tests of the console."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from psycopg2 import sql

from tests.conftest import LabDatabase, Shop
from tests.console import WITHIN_MS, Visit

CHROMIUM = shutil.which("chromium")

Unwritable = Callable[[str, str], AbstractContextManager[None]]
"""``with unwritable("schema", "table"):`` whoever changes it waits; whoever reads it does not."""

_COLLISIONS = """() => {
  const parts = [];
  for (const box of document.querySelectorAll('section')) {
    const bounds = box.getBoundingClientRect();
    const add = (node, name, rects) => {
      for (const rect of rects) if (rect.width && rect.height) parts.push({node, name, rect, bounds});
    };
    const texts = document.createTreeWalker(box, NodeFilter.SHOW_TEXT, (text) =>
      text.data.trim() && !text.parentElement.closest('button, .q-field') ? 1 : 2);
    while (texts.nextNode()) {
      const range = document.createRange();
      range.selectNodeContents(texts.currentNode);
      add(texts.currentNode, texts.currentNode.data, range.getClientRects());
    }
    for (const control of box.querySelectorAll('button, .q-field'))
      add(control, control.innerText, [control.getBoundingClientRect()]);
  }
  const meet = (a, b) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
  const left = parts.filter(({rect, bounds}) =>
    rect.left < Math.max(bounds.left, 0) || rect.right > Math.min(bounds.right, innerWidth));
  const met = parts.flatMap((one, at) => parts.slice(at + 1)
    .filter((other) => one.node !== other.node && meet(one.rect, other.rect))
    .map((other) => `${one.name} | ${other.name}`));
  return [...new Set([...left.map(({name}) => `${name} | the edge`), ...met])];
}"""


def collisions(page: Page) -> list[str]:
    """Which texts, buttons and fields lie over each other, or stick out of their box or of the page."""
    found: list[str] = page.evaluate(_COLLISIONS)
    return found


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


@pytest.fixture
def unwritable(lab_database: LabDatabase) -> Unwritable:
    """Keep changes of a table waiting while a block lasts: longer than the console waits, if need be."""

    @contextmanager
    def lock(schema: str, table: str) -> Iterator[None]:
        with closing(lab_database.connect("postgres")) as holding:
            holding.autocommit = False
            with holding.cursor() as cursor:
                name = sql.Identifier(schema, table)
                cursor.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(name))
            yield

    return lock


def stand_in(console: Shop, team: str, engineer: str, *, hours: int, reason: str = "") -> None:
    """Make an override from now on."""
    now = datetime.now(UTC)
    override = {
        "team": team,
        "engineer": engineer,
        "starts_at": now.isoformat(),
        "ends_at": (now + timedelta(hours=hours)).isoformat(),
        "reason": reason,
    }
    answer = console["oncall-service"].client.post("/api/v1/overrides", json=override)
    assert answer.status_code == 201


@pytest.fixture
def busy_rota(console: Shop) -> None:
    """People stand in for one team and for all others, so that many teams hand over at once."""
    console.start("oncall-service")
    stand_in(console, "*", "grace-from-the-night-shift", hours=8)
    stand_in(console, "incident-management", "Katherine Johnson of the weekend shift", hours=400)
    stand_in(console, "payment", "ada", hours=4, reason="Barbara is at the dentist's until about five")
    stand_in(console, "notification-service", "x" * 100, hours=9, reason="y" * 300)
