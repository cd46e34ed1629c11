"""Evidence of a diagnosis, checked: is it there, and does it bear on what was wrong.

A signal and a trace are looked up by their ids, a query among the statements
that the candidate's role really ran, a metric in Prometheus over the time of the run.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from services.common.catalog import SERVICES
from services.common.database import Database
from services.common.regex import InvalidRegex, regex
from services.exam.diagnosis import Evidence, identity
from services.exam.journal import Event, EvidenceFinding
from services.exam.prometheus import GaveUp, Prometheus

SLOW_MS = 500.0
"""A trace that took so long shows that something is slow, whatever route it went over."""

_SIGNAL = text("SELECT service, timestamp, level, trace_id FROM telemetry.signals WHERE signal_id = :ref")
_TRACE = text(
    "SELECT services, ended_at, errors, duration_ms, routes FROM telemetry.traces WHERE trace_id = :ref"
)
_STRING = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`"
_SELECTOR = re.compile(
    rf"{_STRING}|\#[^\n]*|(?P<selector>(?P<name>[a-zA-Z_:][\w:]*)(?:\s*\{{(?:[^{{}}\"'`]|{_STRING})*\}})?)"
)
"""A metric's name with its matchers, where an expression reads it: not in a text, nor in a comment."""
_TEXT = re.compile(r"'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$", re.DOTALL)
_READ = r"(?:\b(?:from|join|on|update|table|only)|[,(])\s*(?:pg_catalog\.)?{}\b"
"""A relation where a statement reads or changes it: not as the name of a column, nor in a text."""
_RELATION = re.compile(r"(?:\b(?:from|join|on|update|table|only|lateral)|[,(])\s*(\w+)(?:\.\w+)*\b(?!\s*\()")
"""What may be a relation there, by the first part of its name: an alias and a column are, too."""
_AROUND_DOT = re.compile(r"(?<!\s)\s*\.\s*")
"""From the first blank on alone: a statement may have a hundred thousand of them."""
_CATALOG = "pg_catalog"
_SCHEMAS = {service.package for service in SERVICES} | {"incident", "information_schema", "ops", _CATALOG}
_MATCHER = re.compile(rf"(\w+)\s*(=~|!~|!=|=)\s*({_STRING})")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True)
class Bearing:
    """What bears on the fault: signals and traces of these services, queries of these relations, metrics
    with these prefixes; all of them from the time in which it was broken. ``paths`` are those of the broken
    routes, without the method."""

    services: Sequence[str]
    paths: Sequence[str]
    relations: Sequence[str]
    metrics: Sequence[str]
    since: datetime
    until: datetime


UNHURT = "is of a request that went well over a healthy route"


class EvidenceChecker:
    """Checks the evidence of one diagnosis."""

    def __init__(self, database: Database, prometheus: Prometheus) -> None:
        self._database = database
        self._prometheus = prometheus

    def check(
        self, evidence: Iterable[Evidence], *, bearing: Bearing, statements: Sequence[Event]
    ) -> list[EvidenceFinding]:
        """A finding for each piece, in their order. Raises ``Unavailable`` while Prometheus is away."""
        return [self._finding(one, bearing, statements) for one in evidence]

    def _finding(self, one: Evidence, bearing: Bearing, statements: Sequence[Event]) -> EvidenceFinding:
        if one.kind == "signal":
            exists, bears, why = self._signal(one.ref, bearing)
        elif one.kind == "trace":
            exists, bears, why = self._trace(one.ref, bearing)
        elif one.kind == "query":
            exists, bears, why = _query(one.ref, bearing, statements)
        else:
            try:
                exists, bears, why = self._metric(one.ref, bearing)
            except GaveUp as error:
                why = f"could not be checked: {error.detail}"
                return EvidenceFinding(
                    ref=one.ref, kind=one.kind, exists=False, bears=False, checked=False, why=why
                )
        return EvidenceFinding(ref=one.ref, kind=one.kind, exists=exists, bears=bears, why=why)

    def _signal(self, ref: str, bearing: Bearing) -> tuple[bool, bool, str]:
        try:
            row = self._row(_SIGNAL, UUID(identity("signal", ref)))
        except ValueError:
            return False, False, "this is not a signal's id"
        if row is None:
            return False, False, "there is no such signal"
        bears, why = _of_services([row.service], row.timestamp, bearing)
        if not bears or row.level != "INFO" or row.trace_id is None:
            return True, bears, why
        # An everyday line counts for as much as the request that it is of.
        trace = self._row(_TRACE, row.trace_id)
        return (True, bears, why) if trace is None or _shows(trace, bearing) else (True, False, UNHURT)

    def _trace(self, ref: str, bearing: Bearing) -> tuple[bool, bool, str]:
        row = self._row(_TRACE, identity("trace", ref))
        if row is None:
            return False, False, "there is no such trace"
        bears, why = _of_services(row.services, row.ended_at, bearing)
        return (True, False, UNHURT) if bears and not _shows(row, bearing) else (True, bears, why)

    def _metric(self, ref: str, bearing: Bearing) -> tuple[bool, bool, str]:
        found = self._prometheus.finds_something(ref, since=bearing.since, until=bearing.until)
        if isinstance(found, str):
            return False, False, f"cannot be evaluated: {found}"
        if not found:
            return False, False, "has no value in the time of the run"
        why = "reads nothing that shows the fault"
        for one in _SELECTOR.finditer(ref):
            if not (one["name"] or "").startswith(tuple(bearing.metrics)):
                continue
            bears, why = self._selector(one["selector"], bearing)
            if bears:
                return True, True, f"reads {one['name']}, which {why}"
        return True, False, why

    def _selector(self, selector: str, bearing: Bearing) -> tuple[bool, str]:
        """Who reads a metric of all services points at none: it has to be of those that the fault touches."""
        chosen = _chosen(selector)
        met = sorted(chosen.intersection(bearing.services))
        if not met:
            return False, "is of services that the fault does not touch"
        # Another one for comparison is welcome; most of them at once is a guess.
        if len(chosen) <= 2 * len(met):
            return True, f"is of {', '.join(met)}"
        having = self._prometheus.services_of(selector, since=bearing.since, until=bearing.until)
        if having and having.issubset(bearing.services):
            return True, f"only {', '.join(sorted(having))} has"
        return False, "does not say of which service"

    def _row(self, query: Any, ref: object) -> Any:
        with self._database.transaction() as db:
            return db.execute(query, {"ref": ref}).one_or_none()


def _chosen(selector: str) -> set[str]:
    """The services that a selector lets through; all of them, where it asks for none by name."""
    chosen = {service.name for service in SERVICES}
    for label, operator, quoted in _MATCHER.findall(selector):
        if label not in ("service", "job"):
            continue
        value = quoted[1:-1] if quoted.startswith("`") else re.sub(r"\\(.)", r"\1", quoted[1:-1])
        chosen = {name for name in chosen if _matches(name, operator, value)}
    return chosen


def _matches(name: str, operator: str, value: str) -> bool:
    try:
        is_it = regex(value).matches(name) if "~" in operator else name == value
    except InvalidRegex:
        return False
    return is_it != operator.startswith("!")


def _of_services(services: Iterable[str], at: datetime, bearing: Bearing) -> tuple[bool, str]:
    if not bearing.since <= at <= bearing.until:
        return False, "is not of the time in which it was broken"
    met = [name for name in services if name in bearing.services]
    return bool(met), f"is of {', '.join(met)}" if met else "is of services that the fault does not touch"


def _shows(trace: Any, bearing: Bearing) -> bool:
    """Whether a trace has an error in it, is slow, or went over a broken route."""
    return bool(trace.errors) or trace.duration_ms >= SLOW_MS or bool({*trace.routes} & {*bearing.paths})


def _query(ref: str, bearing: Bearing, statements: Sequence[Event]) -> tuple[bool, bool, str]:
    wanted = identity("query", ref)
    ran = [event for event in statements if identity("query", str(event.detail["statement"])) == wanted]
    if not ran:
        return False, False, "the candidate's role did not run this"
    if all(event.detail["error"] for event in ran):
        return True, False, f"failed: {ran[-1].detail['error']}"
    if not any(bearing.since <= event.at <= bearing.until for event in ran):
        return True, False, "was not run in the time in which it was broken"
    said = identity("query", _TEXT.sub(" ", _COMMENT.sub(" ", ref))).replace('"', "")
    read = _AROUND_DOT.sub(".", said)
    met = [name for name in bearing.relations if re.search(_READ.format(re.escape(name.lower())), read)]
    if not met:
        return True, False, "reads nothing that shows the fault"
    # What is joined from beside it tells more of it; what is from elsewhere is a guess at other faults.
    beside = _schemas(read) - {_schema(name) for name in bearing.relations}
    if beside:
        return True, False, f"reads {', '.join(sorted(beside))} as well, which the fault does not touch"
    return True, True, f"reads {', '.join(met)}"


def _schemas(statement: str) -> set[str]:
    """Where the relations are that a statement reads, as far as it names them with their schema."""
    return {_schema(one[1]) for one in _RELATION.finditer(statement)} & _SCHEMAS


def _schema(relation: str) -> str:
    first = relation.partition(".")[0]
    return _CATALOG if first.startswith("pg_") else first
