"""Which receivers each channel has, as the settings say."""

from collections.abc import Mapping, Sequence

import httpx

from services.notification.apprise_url import MAIL_SCHEMES, AppriseReceiver
from services.notification.console import Console
from services.notification.page import NotDelivered, Page, Receiver
from services.notification.schemas import Channel
from services.notification.settings import NotificationSettings
from services.notification.webhook import SignedWebhook


class NotSetUp:
    """Stands in for a channel's receiver when the settings name none."""

    name = "not-set-up"

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def deliver(self, page: Page) -> None:
        """Raises ``NotDelivered``, for good."""
        raise NotDelivered(f"the channel {page.channel} is not set up: {self._reason}", is_final=True)


def receivers(
    settings: NotificationSettings, *, client: httpx.AsyncClient
) -> Mapping[Channel, Sequence[Receiver]]:
    """The receivers of each channel, the console first in every one.

    Raises ``ValueError`` for an Apprise URL that is none.
    """
    console = Console()
    by_url = [
        AppriseReceiver(url, timeout_s=settings.delivery_timeout_s)
        for url in settings.notify_urls.get_secret_value().split()
    ]
    mail: list[Receiver] = [one for one in by_url if one.scheme in MAIL_SCHEMES]
    chat: list[Receiver] = [one for one in by_url if one.scheme not in MAIL_SCHEMES]
    return {
        "console": [console],
        "webhook": [console, _webhook(settings, client=client)],
        "email": [console, *(mail or [NotSetUp("NOTIFY_URLS has no mailto:// URL")])],
        "chat": [console, *(chat or [NotSetUp("NOTIFY_URLS has no URL of a chat")])],
    }


def _webhook(settings: NotificationSettings, *, client: httpx.AsyncClient) -> Receiver:
    secret = settings.webhook_secret.get_secret_value()
    if not settings.webhook_url:
        return NotSetUp("WEBHOOK_URL is empty")
    if not secret:
        return NotSetUp("WEBHOOK_SECRET is empty")
    return SignedWebhook(settings.webhook_url, secret=secret.encode(), client=client)
