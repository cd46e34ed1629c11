"""What is in a message, and how it is signed."""

import json
from datetime import UTC, datetime
from uuid import UUID

from services.notification.page import LISTED_CHARS, Listed, Page, bundle_message
from services.notification.webhook import signature, webhook_body

ONE = UUID("7a1d8f7e-0d5b-4c59-9a2e-1f6f3a9c2b11")
TWO = UUID("7a1d8f7e-0d5b-4c59-9a2e-1f6f3a9c2b12")


def test_the_signature_is_the_hmac_of_timestamp_full_stop_body() -> None:
    # printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
    assert signature(b"key", timestamp=1_700_000_000, body=b'{"a":1}') == (
        "v1=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03"
    )


def test_a_bundle_has_a_line_for_each_notification_and_cuts_long_ones() -> None:
    listed = (Listed(ONE, "i-1", "short\nmore"), Listed(TWO, "i-2", "x" * 500))

    lines = bundle_message("ada", listed).splitlines()

    assert lines[:2] == ["2 notifications for ada:", "- incident i-1: short"]
    assert lines[2] == "- incident i-2: " + "x" * (LISTED_CHARS - 1) + "…"
    assert len(lines) == 3


def test_the_webhooks_body_is_the_same_in_every_attempt() -> None:
    first, fourth = (
        Page(ONE, number, "webhook", "ada", "down", "i-1", datetime(2026, 11, 2, tzinfo=UTC))
        for number in (1, 4)
    )

    assert webhook_body(first) == webhook_body(fourth)
    assert json.loads(webhook_body(first))["created_at"] == "2026-11-02T00:00:00+00:00"
