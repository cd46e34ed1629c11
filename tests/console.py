"""What the tests of the console do beside the browser, and what they see in it."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from tests.conftest import Shop

WITHIN_MS = 15_000

Visit = Callable[..., Page]
"""``visit(path, name=…, **browser_options)`` opens a page."""


def open_incident(console: Shop, title: str, *, service: str = "payment", severity: str = "critical") -> str:
    answer = console["incident-management"].client.post(
        "/api/v1/incidents", json={"title": title, "service": service, "severity": severity}
    )
    assert answer.status_code == 201
    return str(answer.json()["id"])


def incident(console: Shop, incident_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = (
        console["incident-management"].client.get(f"/api/v1/incidents/{incident_id}").json()
    )
    return answer


def sees(page: Page, text: str) -> None:
    expect(page.get_by_text(text).first).to_be_visible(timeout=WITHIN_MS)


def does_not_see(page: Page, text: str) -> None:
    expect(page.get_by_text(text)).to_have_count(0, timeout=WITHIN_MS)
