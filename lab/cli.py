"""The ``lab`` command: a thin client of the embedded lab.

What a command needs is imported when it runs, so that ``lab --help`` is quick
and ``lab up`` loses no time.
"""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from lab import exam

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
) -> None:
    """Show what the services wrote."""
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


@app.command()
def budget() -> None:
    """Show the memory and CPU limits of the compose lab's containers, and their sum."""
    from lab.budget import show_budget

    show_budget()


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
        app()
    except LabError as error:
        typer.echo(error, err=True)
        sys.exit(1)


def _settings() -> "Settings":
    from embedded.environment import settings, user_environment

    return settings(user_environment())
