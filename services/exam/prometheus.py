"""What the exam asks of Prometheus: golden signals, restarts, alerts, whether a query finds something."""

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import structlog

from services.common.catalog import SERVICES
from services.common.errors import Unavailable
from services.exam.journal import Series

log = structlog.get_logger()

TIMEOUT_S = 10.0
STEP_S = 5
WINDOW = timedelta(minutes=10)
"""So much is asked for at once of an expression that may be anybody's: Prometheus stops what takes long."""
SIGNALS = (
    ("rate", "requests/s", "service:http_requests:rate30s"),
    ("errors", "ratio", "service:http_errors:ratio30s"),
    ("p95", "s", "service:http_request_duration_seconds:p95_30s"),
)
"""Name, unit and recording rule of each golden signal, all by service."""
SERVICE_NAMES = frozenset(service.name for service in SERVICES)
SHOP = ("gateway", "payment", "profile", "inventory", "fraud", "dns")


class Prometheus:
    """Prometheus' HTTP API, by its base URL. Its absence is ``Unavailable``."""

    def __init__(self, url: str, *, client: httpx.Client) -> None:
        self._url = url.rstrip("/")
        self._client = client

    def golden_signals(self, *, since: datetime, until: datetime) -> list[Series]:
        """Rate, error ratio and p95 of each service of the shop."""
        found = []
        for name, unit, rule in SIGNALS:
            for labels, points in self._range(rule, since=since, until=until):
                if labels.get("service") in SHOP:
                    # What is no number cannot be kept as JSON.
                    kept = tuple(point for point in points if math.isfinite(point[1]))
                    found.append(Series(name=name, service=labels["service"], unit=unit, points=kept))
        return sorted(found, key=lambda series: (series.name, series.service))

    def restarts(
        self, *, since: datetime, until: datetime, looked_since: datetime | None = None
    ) -> list[tuple[str, datetime]]:
        """Services with when a process of theirs began between the two moments, by the metric that each
        exposes. ``looked_since`` reads the metric from then on only: a start is seen a scrape later."""
        read = self._range("process_start_time_seconds", since=looked_since or since, until=until)
        began = {
            (labels["job"], value)
            for labels, points in read
            for _at, value in points
            if labels.get("job") in SERVICE_NAMES and since.timestamp() < value <= until.timestamp()
        }
        return [(service, datetime.fromtimestamp(value, UTC)) for service, value in sorted(began)]

    def finds_something(self, expression: str, *, since: datetime, until: datetime) -> bool | str:
        """Whether an expression has a value anywhere between the two moments; why it cannot be evaluated.

        Raises ``GaveUp`` where Prometheus does not manage it.
        """
        try:
            return any(
                points
                for begins, ends in _windows(since, until)
                for _labels, points in self._range(expression, since=begins, until=ends)
            )
        except InvalidExpression as error:
            return str(error)

    def services_of(self, selector: str, *, since: datetime, until: datetime) -> frozenset[str]:
        """The services of the series that a selector meets between the two moments; none if it is none.

        Raises ``GaveUp`` where Prometheus does not manage it.
        """
        try:
            return frozenset(
                labels.get("service") or labels.get("job", "")
                for begins, ends in _windows(since, until)
                for labels, _points in self._range(
                    f"count by (service, job) ({selector})", since=begins, until=ends
                )
            )
        except InvalidExpression:
            return frozenset()

    def active_alerts(self) -> list[str]:
        """The alerts that fire now, or soon will if nothing changes: ``name of service``."""
        alerts = self._answer("/api/v1/alerts")["data"]["alerts"]
        return sorted(f"{one['labels'].get('alertname')} of {one['labels'].get('service')}" for one in alerts)

    def _range(
        self, expression: str, *, since: datetime, until: datetime
    ) -> Iterable[tuple[dict[str, str], list[tuple[float, float]]]]:
        parameters = {
            "query": expression,
            "start": f"{since.timestamp():.3f}",
            "end": f"{until.timestamp():.3f}",
            # Prometheus gives at most 11,000 points a series.
            "step": str(max(STEP_S, int((until - since).total_seconds() / 5_000))),
        }
        answer = self._answer("/api/v1/query_range", parameters)
        return [
            (one["metric"], [(float(at), float(value)) for at, value in one["values"]])
            for one in answer["data"]["result"]
        ]

    def _answer(self, path: str, parameters: dict[str, str] | None = None) -> Any:
        try:
            response = self._client.get(f"{self._url}{path}", params=parameters, timeout=TIMEOUT_S)
        except httpx.ReadTimeout as error:
            raise GaveUp(f"prometheus: no answer within {TIMEOUT_S:g} s") from error
        except httpx.HTTPError as error:
            raise Unavailable(f"prometheus: {type(error).__name__}: {error}") from error
        if response.status_code in (400, 422):
            raise InvalidExpression(response.json().get("error", response.text[:200]))
        if response.status_code == 503 and '"timeout"' not in response.text:
            raise Unavailable("prometheus: status 503")
        if response.is_error:
            raise GaveUp(f"prometheus: status {response.status_code}: {response.text[:200]}")
        return response.json()


class InvalidExpression(Exception):
    """Prometheus does not understand the expression, or cannot evaluate it."""


class GaveUp(Unavailable):
    """Prometheus is there and does not manage what was asked, mostly not in time: it would not again."""


def _windows(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The time between, newest first: what is given as evidence was seen lately."""
    ends = until
    while ends > since:
        begins = max(since, ends - WINDOW)
        yield begins, ends
        ends = begins
