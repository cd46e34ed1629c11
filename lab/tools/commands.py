"""The candidate's commands: what the tools of ``lab mcp`` do that a person types; the rest a person sees."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

if TYPE_CHECKING:
    from lab.tools.api import Document
    from lab.tools.incidents import Incidents
    from lab.tools.operations import Operations
    from lab.tools.seat import Seat

ops = typer.Typer(help="Look at what an operator may change, and change it.", no_args_is_help=True)
incident = typer.Typer(help="Work on incidents as a responder.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="The answer as it came.")]
Service = Annotated[str, typer.Argument(help="A service's name, for instance payment.")]
Incident = Annotated[UUID, typer.Argument(metavar="ID", help="The incident's id.")]


def dig(
    name: Annotated[str, typer.Argument(help="A name; without a dot it is under internal.corp.")],
    record_type: Annotated[str, typer.Argument(metavar="[TYPE]", help="A, CNAME, NS, ...")] = "A",
    as_json: Json = False,
) -> None:
    """Ask the lab's DNS server for a name. Exit code 1 when there is no such record."""
    from lab.tools.names import Names, record_type_of
    from lab.tools.shown import show, show_lookup

    found = Names(_seat()).lookup_name(name, record_type_of(record_type))
    show(found) if as_json else show_lookup(found)
    raise typer.Exit(0 if found["answers"] else 1)


def trace(
    trace_id: Annotated[str, typer.Argument(help="A trace's id, as answers and log lines carry it.")],
    as_json: Json = False,
) -> None:
    """Show one trace as a tree of spans."""
    from lab.tools.shown import show, show_trace
    from lab.tools.telemetry import Telemetry

    found = Telemetry(_seat()).get_trace(trace_id)
    show(found) if as_json else show_trace(found)


def query(
    promql: Annotated[
        str, typer.Argument(help="For instance: sum by (service) (rate(http_requests_total[1m]))")
    ],
    since: Annotated[
        str | None, typer.Option(help="From then until now, not only now: 15m, 2h, or ISO 8601.")
    ] = None,
    step_s: Annotated[float, typer.Option(min=1, help="Seconds between two points.")] = 15,
    as_json: Json = False,
) -> None:
    """Evaluate a PromQL expression, now or over time."""
    from lab.tools.metrics import Metrics
    from lab.tools.shown import show, show_series

    metrics = Metrics(_seat())
    found = metrics.query_metrics_over_time(promql, since, step_s) if since else metrics.query_metrics(promql)
    show(found) if as_json else show_series(found)


@ops.command(name="get")
def get_settings(service: Service, as_json: Json = False) -> None:
    """Show a service's settings: their values, which an operator has set, what they mean."""
    from lab.tools.shown import show, show_settings

    found = _operations().get_settings(service)
    show(found) if as_json else show_settings(found)


@ops.command(name="set")
def change_settings(
    service: Service,
    changes: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=VALUE...", help="A value as in JSON, or a plain word; null takes it back."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Change settings of a service. It is written down under FIREDRILL_ACTOR."""
    from lab.tools.shown import setting_changes, show, show_settings

    found = _operations().change_settings(service, setting_changes(changes))
    show(found) if as_json else show_settings(found)


@ops.command()
def rollback(
    service: Service,
    to: Annotated[str | None, typer.Option(help="The release; that which ran before, if left out.")] = None,
) -> None:
    """Let a service run as an earlier release."""
    from lab.tools.shown import show_settings

    show_settings(_operations().rollback(service, to))


@ops.command()
def restart(service: Service) -> None:
    """Restart a service. Requests fail until it is back."""
    _operations().restart_service(service)
    typer.echo(f"{service} restarts")


@ops.command()
def record(
    name: Annotated[str, typer.Argument(help="A name under internal.corp, for instance fraud-api.")],
    address: Annotated[
        str | None, typer.Argument(help="Its address from now on; shows it if left out.")
    ] = None,
    ttl_s: Annotated[
        int, typer.Option(min=0, max=86400, help="For so many seconds it may be remembered.")
    ] = 5,
) -> None:
    """Show an address record of the zone, or put one there."""
    from lab.tools.operations import address_of

    operations = _operations()
    found = (
        operations.put_record(name, address_of(address), ttl_s) if address else operations.get_record(name)
    )
    typer.echo(f"{found['name']}  {found['addresses']}")


@incident.command(name="list")
def list_incidents(
    status: Annotated[str | None, typer.Option(help="open, acknowledged, in_progress, resolved")] = None,
    as_json: Json = False,
) -> None:
    """Incidents, newest first."""
    from lab.tools.incidents import status_of
    from lab.tools.shown import show, show_incidents

    found = _incidents().list_incidents(status_of(status))
    show(found) if as_json else show_incidents(found)


@incident.command(name="show")
def show_incident(incident_id: Incident) -> None:
    """One incident with its alerts, notes and timeline."""
    from lab.tools.shown import show

    show(_incidents().get_incident(incident_id))


@incident.command()
def ack(incident_id: Incident) -> None:
    """Acknowledge an incident and take it."""
    _say_status(_incidents().acknowledge_incident(incident_id))


@incident.command()
def note(incident_id: Incident, text: str) -> None:
    """Leave a note on it: what, when, impact, what was done or is next."""
    _say_status(_incidents().add_note(incident_id, text))


@incident.command(name="set")
def change_incident(
    incident_id: Incident,
    status: Annotated[str | None, typer.Option(help="acknowledged, in_progress, resolved")] = None,
    assigned_to: Annotated[str | None, typer.Option(help="Whose it is from now on.")] = None,
    severity: Annotated[str | None, typer.Option(help="critical, high, medium, low")] = None,
) -> None:
    """Move it on, give it to somebody, rate it."""
    from lab.tools.incidents import severity_of, status_of

    found = _incidents().change_incident(incident_id, status_of(status), assigned_to, severity_of(severity))
    _say_status(found)


@incident.command()
def resolve(incident_id: Incident) -> None:
    """Customers are served again."""
    _say_status(_incidents().change_incident(incident_id, "resolved"))


@incident.command()
def postmortem(
    incident_id: Incident,
    summary: Annotated[str, typer.Option(help="What happened, in two sentences.")],
    impact: Annotated[str | None, typer.Option(help="Whom it hit, and how much.")] = None,
    root_cause: Annotated[str | None, typer.Option(help="Why it could happen.")] = None,
    lessons: Annotated[str | None, typer.Option(help="What was learned.")] = None,
    action: Annotated[list[str] | None, typer.Option(help="What is to be done; as often as needed.")] = None,
) -> None:
    """Write the postmortem of an incident that is resolved."""
    found = _incidents().write_postmortem(incident_id, summary, impact, root_cause, lessons, action)
    typer.echo(found["markdown"])


def mcp(
    http: Annotated[
        bool, typer.Option("--http", help="Over streamable HTTP; over standard input otherwise.")
    ] = False,
    host: Annotated[str, typer.Option(help="With --http: the address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="With --http.")] = 8007,
) -> None:
    """The candidate's tools for an agent, over the Model Context Protocol."""
    from lab.tools.server import serve_on_http, server

    if http:
        serve_on_http(_seat(), host=host, port=port)
    else:
        server(_seat()).run("stdio")


def search_logs(
    *,
    service: str | None,
    level: str | None,
    contains: str | None,
    trace_id: str | None,
    since: str | None,
    lines: int,
    raw: bool,
) -> None:
    """What ``lab logs`` asks of the telemetry service."""
    from lab.tools.shown import show, show_log_lines
    from lab.tools.telemetry import MOST_LINES, Telemetry, level_of

    found = Telemetry(_seat()).search_logs(
        service,
        level_of(level),
        contains,
        trace_id,
        since=since,
        limit=min(lines, MOST_LINES) or MOST_LINES,
    )
    show(found) if raw else show_log_lines(found)


def _seat() -> "Seat":
    from embedded.environment import settings, user_environment
    from lab.tools.seat import seat

    return seat(settings(user_environment()))


def _operations() -> "Operations":
    from lab.tools.metrics import Metrics
    from lab.tools.operations import Operations

    seat = _seat()
    return Operations(seat, Metrics(seat))


def _incidents() -> "Incidents":
    from lab.tools.incidents import Incidents

    return Incidents(_seat())


def _say_status(found: "Document") -> None:
    typer.echo(f"{found['id']}  {found['status']}  {found['assigned_to'] or 'nobody'}  {found['title']}")
