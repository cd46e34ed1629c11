"""The same samples in a real Prometheus and in this engine: every expression has the same value in both.

Time runs ten times as fast: durations are a tenth of what the rules say, and
a scrape comes each half second. The exporter is scraped by Prometheus first;
then the engine scrapes the same bodies at the moments that Prometheus noted.

A sample bears the time at which its scrape began and is seen once it is
stored, some milliseconds later. So each recording group records which scrape
was the newest that it saw, and the engine evaluates it after that one.
"""

import asyncio
import math
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import yaml

from embedded.free_ports import free_port
from embedded.monitoring.app import new_client
from embedded.monitoring.promql import ExecutionError, Moment, QueryError, Scalar, read
from embedded.monitoring.promql.nodes import Instant
from embedded.monitoring.rules import RecordingRule, Rule, RuleSet, load
from embedded.monitoring.scrape import Scraper
from embedded.monitoring.settings import RULES
from embedded.monitoring.store import Labels, Store, labels_of
from embedded.monitoring.targets import Target
from monitoring.grafana.queries import PROMETHEUS as DASHBOARDS_PROMETHEUS
from monitoring.grafana.queries import Chosen, filled_in, queries, read_dashboards
from tests.service.embedded.monitoring.conftest import Exporter, exporting

PROMETHEUS = shutil.which("prometheus")
SCRAPE_EVERY_S = 0.5
SCRAPES = 60
VANISHES_AT, RESET_AT, DOWN = 40, 25, range(30, 34)
MOMENTS = 25
TRIES = 5
SAW_FIRST, SAW_LAST = "saw_first:ms", "saw_last:ms"
"""Recorded by each recording group before and after its own rules: the newest scrape that was to be seen."""
_DURATION = re.compile(r"(\[|offset )(\d+)([smh])")
_MILLISECONDS = {"s": 100, "m": 6_000, "h": 360_000}
OF_EACH_ITS_OWN = re.compile(r"\bALERTS\b|scrape_duration_seconds")
"""Depends on when a group without recording rules was evaluated, or on how long a scrape took."""
DASHBOARDS = sorted(
    {
        filled_in(query, Chosen(since=datetime.fromtimestamp(0, UTC), until=datetime.fromtimestamp(120, UTC)))
        for query in queries(read_dashboards())
        if query.source == DASHBOARDS_PROMETHEUS and not OF_EACH_ITS_OWN.search(query.text)
    }
)
"""The expressions of all dashboards, over two minutes and with all services chosen."""

pytestmark = pytest.mark.skipif(
    PROMETHEUS is None, reason="prometheus is not on this machine: install the package prometheus"
)

BEYOND_THE_RULES = """\
up
up == 0
http_requests_total
http_requests_total{status!~"2.."} offset 2s
rate(http_requests_total[3s])
irate(http_requests_total[3s])
increase(http_requests_total{service="payment"}[5s] offset 1s)
delta(db_pool_in_use[4s])
idelta(db_pool_in_use[4s])
changes(db_pool_in_use[6s])
resets(http_requests_total[20s])
avg_over_time(db_pool_in_use[3700ms])
min_over_time(db_pool_in_use[3s])
max_over_time(db_pool_in_use[3s])
sum_over_time(up[10s])
count_over_time(http_requests_total[10s])
last_over_time(http_requests_total[10s])
present_over_time(http_requests_total[10s])
absent(http_requests_total{service="nobody"})
absent(up)
absent_over_time(leaves{x="1"}[2s])
leaves
rate(leaves[3s])
histogram_quantile(0.99, sum by (le, route) (rate(http_request_duration_seconds_bucket[3s])))
histogram_quantile(0.5, rate(http_request_duration_seconds_bucket[4500ms]))
histogram_quantile(0.1, http_request_duration_seconds_bucket)
rate(http_request_duration_seconds_sum[3s]) / rate(http_request_duration_seconds_count[3s])
sum by (status) (rate(http_requests_total{status=~"5.."}[3s])) / on () group_left () sum(up) > 0.05
db_pool_in_use >= bool 5
3 < db_pool_in_use
db_pool_in_use % 3 - 2 ^ -1
-db_pool_in_use
2 * 3 ^ 2 - 1 / 0
up unless on (job) db_pool_in_use > 5
up and on (job) (db_pool_in_use > 5)
http_requests_total{status="500"} or http_requests_total{status="200"}
count by (status) (http_requests_total)
sum without (status, instance) (http_requests_total)
avg without (le) (http_request_duration_seconds_bucket)
min(http_request_duration_seconds_bucket) by (le)
max(db_pool_in_use)
group by (route) (http_requests_total)
topk(1, http_requests_total)
bottomk by (service) (1, rate(http_request_duration_seconds_bucket{le!="+Inf",le!="1"}[3s]))
http_requests_total / on (job, instance) group_left () sum by (job, instance) (http_requests_total)
sum by (service) (http_requests_total) * on (service) group_right () http_requests_total
http_requests_total * on (service) group_left (release) build_info
sum(http_requests_total) by (status) > ignoring (status) group_left sum(db_pool_in_use)
db_pool_in_use > on (service) db_pool_size
db_pool_in_use / on (service) db_pool_size
db_pool_size - ignoring (nothing) db_pool_size
db_pool_size > bool ignoring (nothing) db_pool_size
scalar(db_pool_size{service="payment"}) * 2
vector(scalar(up)) + vector(1)
time() - process_start_time_seconds > 60
timestamp(up) - timestamp(db_pool_size)
clamp_max(db_pool_in_use, 4)
clamp_min(db_pool_in_use, 4)
clamp(db_pool_in_use, 3, 5)
abs(delta(db_pool_in_use[3s]))
ceil(db_pool_in_use / 3)
floor(-db_pool_in_use / 3)
round(db_pool_in_use / 7, 0.01)
sqrt(db_pool_in_use)
exp(db_pool_in_use)
ln(db_pool_in_use - 3)
log2(db_pool_in_use)
log10(db_pool_in_use)
sgn(db_pool_in_use - 5)
sort_desc(http_requests_total)
label_replace(http_requests_total, "class", "${1}xx", "status", "(.).*")
worded{x=~"Été.noir"}
worded{x=~"(?s)Été.noir"}
worded{x=~"(?i)ÉTÉ"}
worded{x=~"Ét."}
worded{x=~"t"}
worded{x=~".*"}
worded{x!~".+"}
worded{x=~"|Été"}
worded{x=~"(.+)+0"}
label_replace(worded, "y", "$1-${rest}-$1x-$$-$7-$01-$0", "x", "(É)(?P<rest>t.*)(z)?")
label_replace(worded, "x", "", "x", "Été")
label_replace(worded, "y", "whole", "x", ".*")
odd
odd * 0
sum(odd)
max(odd)
avg_over_time(odd[3s])
""".splitlines()


def faster(text: str) -> str:
    """The same expression on the clock that runs ten times as fast."""
    return _DURATION.sub(lambda found: f"{found[1]}{int(found[2]) * _MILLISECONDS[found[3]]}ms", text)


def histogram(name: str, labels: str, *, quick: int, slow: int) -> list[str]:
    """The buckets of a histogram: so many observations below 0.1, so many between 1 and 2.5."""
    comma = "," if labels else ""
    buckets = {"0.1": quick, "1": quick, "2.5": quick + slow, "+Inf": quick + slow}
    return [
        *(f'{name}_bucket{{{labels}{comma}le="{le}"}} {value}' for le, value in buckets.items()),
        f"{name}_count{{{labels}}} {quick + slow}",
    ]


def of_the_platform(n: int, *, count: int, slow: int) -> dict[str, float]:
    """What the incident platform, the load, the schedule and the exporter of Postgres show, by series."""
    return {
        'incidents_unresolved{severity="critical"}': n % 2,
        'incidents_unresolved{severity="high"}': n % 5,
        'incidents_total{status="open"}': n % 4,
        'alerts_received_total{severity="critical"}': count // 2,
        'alerts_received_total{severity="low"}': count,
        'alerts_correlated_total{result="new_incident"}': count // 4,
        'alerts_correlated_total{result="existing_incident"}': count,
        'incident_outbox_pending{kind="page"}': n % 3,
        "notifications_pending": n % 6,
        "escalations_pending": 0,
        "alerts_pending": n % 2,
        'signals_dropped_total{service="payment"}': slow,
        'dns_queries_total{service="dns",transport="udp",rcode="NOERROR"}': 3 * count,
        'dns_queries_total{service="dns",transport="udp",rcode="NXDOMAIN"}': slow,
        'telemetry_stored_total{kind="spans"}': 9 * count,
        'telemetry_stored_total{kind="signals"}': slow,
        "traffic_planned_requests_per_second": 8,
        "traffic_dealt_total": 4 * count,
        "traffic_late_total": slow,
        "traffic_unsent_total": slow // 2,
        'traffic_answered_total{result="ok"}': 3 * count,
        'traffic_answered_total{result="failed"}': slow,
        "process_cpu_seconds_total": 0.05 * count,
        "process_resident_memory_bytes": 6e7 + n,
        'lab_phase{scenario="quiet-night",phase="hold"}': 1,
        'pg_sessions_sessions{application="payment",state="idle",wait="Client"}': 2 + n % 3,
        'pg_sessions_sessions{application="payment",state="active",wait="Lock"}': n % 2,
        'pg_sessions_longest_transaction_seconds{application="payment",state="active",wait="Lock"}': slow,
    }


def body(n: int) -> tuple[int, str]:
    """What the exporter answers to its scrape number ``n``, as status and text."""
    if n in DOWN:
        return 500, ""
    count = n if n < RESET_AT else n - RESET_AT
    slow, failed = max(0, count - 10), count // 3
    lines = [
        f"process_start_time_seconds {0 if n < RESET_AT else 1000}",
        'odd{x="a"} NaN',
        'odd{x="b"} +Inf',
        f'odd{{x="c"}} {n}',
        'worded{x="Été"} 1',
        'worded{x="Été\\nnoir"} 2',
    ]
    for service, route in (("payment", "/api/payment"), ("gateway", "/checkout"), ("profile", "/health")):
        given = f'service="{service}",method="GET",route="{route}"'
        lines += [
            f'http_requests_total{{{given},status="200"}} {7 * count}',
            f'http_requests_total{{{given},status="404"}} {count // 4}',
            f'http_request_duration_seconds_bucket{{{given},le="0.1"}} {5 * count}',
            f'http_request_duration_seconds_bucket{{{given},le="1"}} {6 * count}',
            f'http_request_duration_seconds_bucket{{{given},le="2.5"}} {7 * count + slow}',
            f'http_request_duration_seconds_bucket{{{given},le="+Inf"}} {7 * count + failed + slow}',
            f"http_request_duration_seconds_sum{{{given}}} {0.3 * count + 1.7 * slow}",
            f"http_request_duration_seconds_count{{{given}}} {7 * count + failed + slow}",
            f'db_pool_size{{service="{service}"}} 10',
            f'db_pool_in_use{{service="{service}"}} {3 + (n * n + len(service)) % 6}',
            f'db_pool_wait_seconds_sum{{service="{service}"}} {0.01 * count + 0.8 * slow}',
            f'build_info{{service="{service}",release="r{n // 20}"}} 1',
            f'dependency_requests_total{{service="{service}",dependency="fraud",outcome="ok"}} {4 * count}',
            f'dependency_requests_total{{service="{service}",dependency="fraud",outcome="timeout"}} {slow}',
            f'db_pool_waiting{{service="{service}"}} {n % 3}',
            *histogram("db_pool_wait_seconds", f'service="{service}"', quick=3 * count, slow=slow),
            *histogram("db_query_seconds", f'service="{service}"', quick=9 * count, slow=slow),
            *histogram(
                "dependency_request_duration_seconds",
                f'service="{service}",dependency="fraud"',
                quick=4 * count,
                slow=slow,
            ),
        ]
        if failed:
            lines.append(f'http_requests_total{{{given},status="500"}} {failed}')
    lines += [
        f'cache_requests_total{{service="profile",result="{r}"}} {k * count}'
        for r, k in (("hit", 1), ("miss", 40))
    ]
    lines += [f"{name} {value}" for name, value in of_the_platform(n, count=count, slow=slow).items()]
    for name in ("incident_mtta_seconds", "incident_mttr_seconds", "alert_ingestion_seconds"):
        lines += histogram(name, "", quick=count // 5, slow=slow // 5)
    lines += histogram("notification_delivery_seconds", 'channel="console"', quick=count, slow=slow)
    if n < VANISHES_AT:
        lines.append(f'leaves{{x="1"}} {3 * n}')
    return 200, "\n".join(lines) + "\n"


Evaluated = tuple[int, int, str]
"""The newest scrape that was seen and the moment of the evaluation, in milliseconds, and the group."""


@dataclass
class Both:
    """A Prometheus that is still there to be asked, and the engine's store with the same samples."""

    api: httpx.Client
    store: Store
    first_ms: int = 0
    last_ms: int = 0
    vanished_ms: int = 0

    def ask(self, query: str, at_ms: int) -> float | dict[Labels, float]:
        """Prometheus' answer."""
        answer = self.api.get("/api/v1/query", params={"query": query, "time": f"{at_ms / 1000:.3f}"})
        result = answer.raise_for_status().json()["data"]
        if result["resultType"] == "scalar":
            return float(result["result"][1])
        return {labels_of(one["metric"]): float(one["value"][1]) for one in result["result"]}

    def evaluate(self, query: str, at_ms: int) -> float | dict[Labels, float]:
        """The engine's."""
        root, moment = read(query).root, Moment(self.store, at_ms)
        if isinstance(root, Scalar):
            return root.value(moment)
        assert isinstance(root, Instant)
        return root.vector(moment)

    def noted(self, series: str) -> dict[Labels, dict[int, float]]:
        """The samples that Prometheus wrote, by milliseconds."""
        answer = self.api.get("/api/v1/query", params={"query": f"{series}[10m]"})
        found = answer.raise_for_status().json()["data"]["result"]
        return {
            labels_of(one["metric"]): {round(at * 1000): float(value) for at, value in one["values"]}
            for one in found
        }

    def noted_ms(self, series: str) -> list[int]:
        """When Prometheus wrote samples of a series."""
        return sorted({at_ms for samples in self.noted(series).values() for at_ms in samples})

    def evaluated(self) -> list[Evaluated] | None:
        """What Prometheus evaluated; ``None`` if a scrape was stored in the middle of an evaluation."""
        last = {dict(labels)["group"]: samples for labels, samples in self.noted(SAW_LAST).items()}
        first = {dict(labels)["group"]: samples for labels, samples in self.noted(SAW_FIRST).items()}
        found = [
            (round(saw_ms), at_ms, group)
            for group, samples in last.items()
            for at_ms, saw_ms in samples.items()
            if first[group].get(at_ms) == saw_ms
        ]
        return sorted(found) if len(found) == sum(len(samples) for samples in last.values()) else None


def same(a: float, b: float) -> bool:
    return (a != a and b != b) or math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)


def agree(theirs: float | dict[Labels, float], ours: float | dict[Labels, float]) -> bool:
    if isinstance(theirs, float) or isinstance(ours, float):
        return isinstance(theirs, float) and isinstance(ours, float) and same(theirs, ours)
    return theirs.keys() == ours.keys() and all(same(value, ours[labels]) for labels, value in theirs.items())


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Scraped by Prometheus for half a minute, and then by the engine."""
    for _ in range(TRIES):
        with exporting() as first, exporting() as second:
            first.script = second.script = body
            folder = tmp_path_factory.mktemp("prometheus")
            rules = faster_rules(folder / "rules")
            with prometheus(folder, first, instance=second.url.removeprefix("http://")) as api:
                wait_until(lambda: first.scrapes >= SCRAPES)
                both = Both(api, Store())
                evaluated = both.evaluated()
                if evaluated is None:
                    continue
                scraped_ms = both.noted_ms("up")
                asyncio.run(replay(both, second, rules, scraped_ms=scraped_ms, evaluated=evaluated))
                both.first_ms = scraped_ms[12]
                last_ms = {group: at_ms for _, at_ms, group in evaluated}
                both.last_ms = min(scraped_ms[-1], *last_ms.values())
                both.vanished_ms = scraped_ms[VANISHES_AT]
                yield both
                return
    raise AssertionError(f"{TRIES} times a scrape was stored in the middle of a group's evaluation")


def faster_rules(folder: Path) -> Path:
    """The folder, with the rules at ten times their speed; each recording group says what it saw."""
    folder.mkdir()
    for path in RULES.glob("*.yml"):
        content = yaml.safe_load(faster(path.read_text()))
        for group in content["groups"]:
            if not any("record" in rule for rule in group["rules"]):
                continue
            first, last = (
                {"record": name, "labels": {"group": group["name"]}, "expr": "max(timestamp(up)) * 1000"}
                for name in (SAW_FIRST, SAW_LAST)
            )
            group["rules"] = [first, *group["rules"], last]
        (folder / path.name).write_text(yaml.safe_dump(content))
    return folder


@contextmanager
def prometheus(folder: Path, exporter: Exporter, *, instance: str) -> Iterator[httpx.Client]:
    """A real Prometheus that scrapes the exporter and evaluates the rules; a client for its API."""
    every = f"{int(SCRAPE_EVERY_S * 1000)}ms"
    target = {"targets": [exporter.url.removeprefix("http://")], "labels": {"instance": instance}}
    configuration = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(folder / "rules" / "*.yml")],
        "scrape_configs": [{"job_name": "shop", "static_configs": [target]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    address = f"127.0.0.1:{free_port()}"
    assert PROMETHEUS is not None
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address={address}",
                "--log.level=warn",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        with httpx.Client(base_url=f"http://{address}", trust_env=False, timeout=20) as api:
            yield api
    finally:
        process.terminate()
        process.wait(20)


def wait_until(holds: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < ends_at, "Prometheus did not scrape"
        time.sleep(0.1)


async def replay(
    both: Both, exporter: Exporter, rules: Path, *, scraped_ms: list[int], evaluated: list[Evaluated]
) -> None:
    """Scrape at the moments at which Prometheus did, and evaluate what it had seen by then."""
    recording = {group for *_, group in evaluated}
    groups = {g.name: RuleSet([g], store=both.store) for g in load(rules) if g.name in recording}
    now_s = 0.0
    async with new_client() as client:
        scraper = Scraper(
            Target("shop", f"{exporter.url}/metrics"),
            store=both.store,
            client=client,
            timeout_s=5.0,
            clock=lambda: now_s,
        )
        scrapes: list[Evaluated] = [(at_ms, 0, "") for at_ms in scraped_ms]
        for saw_ms, at_ms, group in sorted([*evaluated, *scrapes]):
            if group:
                groups[group].evaluate(at_ms)
                continue
            now_s = (saw_ms + 0.5) / 1000
            await scraper.scrape()


def moments(both: Both) -> list[int]:
    """When to compare: anywhere, and around the moment at which a series vanished."""
    rng = random.Random(1)
    anywhere = [rng.randint(both.first_ms, both.last_ms) for _ in range(MOMENTS)]
    return [*anywhere, both.vanished_ms - 1, both.vanished_ms, both.vanished_ms + 1]


def assert_agree(both: Both, query: str) -> None:
    for at_ms in moments(both):
        theirs, ours = both.ask(query, at_ms), both.evaluate(query, at_ms)
        assert agree(theirs, ours), f"{query} at {at_ms}:\n{theirs}\n{ours}"


@pytest.mark.parametrize(
    "rule", [rule for group in load(RULES) for rule in group.rules], ids=lambda rule: rule.name
)
def test_every_expression_of_the_rules_has_the_same_value(both: Both, rule: Rule) -> None:
    assert_agree(both, faster(rule.expression.text))


@pytest.mark.parametrize(
    "name", [r.name for group in load(RULES) for r in group.rules if isinstance(r, RecordingRule)]
)
def test_every_recorded_series_has_the_same_samples(both: Both, name: str) -> None:
    assert any(both.ask(name, at_ms) for at_ms in moments(both))
    assert_agree(both, name)


@pytest.mark.parametrize("query", DASHBOARDS)
def test_every_expression_of_the_dashboards_has_the_same_value(both: Both, query: str) -> None:
    asked = faster(query)

    assert any(both.ask(asked, at_ms) for at_ms in moments(both)), "the exporter has nothing for it"
    assert_agree(both, asked)


@pytest.mark.parametrize("query", BEYOND_THE_RULES)
def test_every_function_and_operator_has_the_same_value(both: Both, query: str) -> None:
    assert_agree(both, query)


def test_a_series_that_vanished_is_gone_for_both_at_the_same_moment(both: Both) -> None:
    before, after = both.vanished_ms - 1, both.vanished_ms

    assert len(both.ask("leaves", before)) == len(both.evaluate("leaves", before)) == 1  # type: ignore[arg-type]
    assert both.ask("leaves", after) == both.evaluate("leaves", after) == {}


@pytest.mark.parametrize(
    "query",
    [
        "http_requests_total * on () db_pool_size",
        "sum(",
        "rate(up)",
        'label_replace(up, "a", "", "job", "(?=s)")',
        'up{job=~"s{1001}"}',
    ],
)
def test_what_prometheus_refuses_is_refused(both: Both, query: str) -> None:
    assert both.api.get("/api/v1/query", params={"query": query}).status_code in (400, 422)
    with pytest.raises(QueryError):
        both.evaluate(query, both.last_ms)


@pytest.mark.parametrize("count", ["scalar(nothing)", "1 / 0", "-1 / 0", "1e19", "2 ^ 63"])
def test_what_is_no_count_is_refused_in_the_same_words(both: Both, count: str) -> None:
    query = f"topk({count}, up)"
    theirs = both.api.get("/api/v1/query", params={"query": query})

    with pytest.raises(ExecutionError) as ours:
        both.evaluate(query, both.last_ms)

    assert (theirs.status_code, theirs.json()["error"]) == (422, str(ours.value))
