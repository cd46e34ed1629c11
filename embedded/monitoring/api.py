"""Prometheus' HTTP API, the part that the console, the grader and the exporter use.

Paths, parameters, shapes and errors: https://prometheus.io/docs/prometheus/latest/querying/api/.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote

import promql_parser
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from embedded.monitoring.alerts import Alert
from embedded.monitoring.evaluation import Points, QueryTimedOut, Steps, instant, over_range
from embedded.monitoring.numbers import plain, scientific
from embedded.monitoring.promql import ExecutionError, Expression, InvalidQuery, read
from embedded.monitoring.promql.nodes import InstantSelector
from embedded.monitoring.rules import AlertingRule, Group, Rule, RuleSet
from embedded.monitoring.scrape import Outcome, Scraper
from embedded.monitoring.store import Labels, Series, Store

MAX_BODY_BYTES = 64 * 1024
MAX_SERIES_MS = 2**53
NOT_HEALTHY = "rules: not evaluated for too long"


@dataclass(frozen=True)
class Api:
    """The routes over one store, its scrapers and its rules.

    ``is_healthy`` says whether the rules are evaluated as they should be;
    ``clock`` gives seconds since the epoch.
    """

    store: Store
    scrapers: Sequence[Scraper]
    rules: RuleSet
    interval_s: float
    is_healthy: Callable[[], bool]
    clock: Callable[[], float] = time.time

    def routes(self) -> list[Route]:
        """Every route, for an application."""
        both = ["GET", "POST"]
        return [
            Route("/api/v1/query", _answering(self.query), methods=both),
            Route("/api/v1/query_range", _answering(self.query_range), methods=both),
            Route("/api/v1/series", _answering(self.series), methods=both),
            Route("/api/v1/labels", _answering(self.labels), methods=both),
            Route("/api/v1/label/{name}/values", _answering(self.label_values), methods=["GET"]),
            Route("/api/v1/alerts", _answering(self.alerts), methods=["GET"]),
            Route("/api/v1/rules", _answering(self.rule_groups), methods=["GET"]),
            Route("/api/v1/targets", _answering(self.targets), methods=["GET"]),
            Route("/-/healthy", self._saying("Prometheus Server is Healthy.\n")),
            Route("/-/ready", self._saying("Prometheus Server is Ready.\n")),
            Route("/graph", _graph),
        ]

    async def query(self, request: "Parameters") -> Any:
        """One expression at one moment."""
        at_ms = request.time_ms("time", default=self._now_ms())
        result = instant(_expression(request), self.store, at_ms)
        if isinstance(result, float):
            return {"resultType": "scalar", "result": _sample(at_ms, result)}
        if isinstance(result, dict):
            vector = [{"metric": dict(labels), "value": _sample(at_ms, v)} for labels, v in result.items()]
            return {"resultType": "vector", "result": vector}
        windows = ((labels, list(zip(w.at_ms, w.values, strict=True))) for labels, w in result)
        return {"resultType": "matrix", "result": _matrix(windows)}

    async def query_range(self, request: "Parameters") -> Any:
        """One expression at many moments."""
        steps = Steps(request.time_ms("start"), request.time_ms("end"), request.duration_ms("step"))
        series = await over_range(_expression(request), self.store, steps)
        return {"resultType": "matrix", "result": _matrix(sorted(series.items()))}

    async def series(self, request: "Parameters") -> Any:
        """The series that match, with samples in the time asked for."""
        if not request.every("match[]"):
            raise InvalidQuery("no match[] parameter provided")
        return [dict(labels) for labels in sorted(series.labels for series in self._matching(request))]

    async def labels(self, request: "Parameters") -> Any:
        """The names of labels."""
        return sorted({name for series in self._matching(request) for name, _ in series.labels})

    async def label_values(self, request: "Parameters") -> Any:
        """The values of one label."""
        wanted = request.path["name"]
        labels = (label for series in self._matching(request) for label in series.labels)
        return sorted({value for name, value in labels if name == wanted})

    async def alerts(self, _request: "Parameters") -> Any:
        """What is pending and what fires."""
        rules = (rule for group in self.rules.groups for rule in group.rules)
        return {
            "alerts": [_alert(a) for rule in rules if isinstance(rule, AlertingRule) for a in rule.active]
        }

    async def rule_groups(self, request: "Parameters") -> Any:
        """Every rule and how it goes; ``type=alert`` or ``record`` leaves the others out."""
        kind = request.one("type")
        if kind not in ("", "alert", "record"):
            raise InvalidQuery(f'not supported value "{kind}"')
        return {"groups": [self._group(group, kind) for group in self.rules.groups]}

    async def targets(self, request: "Parameters") -> Any:
        """What is scraped and how that goes."""
        active = [] if request.one("state") == "dropped" else [self._target(s) for s in self.scrapers]
        return {"activeTargets": active, "droppedTargets": []}

    def _saying(self, well: str) -> Callable[[Request], Awaitable[Response]]:
        """Answers ``well`` while it is healthy. A real Prometheus does so whatever becomes of its rules."""

        async def answer(_request: Request) -> Response:
            if not self.is_healthy():
                return PlainTextResponse(f"{NOT_HEALTHY}\n", 503)
            return PlainTextResponse(well)

        return answer

    def _now_ms(self) -> int:
        return int(self.clock() * 1000)

    def _matching(self, request: "Parameters") -> Iterable[Series]:
        start_ms = request.time_ms("start", default=0)
        end_ms = request.time_ms("end", default=MAX_SERIES_MS)
        given = [read(text).root for text in request.every("match[]")]
        if not all(isinstance(root, InstantSelector) for root in given):
            raise InvalidQuery("a series selector is needed in match[]")
        selected = [self.store.select(r.selector) for r in given if isinstance(r, InstantSelector)]
        candidates = {s.labels: s for group in selected for s in group}.values() if given else self.store
        return [series for series in candidates if series.window(start_ms, end_ms).at_ms]

    def _group(self, group: Group, kind: str) -> dict[str, Any]:
        wanted = [
            rule for rule in group.rules if not kind or isinstance(rule, AlertingRule) is (kind == "alert")
        ]
        outcomes = [rule.outcome for rule in group.rules]
        return {
            "name": group.name,
            "file": str(group.file),
            "rules": [_rule(rule) for rule in wanted],
            "interval": self.interval_s,
            "limit": 0,
            "evaluationTime": sum(outcome.took_s for outcome in outcomes),
            "lastEvaluation": _iso(max((o.began_at for o in outcomes if o.began_at), default=None)),
        }

    def _target(self, scraper: Scraper) -> dict[str, Any]:
        target, outcome = scraper.target, scraper.outcome
        return {
            "discoveredLabels": {
                "__address__": target.instance,
                "__metrics_path__": "/metrics",
                "__scheme__": target.url.partition(":")[0],
                "job": target.job,
            },
            "labels": target.labels,
            "scrapePool": target.job,
            "scrapeUrl": target.url,
            "globalUrl": target.url,
            "lastError": outcome.error,
            "lastScrape": _last_scrape(outcome),
            "lastScrapeDuration": outcome.duration_s,
            "health": outcome.health,
            "scrapeInterval": f"{self.interval_s:g}s",
            "scrapeTimeout": f"{scraper.timeout_s:g}s",
        }


# Requests


class Parameters:
    """The parameters of a request, from its query and its form."""

    def __init__(self, pairs: Iterable[tuple[str, str]], path: Mapping[str, str]) -> None:
        self._pairs = list(pairs)
        self.path = path

    def every(self, name: str) -> list[str]:
        """All values of a parameter."""
        return [value for key, value in self._pairs if key == name]

    def one(self, name: str) -> str:
        """The first value of a parameter, ``""`` if it is not given."""
        return next(iter(self.every(name)), "")

    def time_ms(self, name: str, *, default: int | None = None) -> int:
        """A moment, given in Unix seconds or as RFC 3339."""
        text = self.one(name)
        if not text and default is not None:
            return default
        seconds = _number(text)
        try:
            at_s = seconds if seconds is not None else datetime.fromisoformat(text).timestamp()
            return round(at_s * 1000)
        except (ValueError, OverflowError) as error:
            raise InvalidQuery(
                f'invalid parameter "{name}": cannot parse "{text}" to a valid timestamp'
            ) from error

    def duration_ms(self, name: str) -> int:
        """A duration, given in seconds or as ``1m30s``."""
        text = self.one(name)
        seconds = _number(text)
        try:
            duration_s = (
                seconds if seconds is not None else promql_parser.parse_duration(text).total_seconds()
            )
            return round(duration_s * 1000)
        except (ValueError, OverflowError) as error:
            raise InvalidQuery(
                f'invalid parameter "{name}": cannot parse "{text}" to a valid duration'
            ) from error


async def _parameters(request: Request) -> Parameters:
    pairs = list(request.query_params.multi_items())
    if request.method == "POST":
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise InvalidQuery(f"a form of more than {MAX_BODY_BYTES} bytes")
        pairs = [*parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True), *pairs]
    return Parameters(pairs, request.path_params)


def _expression(parameters: Parameters) -> Expression:
    text = parameters.one("query")
    if not text.strip():
        raise InvalidQuery('invalid parameter "query": unknown position: parse error: no expression found')
    return read(text)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < MAX_SERIES_MS else None


# Answers


def _answering(
    method: Callable[[Parameters], Awaitable[Any]],
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            result = await method(await _parameters(request))
        except InvalidQuery as error:
            return _error(400, "bad_data", str(error))
        except ExecutionError as error:
            return _error(422, "execution", str(error))
        except QueryTimedOut as error:
            return _error(503, "timeout", str(error))
        return JSONResponse({"status": "success", "data": result})

    return answer


def _error(status: int, kind: str, message: str) -> JSONResponse:
    return JSONResponse({"status": "error", "errorType": kind, "error": message}, status)


async def _graph(request: Request) -> Response:
    """Where an alert's link leads: there is no page, but the query has an answer."""
    expression = request.query_params.get("g0.expr", "")
    return RedirectResponse(f"/api/v1/query?query={quote(expression, safe='')}", 307)


def _sample(at_ms: int, value: float) -> list[float | str]:
    return [at_ms / 1000, plain(value)]


def _matrix(series: Iterable[tuple[Labels, Points]]) -> list[dict[str, Any]]:
    return [
        {"metric": dict(labels), "values": [_sample(at_ms, value) for at_ms, value in points]}
        for labels, points in series
    ]


def _rule(rule: Rule) -> dict[str, Any]:
    common = {
        "name": rule.name,
        "query": rule.expression.text,
        "health": "err" if rule.outcome.error else "ok" if rule.outcome.began_at else "unknown",
        **({"lastError": rule.outcome.error} if rule.outcome.error else {}),
        "evaluationTime": rule.outcome.took_s,
        "lastEvaluation": _iso(rule.outcome.began_at),
    }
    if not isinstance(rule, AlertingRule):
        return {**common, "labels": rule.labels, "type": "recording"}
    alerts = list(rule.active)
    states = {alert.state for alert in alerts}
    return {
        **common,
        "state": "firing" if "firing" in states else "pending" if states else "inactive",
        "duration": rule.hold_ms / 1000,
        "keepFiringFor": rule.keep_firing_ms / 1000,
        "labels": {name: template.text for name, template in rule.texts.labels.items()},
        "annotations": {name: template.text for name, template in rule.texts.annotations.items()},
        "alerts": [_alert(alert) for alert in alerts],
        "type": "alerting",
    }


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "labels": dict(alert.labels),
        "annotations": alert.annotations,
        "state": alert.state,
        "activeAt": _iso(datetime.fromtimestamp(alert.active_at_ms / 1000, UTC)),
        "value": scientific(alert.value),
    }


def _last_scrape(outcome: Outcome) -> str:
    return _iso(outcome.began_at)


def _iso(moment: datetime | None) -> str:
    if moment is None:
        return "0001-01-01T00:00:00Z"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
