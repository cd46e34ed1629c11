"""Whether every query of the dashboards finds something: ``python -m monitoring.grafana.check --help``.

What Grafana would show as «No data» or as an error is a problem. Queries are sent as Grafana's data sources
send them: to Prometheus' HTTP API, and as statements to Postgres.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import psycopg2

from monitoring.grafana.queries import (
    PHASES,
    POSTGRES,
    PROMETHEUS,
    Chosen,
    Query,
    filled_in,
    queries,
    read_dashboards,
)

STEP_S = 15
RETRY_S = 5.0
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Problem:
    """A query that fails or finds nothing."""

    query: Query
    sent: str
    reason: str

    def __str__(self) -> str:
        return f"{self.query.place}\n    {self.reason}\n    {' '.join(self.sent.split())}"


@dataclass(frozen=True)
class Sources:
    """Where the data sources are; without Postgres, what it would be asked is left out."""

    prometheus: str
    postgres: str | None = None


def problems(asked: Sequence[Query], sources: Sources, chosen: Chosen) -> list[Problem]:
    """Ask everything once. Raises what ``httpx`` or ``psycopg2`` raises when a source is away."""
    with httpx.Client(base_url=sources.prometheus, timeout=TIMEOUT_S, trust_env=False) as client:
        found = [_ask_prometheus(q, client, chosen) for q in asked if q.source == PROMETHEUS]
    if sources.postgres is not None:
        found += _ask_postgres([q for q in asked if q.source == POSTGRES], sources.postgres, chosen)
    return [problem for problem in found if problem is not None]


def recent(minutes: float) -> Chosen:
    """The last minutes, and everything else as a dashboard shows it at first."""
    now = datetime.now(UTC)
    return Chosen(since=now - timedelta(minutes=minutes), until=now)


def _ask_prometheus(query: Query, client: httpx.Client, chosen: Chosen) -> Problem | None:
    sent = filled_in(query, chosen)
    until = chosen.until.timestamp()
    if query.is_instant:
        answer = client.post("/api/v1/query", data={"query": sent, "time": f"{until:.3f}"})
    else:
        bounds = {"start": f"{chosen.since.timestamp():.3f}", "end": f"{until:.3f}", "step": str(STEP_S)}
        answer = client.post("/api/v1/query_range", data={"query": sent, **bounds})
    if answer.status_code != 200:
        return Problem(query, sent, f"fails: {answer.status_code} {answer.text[:300]}")
    result = answer.json()["data"]["result"]
    values = [v for series in result for _, v in (series.get("values") or [series.get("value")])]
    if not any(math.isfinite(float(value)) for value in values):
        return Problem(query, sent, "is empty" if not values else "has no number")
    return None


def _ask_postgres(asked: Sequence[Query], url: str, chosen: Chosen) -> list[Problem]:
    found = []
    connection = psycopg2.connect(url.replace("postgresql+psycopg2://", "postgresql://", 1))
    connection.autocommit = True
    try:
        for query in asked:
            sent = filled_in(query, chosen)
            with connection.cursor() as cursor:
                try:
                    cursor.execute(sent)
                    if not cursor.fetchall():
                        found.append(Problem(query, sent, "is empty"))
                except psycopg2.errors.Error as error:
                    found.append(Problem(query, sent, f"fails: {str(error).partition(chr(10))[0]}"))
    finally:
        connection.close()
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each problem; 1 if there is one, else 0."""
    options = _parser().parse_args(arguments)
    sources = Sources(options.prometheus, options.postgres)
    asked = [
        query
        for query in queries(read_dashboards())
        if not (options.blind and PHASES in query.text)
        and not (sources.postgres is None and query.source == POSTGRES)
        and not any(metric in query.text for metric in options.without)
    ]
    ends_at_s = time.monotonic() + options.within
    while found := problems(asked, sources, recent(options.minutes)):
        if time.monotonic() > ends_at_s:
            break
        time.sleep(RETRY_S)
    for problem in found:
        print(problem)
    left_out = "" if sources.postgres else " Those to Postgres are left out: no --postgres."
    print(f"{len(asked) - len(found)} of {len(asked)} queries answer.{left_out}")
    return 1 if found else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Ask every query of the dashboards, and say which find nothing."
    )
    parser.add_argument("--prometheus", required=True, metavar="URL")
    parser.add_argument("--postgres", metavar="URL", help="URL of the role observer")
    parser.add_argument("--minutes", type=float, default=15, help="how much of the past to ask for (15)")
    parser.add_argument("--within", type=float, default=0, metavar="SECONDS", help="repeat until all answer")
    parser.add_argument("--blind", action="store_true", help="the lab is blind: no phases")
    parser.add_argument(
        "--without", action="append", default=[], metavar="METRIC", help="leave out what uses this prefix"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
