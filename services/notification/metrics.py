"""The notification service's own metrics."""

from prometheus_client import Counter, Gauge, Histogram

notifications = Counter(
    "notifications_total",
    "Notifications by what became of them: queued, bundled (listed in another's message), delivered, dead;"
    " failed counts attempts.",
    ["channel", "status"],
)
notifications_pending = Gauge(
    "notifications_pending", "Notifications neither delivered nor dead, from the database."
)
notification_delivery = Histogram(
    "notification_delivery_seconds",
    "Time from the acceptance of a notification to its delivery.",
    ["channel"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800),
)
