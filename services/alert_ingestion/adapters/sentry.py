"""Sentry's webhooks: issues, issue alerts and metric alerts.

https://docs.sentry.io/organization/integrations/integration-platform/webhooks/

An issue alert and the issue that it is about have one fingerprint, the
issue's id, so that resolving the issue ends the alert.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from services.alert_ingestion.adapters import reading
from services.alert_ingestion.arrival import Arrival, Resolution

_ENDS = ("resolved", "ignored", "archived")
_BEGINS = ("created", "triggered", "unresolved", "critical", "warning", "open")
_time = TypeAdapter(datetime)

Json = Mapping[str, Any]


class SentryHook(BaseModel):
    """The webhook's body, as far as it is read here."""

    action: str
    data: dict[str, JsonValue]


def read(hook: SentryHook) -> list[reading.Event]:
    """The alert of a webhook; none for what is no alert (a comment, an assignment, an installation)."""
    if hook.action not in (*_BEGINS, *_ENDS):
        return []
    data = hook.data
    if isinstance(about := data.get("metric_alert"), dict):
        return _metric_alert(hook.action, about, data)
    if isinstance(about := data.get("issue"), dict):
        return _issue(hook.action, about)
    event = data.get("event") or data.get("error")
    return _event(event) if isinstance(event, dict) else []


def _issue(action: str, issue: Json) -> list[reading.Event]:
    if not issue.get("id"):
        return []
    fingerprint = _fingerprint("issue", issue["id"])
    if action in _ENDS:
        return [Resolution("sentry", fingerprint, None)]
    project = issue.get("project")
    slug = project.get("slug") or project.get("name") if isinstance(project, dict) else project
    return [
        Arrival(
            source="sentry",
            service=reading.service_name(slug),
            severity=reading.severity(str(issue.get("level", ""))),
            message=reading.message(issue.get("title"), issue.get("culprit")),
            labels=reading.labels(_plain(issue, "shortId", "culprit", "permalink", "web_url", "platform")),
            # One that comes back has begun anew, and its first beginning may be over already.
            occurred_at=None if action == "unresolved" else _parsed(issue.get("firstSeen")),
            fingerprint=fingerprint,
        )
    ]


def _event(event: Json) -> list[reading.Event]:
    issue_id = event.get("issue_id") or event.get("event_id")
    if not issue_id:
        return []
    tags = _tags(event.get("tags"))
    return [
        Arrival(
            source="sentry",
            service=reading.service_name(
                tags.get("service"), tags.get("server_name"), event.get("project_slug"), event.get("project")
            ),
            severity=reading.severity(str(event.get("level") or tags.get("level", ""))),
            message=reading.message(event.get("title"), event.get("message"), event.get("culprit")),
            labels=reading.labels({**_plain(event, "culprit", "web_url", "release", "environment"), **tags}),
            occurred_at=_parsed(event.get("datetime")),
            fingerprint=_fingerprint("issue", issue_id),
        )
    ]


def _metric_alert(action: str, alert: Json, data: Json) -> list[reading.Event]:
    rule = alert.get("alert_rule")
    rule = rule if isinstance(rule, dict) else {}
    identity = alert.get("identifier") or alert.get("id")
    if not identity:
        return []
    fingerprint = _fingerprint("metric-alert", identity)
    if action in _ENDS:
        return [Resolution("sentry", fingerprint, _parsed(alert.get("date_closed")))]
    projects = alert.get("projects") or rule.get("projects") or [None]
    return [
        Arrival(
            source="sentry",
            service=reading.service_name(*projects if isinstance(projects, list) else [projects]),
            severity=reading.severity(action),
            message=reading.message(data.get("description_title"), alert.get("title"), rule.get("name")),
            labels=reading.labels(
                {**_plain(data, "description_text", "web_url"), **_plain(rule, "name", "query", "aggregate")}
            ),
            occurred_at=_parsed(alert.get("date_started")),
            fingerprint=fingerprint,
        )
    ]


def _fingerprint(kind: str, identity: object) -> str:
    return reading.text(f"{kind}:{identity}", limit=reading.MAX_FINGERPRINT)


def _plain(given: Json, *names: str) -> dict[str, object]:
    return {name: given[name] for name in names if isinstance(given.get(name), str | int | float)}


def _tags(given: object) -> dict[str, object]:
    """Tags come as pairs, or as objects with ``key`` and ``value``."""
    found: dict[str, object] = {}
    for tag in given if isinstance(given, list) else []:
        if isinstance(tag, list) and len(tag) == 2:
            found[str(tag[0])] = tag[1]
        elif isinstance(tag, dict) and "key" in tag:
            found[str(tag["key"])] = tag.get("value")
    return found


def _parsed(time: object) -> datetime | None:
    """A time that Sentry wrote; one that cannot be read is as good as none."""
    if not isinstance(time, str):
        return None
    try:
        return reading.in_utc(_time.validate_python(time))
    except ValidationError:
        return None
