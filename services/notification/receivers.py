"""Which receivers each channel has, as the settings say."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import httpx

from services.notification.apprise_url import MAIL_SCHEMES, AppriseReceiver
from services.notification.console import Console
from services.notification.page import Receiver
from services.notification.schemas import CHANNELS, Channel
from services.notification.settings import NotificationSettings
from services.notification.webhook import SignedWebhook


def receivers(
    settings: NotificationSettings, *, client: httpx.AsyncClient
) -> Mapping[Channel, Sequence[Receiver]]:
    """The receivers of each channel: the console first, and alone where a channel is not set up.

    Raises ``ValueError`` for an Apprise URL that is none.
    """
    console = Console()
    by_url = [
        AppriseReceiver(url, timeout_s=settings.delivery_timeout_s)
        for url in settings.notify_urls.get_secret_value().split()
    ]
    own: dict[Channel, list[Receiver]] = {
        "email": [one for one in by_url if one.scheme in MAIL_SCHEMES],
        "chat": [one for one in by_url if one.scheme not in MAIL_SCHEMES],
    }
    if "webhook" not in not_set_up(settings):
        secret = settings.webhook_secret.get_secret_value().encode()
        own["webhook"] = [SignedWebhook(settings.webhook_url, secret=secret, client=client)]
    return {channel: [console, *own.get(channel, [])] for channel in CHANNELS}


def not_set_up(settings: NotificationSettings) -> Mapping[Channel, str]:
    """The channels that have no receiver of their own, each with what its settings lack."""
    schemes = {urlsplit(url).scheme.lower() for url in settings.notify_urls.get_secret_value().split()}
    reasons: dict[Channel, str] = {}
    if not settings.webhook_url:
        reasons["webhook"] = "WEBHOOK_URL is empty"
    elif not settings.webhook_secret.get_secret_value():
        reasons["webhook"] = "WEBHOOK_SECRET is empty"
    if not schemes & MAIL_SCHEMES:
        reasons["email"] = "NOTIFY_URLS has no mailto:// URL"
    if not schemes - MAIL_SCHEMES:
        reasons["chat"] = "NOTIFY_URLS has no URL of a chat"
    return reasons
