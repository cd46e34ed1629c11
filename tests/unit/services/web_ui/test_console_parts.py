"""What the console makes of what it read: texts, filters, addresses, names."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.web_ui.incidents import ACTIVE, Filter
from services.web_ui.pages.incidents import Choice
from services.web_ui.results import address
from services.web_ui.schemas import Incident, Status, TimelineEntry
from services.web_ui.settings import addresses
from services.web_ui.telemetry import ErrorSearch, LogSearch, Span, Trace, around
from services.web_ui.text import duration, span
from services.web_ui.theme import Visitor

INCIDENT = Incident(
    id=UUID("00000000-0000-4000-8000-000000000001"),
    title="Payments fail",
    service="payment",
    severity="critical",
    status="in_progress",
    assigned_to="ana",
    created_at=datetime(2026, 11, 21, 4, 0, tzinfo=UTC),
    acknowledged_at=None,
    acknowledged_by=None,
    resolved_at=None,
    resolved_by=None,
    reopened_from=None,
    mtta_seconds=None,
    mttr_seconds=None,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (59.9, "59 s"),
        (60, "1 m 00 s"),
        (3599, "59 m 59 s"),
        (3600, "1 h 00 m"),
        (86399, "23 h 59 m"),
        (86400 + 3 * 3600, "1 d 03 h"),
    ],
)
def test_a_duration_reads_in_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_address_holds_only_what_was_chosen() -> None:
    assert Choice().address == "/"
    assert Choice(severity="high", search="a b&c").address == "/?severity=high&search=a+b%26c"


def test_without_a_choice_the_active_incidents_are_wanted() -> None:
    assert Choice().filter == Filter(ACTIVE, None, "", "")
    assert Choice(status="all").filter.statuses == ()


@pytest.mark.parametrize(
    ("status", "allowed"),
    [("open", False), ("acknowledged", False), ("in_progress", False), ("resolved", True)],
)
def test_an_incident_goes_forward_only(status: Status, allowed: bool) -> None:
    assert INCIDENT.may_become(status) is allowed


def entry(what: str, before: str | None, after: str | None) -> TimelineEntry:
    at = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
    return TimelineEntry.model_validate({"at": at, "actor": "ana", "what": what, "from": before, "to": after})


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (entry("status", "open", "in_progress"), "→ In progress"),
        (entry("severity", "high", "critical"), "changed the severity from High to Critical"),
        (entry("assigned_to", "ben", None), "assigned it to nobody"),
        (entry("note", None, "a {brace} in a note"), "wrote a note"),
        (entry("paged", None, "{grace}"), "paged {grace}"),
        (entry("page_dropped", None, "ben"), "did not page ben any more: it was resolved"),
        (entry("something_new", None, "x"), "something new: x"),
    ],
)
def test_a_timeline_entry_reads_as_a_sentence(told: TimelineEntry, sentence: str) -> None:
    assert told.sentence == sentence


def test_a_name_comes_back_from_the_browser_as_it_was_given() -> None:
    visitor = Visitor({"firedrill_name": "Grace%20Hopper", "firedrill_theme": "dark"})

    assert (visitor.name, visitor.theme) == ("Grace Hopper", "dark")


@pytest.mark.parametrize("cookie", ["", "%0Aevil", "Jos%C3%A9", "%20ana", "a" * 65])
def test_a_name_that_no_service_would_take_is_asked_for_again(cookie: str) -> None:
    visitor = Visitor({"firedrill_name": cookie, "firedrill_theme": "purple"})

    assert (visitor.name, visitor.theme) == ("", "auto")


def test_whether_a_service_is_up_does_not_depend_on_the_labs_own_dns() -> None:
    found = addresses(
        {"FRAUD_URL": "http://fraud-api.internal.corp:18443", "PAYMENT_URL": "http://payment:8011/"}
    )

    assert found["fraud"] == "http://127.0.0.1:18443"
    assert found["payment"] == "http://payment:8011"
    assert found["gateway"] == "http://127.0.0.1:8010"
    assert addresses({"FRAUD_DIRECT_URL": "http://fraud:8443"})["fraud"] == "http://fraud:8443"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0.04, "0.0 ms"),
        (9.9, "9.9 ms"),
        (9.96, "10 ms"),
        (999.6, "1.00 s"),
        (2034, "2.03 s"),
        (61_000, "1 m 01 s"),
    ],
)
def test_a_short_time_reads_in_three_figures(milliseconds: float, text: str) -> None:
    assert span(milliseconds) == text


def test_a_search_stands_in_its_address_without_what_was_left_open() -> None:
    assert address("/logs", LogSearch()) == "/logs"
    assert address("/logs", LogSearch(service="payment", q="a b")) == "/logs?service=payment&q=a+b"
    assert address("/errors", ErrorSearch(tag=("a:1", "b:2"))) == "/errors?tag=a%3A1&tag=b%3A2"


def test_around_an_incident_begins_five_minutes_before_it_and_ends_with_it() -> None:
    resolved = INCIDENT.model_copy(update={"resolved_at": datetime(2026, 11, 21, 4, 9, tzinfo=UTC)})

    assert around(INCIDENT) == {"service": "payment", "since": "2026-11-21T03:55:00.000Z", "until": ""}
    assert around(resolved)["until"] == "2026-11-21T04:09:00.000Z"


def a_span(name: str, *children: Span) -> Span:
    return Span(
        span_id=name,
        service="payment",
        name=name,
        kind="server",
        status="unset",
        status_message=None,
        offset_ms=0,
        duration_ms=1,
        depth=0,
        attributes={},
        events=[],
        children=list(children),
    )


def test_a_trace_lists_each_span_before_those_that_it_called() -> None:
    roots = [a_span("a", a_span("b", a_span("c")), a_span("d")), a_span("e")]
    trace = Trace(trace_id="1", started_at=INCIDENT.created_at, duration_ms=1, services=[], spans=roots)

    assert [one.name for one in trace.flat()] == ["a", "b", "c", "d", "e"]
