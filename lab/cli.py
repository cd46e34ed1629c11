"""The ``lab`` command: a thin client of the embedded lab.

What a command needs is imported when it runs, so that ``lab --help`` is quick
and ``lab up`` loses no time.
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab import exam, scenario
from lab.export.commands import export, rca_baseline
from lab.repeat import repeat
from lab.tools import commands

if TYPE_CHECKING:
    from embedded.environment import Settings

app = typer.Typer(
    name="lab",
    help="Run the incident lab and look inside it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(exam.app, name="exam")
app.add_typer(scenario.app, name="scenario")
app.add_typer(commands.ops, name="ops")
app.add_typer(commands.incident, name="incident")


@app.command()
def up() -> None:
    """Start the lab and stay with it: a table of services turning healthy, then a quiet log.

    Settings come from the environment and from .env (LAB_DIR, LAB_BIND, SCENARIO, <SERVICE>_PORT, ...).
    Ctrl-C ends the lab. A lab that runs already in the same LAB_DIR is stopped first.
    """
    from embedded import ROOT

    # From here Python finds the package first, whatever folders lie where the command was typed.
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "embedded"])  # noqa: S606


@app.command()
def down() -> None:
    """Stop the lab that runs in LAB_DIR, wherever it was started."""
    from lab.running import stop_lab

    typer.echo(stop_lab(_settings().directory))


@app.command()
def status() -> None:
    """Show each service: state, URL, pid, uptime, memory.

    Exit code 0 when all are healthy, 1 when one is not, 3 when the lab is not running.
    """
    from lab.status import show_status

    raise typer.Exit(show_status(_settings().directory))


@app.command()
def logs(
    service: Annotated[
        str | None, typer.Argument(help="One service; all of them, by time, if left out.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is written from now.")
    ] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="The last so many lines; 0: all.")] = 200,
    raw: Annotated[bool, typer.Option("--json", help="The lines as they were written.")] = False,
    trace_id: Annotated[str | None, typer.Option("--trace", help="Only of this trace.")] = None,
    level: Annotated[str | None, typer.Option(help="Of this level or above: INFO, WARNING, ERROR.")] = None,
    contains: Annotated[
        str | None, typer.Option("--query", "-q", help="Only lines that contain this.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="15m, 2h, or ISO 8601.")] = None,
) -> None:
    """Show what the services wrote.

    With --trace, --level, -q or --since it asks the telemetry service, where each line has a signal's id.
    """
    if trace_id or level or contains or since:
        from embedded.errors import LabError
        from lab.tools.commands import search_logs

        if follow:
            raise LabError("--follow goes with a service alone: --trace, --level, -q and --since look back")
        search_logs(
            service=service,
            level=level,
            contains=contains,
            trace_id=trace_id,
            since=since,
            lines=lines,
            raw=raw,
        )
        return
    from lab.logs import show_logs

    show_logs(_settings().logs, service=service, follow=follow, count=lines, raw=raw)


@app.command(context_settings={"ignore_unknown_options": True})
def psql(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[PSQL ARGUMENTS]...", help='For instance: -c "SELECT 1"')
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="As the superuser.")] = False,
) -> None:
    """Open psql on the lab's database, as the role `candidate`."""
    from lab.psql import exec_psql

    exec_psql(_settings(), arguments or [], admin=admin)


for command in (commands.dig, commands.trace, commands.query, commands.mcp, export, rca_baseline, repeat):
    app.command()(command)


@app.command()
def batch(
    agent: Annotated[
        str, typer.Option(help="A command; FIREDRILL_RUN and FIREDRILL_TOKEN are in its environment.")
    ],
    scenarios: Annotated[
        str, typer.Option(help="all, names with commas, or - to read them from standard input.")
    ] = "all",
    seeds: Annotated[str, typer.Option(help="1..5, or numbers with commas.")] = "1",
    candidate: Annotated[str, typer.Option(help="Under which name it sits.")] = "agent",
    minutes: Annotated[float, typer.Option(min=0.1, help="How much time each exam has.")] = 15,
    soak: Annotated[float | None, typer.Option(min=0, help="Healthy seconds before the fault.")] = None,
    open_run: Annotated[bool, typer.Option("--open", help="The lab need not be blind.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A new file; LAB_DIR/batches/<time>.jsonl if left out."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the --output of an earlier batch.")
    ] = False,
) -> None:
    """Run many exams one after the other, each sat by the same agent; one line of JSON for each.

    Exit code 1 if one was not graded or its agent failed, 130 after a Ctrl-C.
    """
    from embedded.errors import LabError
    from lab.batch import Terms, agent_command, exams, private_folder, run_batch
    from lab.batch_results import graded_before, results_file, show_summary, still_to_sit
    from lab.exam_client import examiner

    if resume and output is None:
        raise LabError("--resume goes on with a file: name it with --output")
    wanted = exams(scenarios=scenarios, seeds=seeds)
    terms = Terms(agent_command(agent), candidate, minutes, soak, open_run)
    client, folder = examiner(), private_folder(_settings().directory / "batches")
    file = output or folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl"
    results = graded_before(file, candidate=candidate) if resume else []
    wanted = still_to_sit(wanted, results)
    with results_file(file, resume=resume) as lines:
        try:
            for one in run_batch(client, wanted, terms=terms, output=lines, logs=folder / "agents"):
                results.append(one)
        finally:
            # Also after a Ctrl-C: a batch takes hours, and what is done is done.
            show_summary(results)
            typer.echo(f"wrote {file}")
    is_well = all(one.state == "graded" and not one.has_agent_failed for one in results)
    raise typer.Exit(0 if is_well else 1)


@app.command()
def budget() -> None:
    """Show the memory and CPU limits of the compose lab's containers, and their sum."""
    from lab.budget import show_budget

    show_budget()


@app.command()
def pack(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 if a file is old.")
    ] = False,
) -> None:
    """Make the exam's packs (exam/) anew from the scenarios and the rubric."""
    from lab.pack import stale, write

    changed = stale() if check else write()
    for place in changed:
        typer.echo(f"{'old' if check else 'wrote'} exam/{place}")
    if not changed:
        typer.echo("the packs are as the scenarios have them")
    raise typer.Exit(check and bool(changed))


@app.command()
def erase(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Stop the lab and delete its data and logs."""
    from lab.running import erase_lab

    directory = _settings().directory
    if not yes:
        typer.confirm(f"Delete {directory} with all data and logs?", abort=True)
    typer.echo(erase_lab(directory))


def main() -> None:
    """Run the command; errors that a person can mend are one line on standard error, exit code 1."""
    if sys.argv[1:] == ["up"]:
        # Straight to it: the parser's own imports would cost the start a third of a second.
        up()
    from embedded.errors import LabError

    try:
        app(prog_name="lab")
    except LabError as error:
        typer.echo(error, err=True)
        sys.exit(1)
    except OSError as error:
        # Of a file that somebody named; anything else is a defect, whose place must be seen.
        if error.filename is None:
            raise
        typer.echo(f"{error.filename}: {error.strerror}", err=True)
        sys.exit(1)


def _settings() -> "Settings":
    from embedded.environment import settings, user_environment

    return settings(user_environment())
