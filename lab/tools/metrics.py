"""Metrics and alerts, asked of Prometheus' HTTP API."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import Field

from embedded.errors import LabError
from lab.tools.api import Api, Document
from lab.tools.seat import Seat

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_AGO = re.compile(r"(\d+(?:\.\d+)?)([smh])")


def now() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)


class Metrics:
    """What is measured, now and over time."""

    def __init__(self, seat: Seat, *, clock: Callable[[], datetime] = now) -> None:
        self._api = Api(seat.url("prometheus") + "/api/v1")
        self._clock = clock

    def query_metrics(self, promql: str) -> Document:
        """Evaluate a PromQL expression now; the expression can be evidence of kind `metric`."""
        return self._result(self._api.get("/query", query=promql))

    def query_metrics_over_time(
        self,
        promql: str,
        since: Annotated[str, Field(description="ISO 8601, or how long ago: 15m, 2h.")] = "15m",
        step_s: Annotated[float, Field(ge=1)] = 15,
    ) -> Document:
        """Evaluate a PromQL expression at each step from `since` until now."""
        end = self._clock()
        start = moment(since, now=end)
        times = {"start": start.timestamp(), "end": end.timestamp(), "step": step_s}
        return self._result(self._api.get("/query_range", query=promql, **times))

    def list_metrics(self) -> Document:
        """The names of everything that is measured."""
        return {"metrics": self._api.get("/label/__name__/values")["data"]}

    def list_alerts(self) -> Document:
        """Alerts that are pending or firing now."""
        return self._result(self._api.get("/alerts"))

    def releases(self, service: str, *, since: str = "1h") -> list[str]:
        """The releases that a service ran as, the one that began last at the end."""
        found = self.query_metrics_over_time(f'build_info{{service="{service}"}}', since, 5)
        last_began: dict[str, float] = {}
        for series in found["result"]:  # type: ignore[union-attr]
            release = series["metric"]["release"]  # type: ignore[index,call-overload]
            began = float(series["values"][0][0])  # type: ignore[index,call-overload,arg-type]
            last_began[str(release)] = max(began, last_began.get(str(release), 0.0))
        return sorted(last_began, key=lambda release: last_began[release])

    def _result(self, answer: Document) -> Document:
        found = answer["data"]
        return found if isinstance(found, dict) else {"result": found}


def moment(text: str, *, now: datetime) -> datetime:
    """A time as a person writes it: ISO 8601 (UTC if it does not say), or how long ago."""
    if ago := _AGO.fullmatch(text.strip()):
        return now - timedelta(seconds=float(ago[1]) * _SECONDS[ago[2]])
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise LabError(f"{text!r} is no time: write 15m, 2h or 2026-01-13T09:00:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
