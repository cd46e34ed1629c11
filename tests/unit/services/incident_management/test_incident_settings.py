"""What incident-management refuses to start with."""

import pytest

from services.incident_management.settings import IncidentSettings


@pytest.mark.parametrize("channel", ["slack", "mail", ""])
def test_a_channel_that_notification_would_refuse_every_page_for_is_refused_at_the_start(
    channel: str,
) -> None:
    with pytest.raises(ValueError, match="page_channel"):
        IncidentSettings(page_channel=channel)  # type: ignore[arg-type]
