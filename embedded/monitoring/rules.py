"""Recording and alerting rules: read from Prometheus' own files, evaluated at each beat.

The format: https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/.
A file with anything that would not be evaluated as Prometheus does it is refused as a whole.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import promql_parser
import structlog
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from embedded.monitoring.alerts import ActiveAlerts, Alert, AlertTexts
from embedded.monitoring.promql import (
    Expression,
    Instant,
    InvalidQuery,
    Moment,
    QueryError,
    RangeSelector,
    Scalar,
    Vector,
    read,
    refusing_depth,
)
from embedded.monitoring.store import NAME, Labels, Store, StoreFull, labels_of
from embedded.monitoring.templates import Template, TemplateError

log = structlog.get_logger()

_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class RuleFileError(Exception):
    """Rules that cannot be used. The message has a line for each thing that is wrong, and where."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RuleSpec(_Part):
    """One rule as it stands in a file: an alert, or a record of a new series."""

    alert: str | None = None
    record: str | None = None
    expr: Annotated[str, Field(coerce_numbers_to_str=True)]
    for_: Annotated[str, Field(alias="for")] = "0s"
    keep_firing_for: str = "0s"
    labels: dict[str, Annotated[str, Field(coerce_numbers_to_str=True)]] = {}
    annotations: dict[str, str] = {}


class GroupSpec(_Part):
    """One group; all groups share the lab's one interval."""

    name: str
    rules: list[RuleSpec]


class FileSpec(_Part):
    groups: list[GroupSpec]


@dataclass
class Outcome:
    """How the last evaluation of a rule went."""

    error: str = ""
    began_at: datetime | None = None
    took_s: float = 0.0


@dataclass
class RecordingRule:
    """Its result becomes series named ``name``."""

    name: str
    expression: Expression
    labels: dict[str, str]
    outcome: Outcome = field(default_factory=Outcome)
    recorded: "Recorded" = field(default_factory=lambda: Recorded())

    @property
    def firing(self) -> list[Alert]:
        """None: it has no alerts."""
        return []

    def evaluate(self, moment: Moment) -> list[Alert]:
        """Write the result into the store; no alerts come of it."""
        result = _vector(self.expression, moment)
        named = {
            labels_of({**dict(labels), **self.labels, NAME: self.name}): v for labels, v in result.items()
        }
        if len(named) != len(result):
            raise QueryError("vector contains metrics with the same labelset after applying rule labels")
        self.recorded.write(named, moment)
        return []


@dataclass
class AlertingRule:
    """Its result becomes alerts."""

    name: str
    expression: Expression
    texts: AlertTexts
    hold_ms: int
    keep_firing_ms: int
    outcome: Outcome = field(default_factory=Outcome)
    recorded: "Recorded" = field(default_factory=lambda: Recorded())
    active: ActiveAlerts = field(init=False)

    def __post_init__(self) -> None:
        self.active = ActiveAlerts(self.texts, hold_ms=self.hold_ms, keep_firing_ms=self.keep_firing_ms)

    @property
    def firing(self) -> list[Alert]:
        """The alerts that fire."""
        return [alert for alert in self.active if alert.state == "firing"]

    def evaluate(self, moment: Moment) -> list[Alert]:
        """The alerts that fire, and those just resolved; all active ones are series ``ALERTS`` too."""
        reported = self.active.update(_vector(self.expression, moment), moment.at_ms)
        shown = {
            labels_of({**dict(alert.labels), NAME: "ALERTS", "alertstate": alert.state}): 1.0
            for alert in self.active
        }
        self.recorded.write(shown, moment)
        return reported


Rule = RecordingRule | AlertingRule


class Recorded:
    """The series that a rule writes; one that it no longer yields is ended."""

    def __init__(self) -> None:
        self._present: set[Labels] = set()

    def write(self, result: Vector, moment: Moment) -> None:
        """Add a sample to each. Raises ``StoreFull``."""
        for labels, value in result.items():
            moment.store.series(labels).append(moment.at_ms, value)
        for labels in self._present - result.keys():
            moment.store.series(labels).end(moment.at_ms)
        self._present = set(result)


@dataclass(frozen=True)
class Group:
    """Rules in the order in which they are evaluated."""

    name: str
    file: Path
    rules: tuple[Rule, ...]


class RuleSet:
    """All rules. Groups are evaluated at the same moment, one after the other."""

    def __init__(self, groups: Sequence[Group], *, store: Store) -> None:
        self.groups = tuple(groups)
        self._store = store

    def evaluate(self, at_ms: int) -> list[Alert]:
        """Evaluate every rule once; the alerts that fire, and those just resolved."""
        moment = Moment(self._store, at_ms)
        return [alert for group in self.groups for rule in group.rules for alert in _attempt(rule, moment)]


def _attempt(rule: Rule, moment: Moment) -> list[Alert]:
    """Evaluate one rule. One that fails keeps its alerts as they are, and no other from its turn."""
    began_s = time.perf_counter()
    error = ""
    try:
        alerts = rule.evaluate(moment)
    except (QueryError, StoreFull) as failure:
        error = str(failure)
        alerts = rule.firing
        if error != rule.outcome.error:
            log.error("rule.failed", rule=rule.name, expression=rule.expression.text, error=error)
    began_at = datetime.fromtimestamp(moment.at_ms / 1000, UTC)
    rule.outcome = Outcome(error, began_at, time.perf_counter() - began_s)
    return alerts


def _vector(expression: Expression, moment: Moment) -> Vector:
    root = expression.root
    with refusing_depth():
        if isinstance(root, Scalar):
            return {(): root.value(moment)}
        assert isinstance(root, Instant)
        return root.vector(moment)


# Reading


def load(folder: Path) -> list[Group]:
    """The groups of every ``*.yml`` of a folder, file by file by name. Raises ``RuleFileError``."""
    wrong: list[str] = []
    groups = [group for path in sorted(folder.glob("*.yml")) for group in _load_file(path, wrong.append)]
    names = [(group.file, group.name) for group in groups]
    wrong += [
        f"{file}: group {name!r} stands there twice"
        for file, name in set(names)
        if names.count((file, name)) > 1
    ]
    if not groups and not wrong:
        wrong.append(f"{folder}: no rules there")
    if wrong:
        raise RuleFileError("\n".join(wrong))
    return groups


def _load_file(path: Path, complain: Callable[[str], None]) -> list[Group]:
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        spec = FileSpec.model_validate(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        complain(f"{path}: cannot be read: {error}")
        return []
    except ValidationError as error:
        for details in error.errors(include_url=False):
            complain(f"{path}: {'.'.join(str(step) for step in details['loc'])}: {details['msg']}")
        return []
    return [_group(group, path, complain) for group in spec.groups]


def _group(spec: GroupSpec, path: Path, complain: Callable[[str], None]) -> Group:
    rules: list[Rule] = []
    for place, rule in enumerate(spec.rules, start=1):
        name = rule.alert or rule.record or f"number {place}"
        try:
            rules.append(_rule(rule))
        except (InvalidQuery, TemplateError, ValueError) as error:
            complain(f"{path}: group {spec.name!r}, rule {name!r}: {error}")
    return Group(spec.name, path, tuple(rules))


def _rule(spec: RuleSpec) -> Rule:
    if (spec.alert is None) == (spec.record is None):
        raise ValueError("exactly one of alert and record is needed")
    expression = read(spec.expr)
    if isinstance(expression.root, RangeSelector):
        raise InvalidQuery(f"a rule needs an instant vector or a scalar: {spec.expr!r}")
    wrong = [name for name in spec.labels if not _LABEL_NAME.fullmatch(name) or name == NAME]
    if wrong:
        raise ValueError(f"not a label name: {wrong[0]!r}")
    if spec.record is not None:
        return _recording(spec, spec.record, expression)
    assert spec.alert is not None
    texts = AlertTexts(
        spec.alert,
        labels={name: Template(text) for name, text in spec.labels.items()},
        annotations={name: Template(text) for name, text in spec.annotations.items()},
    )
    return AlertingRule(
        spec.alert,
        expression,
        texts,
        hold_ms=_milliseconds(spec.for_),
        keep_firing_ms=_milliseconds(spec.keep_firing_for),
    )


def _recording(spec: RuleSpec, name: str, expression: Expression) -> RecordingRule:
    if not _METRIC_NAME.fullmatch(name):
        raise ValueError(f"not a metric name: {name!r}")
    if spec.annotations or spec.for_ != "0s" or spec.keep_firing_for != "0s":
        raise ValueError("a recording rule has neither annotations nor for nor keep_firing_for")
    return RecordingRule(name, expression, spec.labels)


def _milliseconds(duration: str) -> int:
    if duration in ("0", "0s"):
        return 0
    return round(promql_parser.parse_duration(duration).total_seconds() * 1000)
