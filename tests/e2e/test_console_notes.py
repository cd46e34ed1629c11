"""Notes on the page of an incident: each is saved once, and nothing that was typed is lost."""

import socket
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import Shop
from tests.console import WITHIN_MS, Visit, incident, open_incident, sees
from tests.e2e.conftest import Unwritable

TEXT = "The name does not resolve"


@pytest.fixture
def silent(shop: Shop) -> Iterator[None]:
    """Telemetry and Prometheus take every call and answer none."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        shop.environment |= {"TELEMETRY_URL": url, "PROMETHEUS_URL": url}
        yield


def looked_at(console: Shop, visit: Visit) -> tuple[str, Page, Locator]:
    """A new incident, its page in a browser, and the field for a note on it."""
    incident_id = open_incident(console, "Payments fail")
    page = visit(f"/incidents/{incident_id}")
    return incident_id, page, page.get_by_label("New note")


def test_a_note_leaves_its_field_at_once_while_telemetry_and_prometheus_hang(
    silent: None, console: Shop, visit: Visit
) -> None:
    incident_id, page, field = looked_at(console, visit)

    field.fill(TEXT)
    field.press("Control+Enter")
    field.press("Control+Enter")

    expect(page.locator(".note-text")).to_have_text(TEXT, timeout=WITHIN_MS)
    expect(field).to_have_value("", timeout=500)
    field.press("Control+Enter")
    sees(page, "telemetry does not answer")
    assert [note["text"] for note in incident(console, incident_id)["notes"]] == [TEXT]


def test_what_is_typed_while_a_note_is_being_saved_stays_in_the_field(
    console: Shop, visit: Visit, unwritable: Unwritable
) -> None:
    incident_id, page, field = looked_at(console, visit)

    with unwritable("incident", "notes"):
        field.fill(TEXT)
        field.press("Control+Enter")
        field.press_sequentially("And now?")
        field.press("Control+Enter")
        page.wait_for_timeout(300)

    expect(page.locator(".note-text")).to_have_text(TEXT, timeout=WITHIN_MS)
    expect(field).to_have_value("And now?")
    assert [note["text"] for note in incident(console, incident_id)["notes"]] == [TEXT]
    field.press("Control+Enter")
    expect(page.locator(".note-text")).to_have_text(["And now?", TEXT], timeout=WITHIN_MS)


def test_a_note_that_was_not_saved_stays_in_its_field_to_be_tried_again(console: Shop, visit: Visit) -> None:
    _, page, field = looked_at(console, visit)

    console["incident-management"].stop()
    field.fill(TEXT)
    field.press("Control+Enter")
    sees(page, "It is not known whether this was")
    expect(field).to_have_value(TEXT)
    console.start("incident-management")
    field.press("Control+Enter")

    expect(page.locator(".note-text")).to_have_text(TEXT, timeout=WITHIN_MS)
    expect(field).to_have_value("")
