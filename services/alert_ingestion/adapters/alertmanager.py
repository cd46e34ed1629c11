"""Alertmanager's webhook, version 4, and Grafana's, which has the same shape.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config and
https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/

Each alert counts for itself, by its own fingerprint: the group that it comes
in may be made of strangers, and comes again whenever one of them changes.
"""

import hashlib
import json
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from services.alert_ingestion.adapters import reading
from services.alert_ingestion.arrival import Arrival, Resolution
from services.alert_ingestion.schemas import Source

MAX_ALERTS = 1000


class GroupedAlert(BaseModel):
    """One alert of a group. ``endsAt`` means something only when it is resolved."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    startsAt: datetime | None = None  # noqa: N815
    endsAt: datetime | None = None  # noqa: N815
    fingerprint: Annotated[str, Field(max_length=reading.MAX_FINGERPRINT)] = ""


class AlertGroup(BaseModel):
    """The webhook's body, as far as it is read here."""

    alerts: Annotated[list[GroupedAlert], Field(max_length=MAX_ALERTS)]
    truncatedAlerts: int = 0  # noqa: N815


def read(group: AlertGroup, *, source: Source) -> list[reading.Event]:
    """The alerts of a group, in their order."""
    return [_event(alert, source) for alert in group.alerts]


def _event(alert: GroupedAlert, source: Source) -> reading.Event:
    fingerprint = reading.text(alert.fingerprint) or _fingerprint(alert)
    if alert.status == "resolved":
        return Resolution(source, fingerprint, reading.in_utc(alert.endsAt))
    labels, notes = alert.labels, alert.annotations
    return Arrival(
        source=source,
        service=reading.service_name(labels.get("service"), labels.get("job"), labels.get("alertname")),
        severity=reading.severity(labels.get("severity", "")),
        message=reading.message(
            notes.get("summary"), notes.get("description"), notes.get("message"), labels.get("alertname")
        ),
        labels=reading.labels({**_links(notes), **labels}),
        occurred_at=reading.in_utc(alert.startsAt),
        fingerprint=fingerprint,
    )


def _links(notes: dict[str, str]) -> dict[str, str]:
    """What helps whoever is paged, and stands in no label."""
    return {name: notes[name] for name in ("description", "runbook_url", "dashboard_url") if name in notes}


def _fingerprint(alert: GroupedAlert) -> str:
    """For senders that leave it out: like Alertmanager's own, it is of the labels alone."""
    return hashlib.sha256(json.dumps(alert.labels, sort_keys=True).encode()).hexdigest()[:16]
