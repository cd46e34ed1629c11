"""What the notification service refuses to start with."""

import pytest

from services.notification.settings import NotificationSettings


@pytest.mark.parametrize(
    "url", ["http://receiver:port/", "receiver/pages", "ftp://receiver/", "http:///pages"]
)
def test_a_webhook_that_no_page_could_reach_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ValueError, match="webhook_url"):
        NotificationSettings(webhook_url=url)


@pytest.mark.parametrize("url", ["", "https://receiver.example:8443/pages?team=shop"])
def test_a_webhook_may_be_an_address_or_none(url: str) -> None:
    assert NotificationSettings(webhook_url=url).webhook_url == url
