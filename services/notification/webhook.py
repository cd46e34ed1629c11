"""The signed webhook: a POST whose sender and age the receiver can check.

Headers: ``X-Firedrill-Delivery`` (the delivery's id, the same in every attempt:
a receiver that has seen it may ignore the request), ``X-Firedrill-Timestamp``
(Unix seconds of this attempt) and ``X-Firedrill-Signature``: ``v1=`` and the
hexadecimal HMAC-SHA256, under ``WEBHOOK_SECRET``, of the timestamp, a full stop
and the body's bytes. The receiver computes the same, compares in constant time
and refuses timestamps that are too old. Any 2xx accepts the delivery.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Callable

import httpx

from services.notification.page import NotDelivered, Page

DELIVERY_HEADER = "X-Firedrill-Delivery"
TIMESTAMP_HEADER = "X-Firedrill-Timestamp"
SIGNATURE_HEADER = "X-Firedrill-Signature"


def signature(secret: bytes, *, timestamp: int, body: bytes) -> str:
    """The value of ``X-Firedrill-Signature``; ``timestamp`` in Unix seconds."""
    return "v1=" + hmac.new(secret, b"%d." % timestamp + body, hashlib.sha256).hexdigest()


def webhook_body(page: Page) -> bytes:
    """The JSON body; ``notifications`` lists what a bundle carries, else the one notification."""
    listed = [
        {"delivery_id": str(one.delivery_id), "incident_id": one.incident_id, "message": one.message}
        for one in page.listed
    ]
    own = {"delivery_id": str(page.delivery_id), "incident_id": page.incident_id, "message": page.message}
    content = {
        **own,
        "channel": page.channel,
        "recipient": page.recipient,
        "created_at": page.created_at.isoformat(),
        "notifications": listed or [own],
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


class SignedWebhook:
    """Posts to one URL and signs what it posts."""

    name = "webhook"

    def __init__(
        self,
        url: str,
        *,
        secret: bytes,
        client: httpx.AsyncClient,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._secret = secret
        self._client = client
        self._now_s = now_s

    async def deliver(self, page: Page) -> None:
        """Post the message; raises ``NotDelivered`` unless the answer is a 2xx."""
        body, timestamp = webhook_body(page), int(self._now_s())
        headers = {
            "content-type": "application/json",
            DELIVERY_HEADER: str(page.delivery_id),
            TIMESTAMP_HEADER: str(timestamp),
            SIGNATURE_HEADER: signature(self._secret, timestamp=timestamp, body=body),
        }
        try:
            # The status is the whole answer: a body without end must not hold the delivery up.
            async with self._client.stream(
                "POST", self._url, content=body, headers=headers, timeout=None
            ) as answer:
                status = answer.status_code
        except httpx.HTTPError as error:
            raise NotDelivered(f"webhook: {type(error).__name__}: {error}", is_down=True) from error
        if not 200 <= status < 300:
            raise NotDelivered(f"webhook: status {status}", is_down=status >= 500)
