"""Metrics and alerts, asked of Prometheus' HTTP API."""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from typing import Annotated, Any

from pydantic import Field

from embedded.errors import LabError
from lab.tools.api import Api, Document
from lab.tools.seat import Seat

RELEASE_STEP_S = 5.0
MOST_POINTS = 11_000
"""Prometheus gives no more of a series."""
HOLE_STEPS = 2
"""A series that is away for more steps has ended; one scrape may fail."""
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
        """The releases that a service ran as, one after the other; one that came back is there again."""
        found: Any = self.query_metrics_over_time(f'build_info{{service="{service}"}}', since, RELEASE_STEP_S)
        began = sorted(
            (start_s, str(series["metric"]["release"]))
            for series in found["result"]
            for start_s in _begins([float(at) for at, _ in series["values"]])
        )
        return [release for release, _ in groupby(release for _, release in began)]

    def _result(self, answer: Document) -> Document:
        found = answer["data"]
        return found if isinstance(found, dict) else {"result": found}


def _begins(times_s: list[float]) -> list[float]:
    """Where samples begin, and begin again after a hole."""
    return [at for before, at in pairwise([-math.inf, *times_s]) if at - before > HOLE_STEPS * RELEASE_STEP_S]


def moment(text: str, *, now: datetime) -> datetime:
    """A time as a person writes it: ISO 8601 (UTC if it does not say), or how long ago."""
    try:
        if ago := _AGO.fullmatch(text.strip()):
            return now - timedelta(seconds=float(ago[1]) * _SECONDS[ago[2]])
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise LabError(f"{text!r} is no time: write 15m, 2h or 2026-01-13T09:00:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
