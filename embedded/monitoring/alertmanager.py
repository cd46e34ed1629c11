"""What Alertmanager does with alerts, for one receiver: grouping, and its webhook until it is accepted.

The format is version 4 of https://prometheus.io/docs/alerting/latest/configuration/#webhook_config.
Each change of a group (an alert that fires, or is resolved) is posted in its
order; what fires on is posted again after ``REPEAT_S``. What was posted and
what was not is kept in a file, so that a restart in the middle of a fault
loses neither the alert nor its end.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import structlog
from prometheus_client import Counter

from embedded.monitoring import told
from embedded.monitoring.alerts import Alert
from embedded.monitoring.messages import WebhookAlert, WebhookMessage, ended, message, shown
from services.common.patience import answer_within

log = structlog.get_logger()

GROUPED_BY = ("alertname", "service")
REPEAT_S = 240.0
POST_TIMEOUT_S = 5.0
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 15.0
MAX_UNSENT = 100
"""Messages of one group that wait for the receiver; beyond that the oldest is given up."""
RESTORED_FOR_S = 120.0
"""An alert that fired before a restart within a lab is over if it has not fired again within so long."""

notifications = Counter(
    "alertmanager_notifications_total",
    "Webhook posts by outcome: accepted, retried (5xx, 429, no answer), refused (other 4xx), given_up.",
    ["outcome"],
)


@dataclass
class _Group:
    labels: dict[str, str]
    firing: dict[str, WebhookAlert] = field(default_factory=dict)
    """What fired at the last message, by fingerprint."""
    restored: dict[str, WebhookAlert] = field(default_factory=dict)
    """What fired before a restart and has not been seen since."""
    unsent: "deque[WebhookMessage]" = field(default_factory=deque)
    queued_at_s: float = 0.0
    sending: "asyncio.Task[None] | None" = None


class Notifier:
    """Tells the receiver at ``url``. ``clock`` is a monotonic clock in seconds.

    ``external_url`` is where the monitoring itself is found; ``expressions``
    are those of the rules by name, for the alerts' links; ``path`` is the file
    that outlives this process (``None``: nothing does). ``resumes`` says that
    it comes back within the same lab: what fired may fire on. A lab that
    starts is healthy, so whatever fired in the one before is over.
    """

    def __init__(
        self,
        url: str,
        *,
        client: httpx.AsyncClient,
        external_url: str,
        expressions: dict[str, str],
        path: Path | None = None,
        resumes: bool = False,
        clock: Callable[[], float] = time.monotonic,
        first_retry_s: float = FIRST_RETRY_S,
    ) -> None:
        self._url = url
        self._client = client
        self._external_url = external_url.rstrip("/")
        self._expressions = expressions
        self._clock = clock
        self._first_retry_s = first_retry_s
        self._path = path
        self._groups = {_key(one["labels"]): _restored(one) for one in (told.read(path) if path else [])}
        self._started_at_s = clock()
        if not resumes:
            self._end_all_restored()

    def update(self, alerts: Iterable[Alert]) -> None:
        """Take in the alerts that fire and those just resolved, and post what is news."""
        grouped: dict[tuple[str, ...], list[Alert]] = {key: [] for key in self._groups}
        for alert in alerts:
            grouped.setdefault(_key(dict(alert.labels)), []).append(alert)
        is_news = False
        for key, members in grouped.items():
            group = self._groups.setdefault(key, _Group(_present(dict(zip(GROUPED_BY, key, strict=True)))))
            is_news |= self._update_group(group, members)
            if group.unsent and group.sending is None:
                group.sending = asyncio.get_running_loop().create_task(self._send_all(group))
            if not (group.firing or group.restored or group.unsent or group.sending):
                del self._groups[key]
        if is_news:
            self._keep()

    async def close(self) -> None:
        """Stop posting; what was not accepted yet is not."""
        sending = [group.sending for group in self._groups.values() if group.sending]
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)

    def _end_all_restored(self) -> None:
        """Have the first update post the end of all that is restored, behind what is unsent."""
        groups = [group for group in self._groups.values() if group.restored]
        for group in groups:
            self._queue(group, _end_restored(group))
        if groups:
            # Not only then: a process that dies before its first update is followed by one that resumes.
            self._keep()

    def _update_group(self, group: _Group, members: Sequence[Alert]) -> bool:
        """Take in a group's alerts; whether there was anything to tell."""
        alerts = [self._shown(alert) for alert in members]
        for alert in alerts:
            group.restored.pop(alert["fingerprint"], None)
        if group.restored and self._clock() - self._started_at_s >= RESTORED_FOR_S:
            alerts += _end_restored(group)
        firing = {alert["fingerprint"]: alert for alert in alerts if alert["status"] == "firing"}
        resolved = any(alert["status"] == "resolved" for alert in alerts)
        due = bool(firing) and not group.unsent and self._clock() - group.queued_at_s >= REPEAT_S
        if not (firing.keys() != group.firing.keys() or resolved or due):
            return False
        group.firing = firing
        group.queued_at_s = self._clock()
        self._queue(group, alerts)
        return True

    def _queue(self, group: _Group, alerts: Sequence[WebhookAlert]) -> None:
        """Put a message behind those that wait; beyond ``MAX_UNSENT`` the oldest is given up."""
        group.unsent.append(message(alerts, group_labels=group.labels, external_url=self._external_url))
        if len(group.unsent) > MAX_UNSENT:
            group.unsent.popleft()
            notifications.labels("given_up").inc()
            log.error("alertmanager.gave_up", group=group.labels, unsent=MAX_UNSENT)

    def _shown(self, alert: Alert) -> WebhookAlert:
        expression = self._expressions.get(dict(alert.labels)["alertname"], "")
        return shown(alert, expression=expression, external_url=self._external_url)

    def _keep(self) -> None:
        if self._path is None:
            return
        groups: list[told.Told] = [
            {
                "labels": group.labels,
                "firing": [*group.firing.values(), *group.restored.values()],
                "unsent": list(group.unsent),
            }
            for group in self._groups.values()
        ]
        try:
            told.write(self._path, groups)
        except OSError as error:
            # Alerts are told all the same; only a restart would forget them.
            log.error("told.not_kept", path=str(self._path), error=str(error))

    async def _send_all(self, group: _Group) -> None:
        try:
            while group.unsent:
                first = group.unsent[0]
                await self._send(first)
                # It may have been given up meanwhile.
                if group.unsent and group.unsent[0] is first:
                    group.unsent.popleft()
                self._keep()
        finally:
            group.sending = None

    async def _send(self, news: WebhookMessage) -> None:
        """Post until it is accepted, or refused for good."""
        wait_s = self._first_retry_s
        while True:
            trouble, at_least_s = await self._post(news)
            if not trouble:
                return
            notifications.labels("retried").inc()
            log.warning("alertmanager.retries", group=news["groupLabels"], error=trouble, wait_s=wait_s)
            await asyncio.sleep(min(max(wait_s, at_least_s), LONGEST_RETRY_S))
            wait_s = min(wait_s * 2, LONGEST_RETRY_S)

    async def _post(self, news: WebhookMessage) -> tuple[str, float]:
        """Post once; why it has to be tried again, if it has to, and after how many seconds at least."""
        try:
            answer = await answer_within(POST_TIMEOUT_S, self._client, "POST", self._url, json=news)
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
                group=news["groupLabels"],
                status=answer.status_code,
                answer=answer.text[:500],
            )
            return "", 0.0
        notifications.labels("accepted").inc()
        return "", 0.0


def _key(labels: dict[str, str]) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in GROUPED_BY)


def _restored(one: told.Told) -> _Group:
    firing = {alert["fingerprint"]: alert for alert in one["firing"]}
    return _Group(one["labels"], restored=firing, unsent=deque(one["unsent"]))


def _end_restored(group: _Group) -> list[WebhookAlert]:
    """What is restored, as over; the group knows it no longer."""
    now = datetime.now(UTC)
    over = [ended(alert, at=now) for alert in group.restored.values()]
    group.restored.clear()
    return over


def _present(labels: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if value}


def _retry_after_s(answer: httpx.Response) -> float:
    with suppress(ValueError):
        return float(answer.headers.get("retry-after", "0"))
    # The header may also be a date; the growing wait serves as well.
    return 0.0
