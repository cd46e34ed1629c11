"""The on-call service's own metrics."""

from prometheus_client import Counter, Gauge

escalations = Counter("escalations_total", "Steps of escalation taken, by what took them.", ["origin"])
escalations_pending = Gauge(
    "escalations_pending", "Steps that the notification service does not have yet, from the database."
)
