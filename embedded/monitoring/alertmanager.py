"""What Alertmanager does with alerts, for one receiver: grouping, and its webhook until it is accepted.

The format is version 4 of https://prometheus.io/docs/alerting/latest/configuration/#webhook_config.
Each change of a group (an alert that fires, or is resolved) is posted in its
order; what fires on is posted again after ``REPEAT_S``.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypedDict
from urllib.parse import quote

import httpx
import structlog
from prometheus_client import Counter

from embedded.monitoring.alerts import Alert

log = structlog.get_logger()

RECEIVER = "alert-ingestion"
GROUPED_BY = ("alertname", "service")
REPEAT_S = 240.0
POST_TIMEOUT_S = 5.0
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 15.0
MAX_UNSENT = 100
"""Messages of one group that wait for the receiver; beyond that the oldest is given up."""
_NEVER = "0001-01-01T00:00:00Z"

notifications = Counter(
    "alertmanager_notifications_total",
    "Webhook posts by outcome: accepted, retried (5xx, 429, no answer), refused (other 4xx), given_up.",
    ["outcome"],
)


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


@dataclass
class _Group:
    labels: dict[str, str]
    firing: frozenset[str] = frozenset()
    """Fingerprints of what fired at the last message."""
    unsent: "deque[WebhookMessage]" = field(default_factory=deque)
    queued_at_s: float = 0.0
    sending: "asyncio.Task[None] | None" = None


class Notifier:
    """Tells the receiver at ``url``. ``clock`` is a monotonic clock in seconds.

    ``external_url`` is where the monitoring itself is found; ``expressions``
    are those of the rules by name, for the alerts' links.
    """

    def __init__(
        self,
        url: str,
        *,
        client: httpx.AsyncClient,
        external_url: str,
        expressions: dict[str, str],
        clock: Callable[[], float] = time.monotonic,
        first_retry_s: float = FIRST_RETRY_S,
    ) -> None:
        self._url = url
        self._client = client
        self._external_url = external_url.rstrip("/")
        self._expressions = expressions
        self._clock = clock
        self._first_retry_s = first_retry_s
        self._groups: dict[tuple[str, ...], _Group] = {}

    def update(self, alerts: Iterable[Alert]) -> None:
        """Take in the alerts that fire and those just resolved, and post what is news."""
        grouped: dict[tuple[str, ...], list[Alert]] = {key: [] for key in self._groups}
        for alert in alerts:
            labels = dict(alert.labels)
            grouped.setdefault(tuple(labels.get(name, "") for name in GROUPED_BY), []).append(alert)
        for key, members in grouped.items():
            group = self._groups.setdefault(key, _Group(_present(dict(zip(GROUPED_BY, key, strict=True)))))
            self._update_group(group, members)
            if not group.firing and not group.unsent and group.sending is None:
                del self._groups[key]

    async def close(self) -> None:
        """Stop posting; what was not accepted yet is not."""
        sending = [group.sending for group in self._groups.values() if group.sending]
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)

    def _update_group(self, group: _Group, members: Sequence[Alert]) -> None:
        firing = frozenset(alert.fingerprint for alert in members if alert.state == "firing")
        resolved = any(alert.state == "resolved" for alert in members)
        due = bool(firing) and not group.unsent and self._clock() - group.queued_at_s >= REPEAT_S
        if not (firing != group.firing or resolved or due):
            return
        group.firing = firing
        group.queued_at_s = self._clock()
        group.unsent.append(self._message(group.labels, members))
        if len(group.unsent) > MAX_UNSENT:
            group.unsent.popleft()
            notifications.labels("given_up").inc()
            log.error("alertmanager.gave_up", group=group.labels, unsent=MAX_UNSENT)
        if group.sending is None:
            group.sending = asyncio.get_running_loop().create_task(self._send_all(group))

    async def _send_all(self, group: _Group) -> None:
        try:
            while group.unsent:
                message = group.unsent[0]
                await self._send(message)
                # It may have been given up meanwhile.
                if group.unsent and group.unsent[0] is message:
                    group.unsent.popleft()
        finally:
            group.sending = None

    async def _send(self, message: WebhookMessage) -> None:
        """Post until it is accepted, or refused for good."""
        wait_s = self._first_retry_s
        while True:
            trouble, at_least_s = await self._post(message)
            if not trouble:
                return
            notifications.labels("retried").inc()
            log.warning("alertmanager.retries", group=message["groupLabels"], error=trouble, wait_s=wait_s)
            await asyncio.sleep(min(max(wait_s, at_least_s), LONGEST_RETRY_S))
            wait_s = min(wait_s * 2, LONGEST_RETRY_S)

    async def _post(self, message: WebhookMessage) -> tuple[str, float]:
        """Post once; why it has to be tried again, if it has to, and after how many seconds at least."""
        try:
            async with asyncio.timeout(POST_TIMEOUT_S):
                answer = await self._client.post(self._url, json=message, timeout=None)
        except TimeoutError:
            return f"no answer within {POST_TIMEOUT_S:g} s", 0.0
        except httpx.HTTPError as error:
            return f"{type(error).__name__}: {error}", 0.0
        if answer.status_code >= 500 or answer.status_code == 429:
            return f"status {answer.status_code}", _retry_after_s(answer)
        if answer.status_code >= 300:
            notifications.labels("refused").inc()
            log.error(
                "alertmanager.refused",
                group=message["groupLabels"],
                status=answer.status_code,
                answer=answer.text[:500],
            )
            return "", 0.0
        notifications.labels("accepted").inc()
        return "", 0.0

    def _message(self, group_labels: dict[str, str], members: Sequence[Alert]) -> WebhookMessage:
        alerts = [self._alert(alert) for alert in sorted(members, key=lambda alert: alert.labels)]
        key = ", ".join(f'{name}="{value}"' for name, value in group_labels.items())
        return {
            "version": "4",
            "groupKey": f"{{}}:{{{key}}}",
            "truncatedAlerts": 0,
            "status": "firing" if any(alert["status"] == "firing" for alert in alerts) else "resolved",
            "receiver": RECEIVER,
            "groupLabels": group_labels,
            "commonLabels": _common([alert["labels"] for alert in alerts]),
            "commonAnnotations": _common([alert["annotations"] for alert in alerts]),
            "externalURL": self._external_url,
            "alerts": alerts,
        }

    def _alert(self, alert: Alert) -> WebhookAlert:
        labels = dict(alert.labels)
        expression = quote(self._expressions.get(labels["alertname"], ""), safe="")
        return {
            "status": "resolved" if alert.state == "resolved" else "firing",
            "labels": labels,
            "annotations": alert.annotations,
            "startsAt": _iso(alert.fired_at_ms),
            "endsAt": _iso(alert.resolved_at_ms) if alert.state == "resolved" else _NEVER,
            "generatorURL": f"{self._external_url}/graph?g0.expr={expression}&g0.tab=1",
            "fingerprint": alert.fingerprint,
        }


def _present(labels: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if value}


def _common(many: Sequence[dict[str, str]]) -> dict[str, str]:
    """The pairs that all of them have."""
    first, *others = many
    return {name: v for name, v in first.items() if all(other.get(name) == v for other in others)}


def _retry_after_s(answer: httpx.Response) -> float:
    with suppress(ValueError):
        return float(answer.headers.get("retry-after", "0"))
    # The header may also be a date; the growing wait serves as well.
    return 0.0


def _iso(at_ms: int) -> str:
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
