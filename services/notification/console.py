"""The console: every notification is a line of the service's log, whatever its channel."""

import structlog

from services.notification.page import Page

log = structlog.get_logger()


class Console:
    """Writes the event ``notification.page``."""

    name = "console"

    async def deliver(self, page: Page) -> None:
        """Log the message."""
        log.info(
            "notification.page",
            delivery_id=str(page.delivery_id),
            incident_id=page.incident_id,
            channel=page.channel,
            recipient=page.recipient,
            message=page.message,
            incident_ids=[one.incident_id for one in page.listed] or [page.incident_id],
        )
