"""The messages of Alertmanager's webhook, version 4.

Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, TypedDict
from urllib.parse import quote

from embedded.monitoring.alerts import Alert

RECEIVER = "alert-ingestion"
_NEVER = "0001-01-01T00:00:00Z"


class WebhookAlert(TypedDict):
    """One alert of a message. ``endsAt`` is the year 1 while it fires."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str]
    startsAt: str
    endsAt: str
    generatorURL: str
    fingerprint: str


class WebhookMessage(TypedDict):
    """What is posted: the state of one group."""

    version: Literal["4"]
    groupKey: str
    truncatedAlerts: int
    status: Literal["firing", "resolved"]
    receiver: str
    groupLabels: dict[str, str]
    commonLabels: dict[str, str]
    commonAnnotations: dict[str, str]
    externalURL: str
    alerts: list[WebhookAlert]


def message(
    alerts: Sequence[WebhookAlert], *, group_labels: dict[str, str], external_url: str
) -> WebhookMessage:
    """The message that says so of a group's alerts."""
    ordered = sorted(alerts, key=lambda alert: sorted(alert["labels"].items()))
    key = ", ".join(f'{name}="{value}"' for name, value in group_labels.items())
    return {
        "version": "4",
        "groupKey": f"{{}}:{{{key}}}",
        "truncatedAlerts": 0,
        "status": "firing" if any(alert["status"] == "firing" for alert in ordered) else "resolved",
        "receiver": RECEIVER,
        "groupLabels": group_labels,
        "commonLabels": _common([alert["labels"] for alert in ordered]),
        "commonAnnotations": _common([alert["annotations"] for alert in ordered]),
        "externalURL": external_url,
        "alerts": ordered,
    }


def shown(alert: Alert, *, expression: str, external_url: str) -> WebhookAlert:
    """An alert as the webhook shows it, with a link to the expression that raised it."""
    return {
        "status": "resolved" if alert.state == "resolved" else "firing",
        "labels": dict(alert.labels),
        "annotations": alert.annotations,
        "startsAt": _iso(alert.fired_at_ms),
        "endsAt": _iso(alert.resolved_at_ms) if alert.state == "resolved" else _NEVER,
        "generatorURL": f"{external_url}/graph?g0.expr={quote(expression, safe='')}&g0.tab=1",
        "fingerprint": alert.fingerprint,
    }


def ended(alert: WebhookAlert, *, at: datetime) -> WebhookAlert:
    """An alert that fired, as resolved at ``at``."""
    return {**alert, "status": "resolved", "endsAt": _zulu(at)}


def _common(many: Sequence[dict[str, str]]) -> dict[str, str]:
    """The pairs that all of them have."""
    first, *others = many
    return {name: v for name, v in first.items() if all(other.get(name) == v for other in others)}


def _iso(at_ms: int) -> str:
    return _zulu(datetime.fromtimestamp(at_ms / 1000, UTC))


def _zulu(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
