"""Is the shop well? Judged by fresh requests, and by what a repair must not have cost.

Each check answers one way of looking well without being it: no traffic, a stopped service, a rule that was
taken out, a deadline that was raised, a fraud check that was turned off, data that was deleted.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from scenarios import baseline as baselines
from scenarios.access import ADMINISTERED, AccessError, LabAccess
from scenarios.baseline import CONSERVED_SQL, GROWING_SQL, REFERENCE_SQL, Baseline, Route
from scenarios.model import Scenario
from scenarios.probes import Probes
from services.common.catalog import PROMETHEUS

ROUNDS = 5
ROUND_EVERY_S = 1.5
"""The shop must be well for as long as these take together."""
ERROR_MARGIN = 0.1
SLOW_FACTOR = 3.0
SLOW_MARGIN_MS = 1000.0
"""A route is slow when its p95 is above three times its baseline's, and by this much at least."""
LEAST_TRAFFIC = 0.5
"""Share of the planned rate that must reach the gateway."""
DEADLINES = {
    "gateway": ("deadline_s",),
    "payment": ("deadline_s", "fraud_deadline_s", "inventory_deadline_s"),
    "inventory": ("reserve_deadline_s",),
    "profile": ("query_timeout_ms",),
}
_GATEWAY_REQUESTS = re.compile(r'^http_requests_total\{.*route="/(?:api/|checkout).*\} (\S+)$', re.MULTILINE)


class Check(BaseModel):
    """One thing that has to hold, and what was found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    ok: bool
    detail: str = ""


class Verdict(BaseModel):
    """Whether all checks hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    passed: bool
    checks: tuple[Check, ...] = ()

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the checks that do not hold."""
        return tuple(check.name for check in self.checks if not check.ok)


def judge(
    scenario: Scenario,
    lab: LabAccess,
    *,
    baseline: Baseline,
    rounds: int = ROUNDS,
    every_s: float = ROUND_EVERY_S,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Verdict:
    """Judge the lab against its own healthy self; takes about ``rounds`` × ``every_s``.

    A part of the lab that cannot be asked fails the check that needs it.
    """
    routes = routes_of(scenario)
    probes = Probes(lab.urls["gateway"])
    before, since = _asked(lambda: _gateway_requests(lab)), clock()
    found = baselines.measure(lab, routes, rounds=rounds, every_s=every_s, sleep=sleep, probes=probes)
    after, took_s = _asked(lambda: _gateway_requests(lab)), clock() - since
    checks = [
        *_routes(scenario.truth.affected, found, baseline, kind="affected"),
        *_routes(scenario.truth.not_affected, found, baseline, kind="unaffected"),
        _traffic(before, after, own=probes.sent, took_s=took_s, lab=lab, baseline=baseline),
        _check("services", lambda: _services(lab)),
        _check("rules", lambda: _rules(lab, baseline)),
        _check("deadlines", lambda: _deadlines(lab, baseline)),
        _check("fraud", lambda: _fraud(lab, baseline)),
        _check("data", lambda: _data(lab, baseline)),
    ]
    return Verdict(passed=all(check.ok for check in checks), checks=tuple(checks))


def routes_of(scenario: Scenario) -> list[str]:
    """The routes that the scenario says anything about."""
    return [*scenario.truth.affected, *scenario.truth.not_affected]


def all_routes(scenarios: Iterable[Scenario]) -> list[str]:
    """The routes that any scenario says anything about, in an order that tells of none of them."""
    return sorted({route for one in scenarios for route in routes_of(one)})


def _routes(
    routes: Sequence[str], found: Mapping[str, Route], baseline: Baseline, *, kind: str
) -> Iterator[Check]:
    for route in routes:
        was, now = baseline.routes[route], found[route]
        slow_ms = max(SLOW_FACTOR * was.p95_ms, was.p95_ms + SLOW_MARGIN_MS)
        is_well = now.error_ratio <= was.error_ratio + ERROR_MARGIN and now.p95_ms <= slow_ms
        said = f"{now.error_ratio:.0%} fail, p95 {now.p95_ms:.0f} ms (allowed: {slow_ms:.0f} ms)"
        yield Check(name=f"{kind} {route}", ok=is_well, detail=said)


def _traffic(
    before: float | AccessError,
    after: float | AccessError,
    *,
    own: int,
    took_s: float,
    lab: LabAccess,
    baseline: Baseline,
) -> Check:
    """Whether the load still plans what it planned, and that much reaches the gateway beside the probes."""

    def wrong() -> str:
        for one in (before, after):
            if isinstance(one, AccessError):
                raise one
        assert isinstance(before, float)
        assert isinstance(after, float)
        planned = baselines.planned_per_s(lab)
        reached = max(0.0, after - before - own) / took_s
        if planned < baseline.planned_per_s:
            return f"the load plans {planned:g} requests/s, not {baseline.planned_per_s:g}"
        if reached < LEAST_TRAFFIC * planned:
            return f"{reached:.1f} requests/s reach the gateway, {planned:g} are planned"
        return ""

    return _check("traffic", wrong)


def _services(lab: LabAccess) -> str:
    for name in ADMINISTERED:
        lab.get(name, "/health")
    down = lab.get(PROMETHEUS.name, '/api/v1/query?query=up{job!~"traffic-generator|schedule|exam"} == 0')
    found = sorted({one["metric"].get("job", "?") for one in down.json()["data"]["result"]})
    return f"not scraped: {', '.join(found)}" if found else ""


def _rules(lab: LabAccess, baseline: Baseline) -> str:
    if baselines.rules_digest(lab) != baseline.rules:
        return "the alerting rules are not the ones that were loaded before"
    return ""


def _deadlines(lab: LabAccess, baseline: Baseline) -> str:
    raised = [
        f"{service}.{name} is {now:g}, was {was:g}"
        for service, names in DEADLINES.items()
        for view in [_settings(lab, service)]
        for name in names
        for now, was in [(_number(view[name]), _number(baseline.settings[service][name]))]
        if now > was
    ]
    return "; ".join(raised)


def _fraud(lab: LabAccess, baseline: Baseline) -> str:
    now, was = _settings(lab, "payment"), baseline.settings["payment"]
    if now["fraud_policy"] == "off":
        return "payments are not checked for fraud"
    if _number(now["degraded_limit"]) > _number(was["degraded_limit"]):
        return f"payments up to {now['degraded_limit']} pass unchecked, not {was['degraded_limit']}"
    return ""


def _data(lab: LabAccess, baseline: Baseline) -> str:
    with lab.reading() as session, session.cursor() as cursor:

        def ask(query: str) -> Any:
            cursor.execute(query)
            row = cursor.fetchone()
            return None if row is None else row[0]

        changed = [n for n, query in REFERENCE_SQL.items() if not _same_reference(n, ask(query), baseline)]
        lost = [n for n, query in CONSERVED_SQL.items() if str(ask(query)) != baseline.conserved[n]]
        gone = [n for n, query in GROWING_SQL.items() if int(ask(query)) < baseline.rows[n]]
    said = [
        ("rows changed", changed),
        ("not conserved", lost),
        ("rows deleted", gone),
    ]
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in said if names)


def _same_reference(name: str, digest: object, baseline: Baseline) -> bool:
    # What the acquirers accept is the world's, and may be what is wrong: no repair of ours changes it.
    return name == "payment.acquirers" or str(digest) == baseline.reference[name]


def _settings(lab: LabAccess, service: str) -> dict[str, Any]:
    view = lab.get(service, "/ops/settings").json()["settings"]
    return {name: one["value"] for name, one in view.items()}


def _number(value: object) -> float:
    return float(str(value))


def _gateway_requests(lab: LabAccess) -> float:
    return sum(float(count) for count in _GATEWAY_REQUESTS.findall(lab.get("gateway", "/metrics").text))


def _asked(question: Callable[[], float]) -> float | AccessError:
    try:
        return question()
    except AccessError as error:
        return error


def _check(name: str, wrong: Callable[[], str]) -> Check:
    try:
        said = wrong()
    except AccessError as error:
        said = str(error)
    return Check(name=name, ok=not said, detail=said)
