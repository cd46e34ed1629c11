"""An alert and its life: pending until its condition has held ``for`` long, firing, resolved."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from embedded.monitoring.promql import ExecutionError, Vector
from embedded.monitoring.store import NAME, Labels, labels_of
from embedded.monitoring.templates import Alerted, Template

State = Literal["pending", "firing", "resolved"]

_FNV_OFFSET = 14695981039346656037
_FNV_PRIME = 1099511628211
_FNV_MASK = 2**64 - 1
_SEPARATOR = 0xFF


def fingerprint(labels: Mapping[str, str]) -> str:
    """Alertmanager's name of an alert: 64-bit FNV-1a over its labels (common/model/signature.go)."""
    sum_ = _FNV_OFFSET
    for name, value in sorted(labels.items()):
        for part in (name, value):
            for byte in (*part.encode(), _SEPARATOR):
                sum_ = ((sum_ ^ byte) * _FNV_PRIME) & _FNV_MASK
    return f"{sum_:016x}"


@dataclass
class Alert:
    """One element of an alerting rule's result, for as long as it is active. Times are Unix milliseconds."""

    labels: Labels
    annotations: dict[str, str]
    value: float
    state: State
    active_at_ms: int
    seen_at_ms: int
    """When its condition held last."""
    fired_at_ms: int = 0
    resolved_at_ms: int = 0
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        self.fingerprint = fingerprint(dict(self.labels))


@dataclass(frozen=True)
class AlertTexts:
    """What an alerting rule says of its alerts, each a template."""

    name: str
    labels: Mapping[str, Template]
    annotations: Mapping[str, Template]

    def alert_labels(self, element: Labels, value: float) -> Labels:
        """The labels of the alert for one element; the rule's own win."""
        plain = {name: text for name, text in element if name != NAME}
        alerted = Alerted(plain, value)
        own = {name: template.render(alerted) for name, template in self.labels.items()}
        return labels_of({**plain, **own, "alertname": self.name})

    def alert_annotations(self, element: Labels, value: float) -> dict[str, str]:
        """The annotations of the alert for one element."""
        alerted = Alerted({name: text for name, text in element if name != NAME}, value)
        return {name: template.render(alerted) for name, template in self.annotations.items()}


class ActiveAlerts:
    """The alerts of one rule.

    ``hold_ms`` is the rule's ``for``, ``keep_firing_ms`` its ``keep_firing_for``.
    """

    def __init__(self, texts: AlertTexts, *, hold_ms: int, keep_firing_ms: int) -> None:
        self._texts = texts
        self._hold_ms = hold_ms
        self._keep_firing_ms = keep_firing_ms
        self._alerts: dict[Labels, Alert] = {}

    def __iter__(self) -> Iterator[Alert]:
        return iter(self._alerts.values())

    def update(self, result: Vector, at_ms: int) -> list[Alert]:
        """Take in what the rule's expression yields now; the alerts that fire, and those just resolved.

        Raises ``ExecutionError`` when two elements become the same alert.
        """
        self._see(result, at_ms)
        gone = [alert for alert in self._alerts.values() if not self._goes_on(alert, at_ms)]
        for alert in gone:
            del self._alerts[alert.labels]
        resolved = [alert for alert in gone if alert.state == "firing"]
        for alert in resolved:
            alert.state, alert.resolved_at_ms = "resolved", at_ms
        for alert in self._alerts.values():
            if alert.state == "pending" and at_ms - alert.active_at_ms >= self._hold_ms:
                alert.state, alert.fired_at_ms = "firing", at_ms
        return [alert for alert in self._alerts.values() if alert.state == "firing"] + resolved

    def _see(self, result: Vector, at_ms: int) -> None:
        seen: set[Labels] = set()
        for element, value in result.items():
            labels = self._texts.alert_labels(element, value)
            if labels in seen:
                raise ExecutionError(
                    "vector contains metrics with the same labelset after applying alert labels"
                )
            seen.add(labels)
            annotations = self._texts.alert_annotations(element, value)
            alert = self._alerts.get(labels)
            if alert is None:
                self._alerts[labels] = Alert(labels, annotations, value, "pending", at_ms, at_ms)
            else:
                alert.annotations, alert.value, alert.seen_at_ms = annotations, value, at_ms

    def _goes_on(self, alert: Alert, at_ms: int) -> bool:
        if alert.seen_at_ms == at_ms:
            return True
        return alert.state == "firing" and at_ms - alert.seen_at_ms < self._keep_firing_ms
