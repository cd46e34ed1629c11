"""``lab scenario``: the incidents that this lab can play, one of them by hand, and the proof of each."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from scenarios.access import LabAccess
    from scenarios.model import Scenario
    from scenarios.stage import Stage

app = typer.Typer(help="Look at scenarios, play one by hand, prove what it says.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A scenario's name: `lab scenario list`.")]
_BASELINE = "scenario-baseline.json"


@app.command("list")
def list_all() -> None:
    """List the scenarios."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("name", "difficulty", "title"):
        table.add_column(column, no_wrap=column == "name")
    for scenario in known_scenarios().values():
        table.add_row(scenario.name, scenario.difficulty, scenario.title)
    _console().print(table)


@app.command()
def show(
    name: Name,
    truth: Annotated[
        bool, typer.Option("--truth", help="The answer too. For examiners: it spoils the exam.")
    ] = False,
) -> None:
    """Show a scenario: what customers say and what help there is; with --truth all of it."""
    scenario = scenario_named(name)
    console = _console()
    console.print(f"{scenario.name}: {scenario.title} ({scenario.difficulty})", style="bold")
    console.print(scenario.symptom)
    prices = ", ".join(str(hint.price) for hint in scenario.hints)
    console.print(f"{len(scenario.hints)} hints, at {prices} points")
    if not truth:
        console.print("What is true about it shows `--truth`: it spoils the exam.", style="dim")
        return
    import yaml

    told = scenario.model_dump(mode="json", exclude_none=True, exclude={"name", "title", "symptom"})
    console.print(yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=100), markup=False)


@app.command()
def start(
    name: Name,
    seed: Annotated[int, typer.Option(min=0, help="Decides when which red herring is shown.")] = 1,
) -> None:
    """Break the lab that runs as the scenario says, until `lab scenario stop`.

    Refused while the schedule or an exam breaks it. A service that restarts meanwhile comes back whole.
    """
    from scenarios import baseline
    from scenarios.oracle import routes_of

    scenario, stage = scenario_named(name), _stage()
    with _said_plainly():
        stage.require_free()
        before = baseline.take(stage.lab, routes=routes_of(scenario))
        _keep_baseline(before.model_dump_json())
        stage.begin(scenario)
        stage.inject(scenario)
        stage.show_red_herrings(scenario, seed=seed)
    typer.echo(f"the lab plays {name}; its baseline was {before.digest[:16]}; `lab scenario stop` ends it")


@app.command()
def stop() -> None:
    """Put the lab back, and compare it with how it was at the start. Exit code 1 if it is not the same.

    Refused while an exam is on.
    """
    from scenarios import baseline

    stage = _stage()
    kept = _directory() / _BASELINE
    with _said_plainly():
        stage.require_no_exam()
        stage.restore()
        stage.end()
        if not kept.exists():
            typer.echo("the lab is at its baseline; what it was before was not kept")
            return
        before = baseline.Baseline.model_validate_json(kept.read_text())
        after = baseline.take(stage.lab)
    kept.unlink()
    different = baseline.differences(before, after)
    for line in different:
        typer.echo(f"not as before: {line}", err=True)
    if different:
        raise typer.Exit(1)
    typer.echo(f"the lab is as before: {after.digest[:16]}")


@app.command()
def verify(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Scenarios, or `all`.")],
    seed: Annotated[int, typer.Option(min=0, help="Decides when which red herring is shown.")] = 1,
) -> None:
    """Prove on the lab that runs what the scenarios say. It takes minutes, and breaks the lab meanwhile.

    Exit code 1 when something could not be proved.
    """
    from scenarios.verify import Verification

    wanted = list(known_scenarios()) if names == ["all"] else names
    scenarios, stage, console = [scenario_named(name) for name in wanted], _stage(), _console()
    wrong = untried = 0
    for scenario in scenarios:
        console.print(f"{scenario.name}", style="bold")
        with _said_plainly():
            for proof in Verification(scenario, stage, seed=seed).proofs():
                mark, style = {True: ("ok", "green"), False: ("WRONG", "red"), None: ("-", "dim")}[proof.ok]
                wrong += proof.ok is False
                untried += proof.ok is None
                console.print(f"  {mark:<6}", style=style, end="")
                line = f"{proof.what:<52} {proof.took_s:6.1f} s"
                detail = proof.detail if proof.ok is not True else _short(proof.detail)
                console.print(f"{line}  {detail}", markup=False, soft_wrap=True)
    left = f", {untried} could not be tried" if untried else ""
    console.print(
        f"{wrong} not proved{left}" if wrong else f"everything proved{left}",
        style="red" if wrong else "green",
    )
    if wrong:
        raise typer.Exit(1)


def _short(detail: str) -> str:
    return detail if len(detail) <= 90 else f"{detail[:87]}..."


def known_scenarios() -> "dict[str, Scenario]":
    """Every scenario by name. ``LabError`` with what is wrong in any file."""
    from embedded.errors import LabError
    from scenarios.model import ScenarioError, load_all

    try:
        return load_all()
    except ScenarioError as error:
        raise LabError(str(error)) from error


def scenario_named(name: str) -> "Scenario":
    """One scenario. ``LabError`` with all names if there is none of this one."""
    from embedded.errors import LabError

    known = known_scenarios()
    if name not in known:
        raise LabError(f"there is no scenario {name!r}; there are: {', '.join(known)}")
    return known[name]


def _stage() -> "Stage":
    from scenarios.stage import Stage

    return Stage(_access())


def _access() -> "LabAccess":
    """The embedded lab of ``LAB_DIR`` if it runs; else the lab that the environment describes."""
    from embedded.environment import settings, user_environment
    from lab.access import of_compose, of_embedded

    lab = settings(user_environment())
    return of_embedded(lab) or of_compose(lab)


def _directory() -> Path:
    from embedded.environment import settings, user_environment

    return settings(user_environment()).directory


def _keep_baseline(text: str) -> None:
    from embedded.postgres import write_private

    _directory().mkdir(parents=True, exist_ok=True)
    write_private(_directory() / _BASELINE, text)


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False)


@contextmanager
def _said_plainly() -> Iterator[None]:
    """What the lab refuses is one line for a person."""
    from embedded.errors import IS_THE_LAB_UP, LabError
    from scenarios.access import AccessError, Away
    from scenarios.records import RecordsUnreachable

    try:
        yield
    except Away as error:
        raise LabError(f"{error}. {IS_THE_LAB_UP}") from error
    except (AccessError, RecordsUnreachable) as error:
        raise LabError(str(error)) from error
