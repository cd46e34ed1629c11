"""``lab repeat``: the same incidents again and again on the lab that runs, and how alike they were.

Each run is an exam that nobody sits: the fault stays until time is up.
"""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lab.exam_client import ExamClient
    from lab.repeatability import Measured
    from services.exam.journal import Journal

NOBODY = "repeatability"
POLL_S = 1.0


def repeat(
    scenarios: Annotated[list[str] | None, typer.Argument(help="Scenarios; all of them if left out.")] = None,
    runs: Annotated[int, typer.Option(min=2, help="How often each is played.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="The same for each run.")] = 1,
    soak: Annotated[float, typer.Option(min=10, help="Healthy seconds before the fault.")] = 30,
    hold: Annotated[float, typer.Option(min=45, help="Seconds that the fault stays.")] = 75,
) -> None:
    """Play scenarios again and again on the lab that runs; say how alike the incidents were.

    The lab must play nothing itself: `SCENARIO=none make lab`. The load that it carries belongs to what is
    measured, and so does everything else that the machine does meanwhile.
    """
    from lab.exam_client import examiner
    from lab.repeatability import measure, row, told
    from lab.scenario import known_scenarios, scenario_named

    names = [scenario_named(name).name for name in scenarios or known_scenarios()]
    client = examiner()
    wanted = {"candidate": NOBODY, "seed": seed, "soak_s": soak, "minutes": (soak + hold) / 60, "open": True}
    typer.echo("| scenario | runs | to the alert, s | to the page, s | errors | p95, ms | alerts |")
    typer.echo("| --- | --- | --- | --- | --- | --- | --- |")
    for scenario in names:
        measured: list[Measured] = []
        try:
            for number in range(1, runs + 1):
                measured.append(measure(_played(client, {**wanted, "scenario": scenario})))
                typer.echo(f"{scenario}: run {number} of {runs}: {told(measured[-1])}", err=True)
        finally:
            # Also of what was ended early: a run takes minutes. One alone has nothing to be like.
            if len(measured) > 1:
                typer.echo(row(scenario, measured))


def _played(client: "ExamClient", wanted: dict[str, object]) -> "Journal":
    """One run from its start to its journal. What ends it early (Ctrl-C, an error) aborts the run."""
    from embedded.errors import LabError
    from lab.exam_client import aborted_if_left, looks
    from services.exam.journal import Journal

    run = client.post("/runs", wanted)
    with aborted_if_left(client, run["id"]):
        client.post(f"/runs/{run['id']}/start")
        for seen in looks(client, run["id"], every_s=POLL_S, tell=_tell):
            if seen["state"] == "aborted":
                raise LabError(f"run {run['id']} was aborted")
            if seen["state"] == "graded":
                break
    return Journal.model_validate(client.get(f"/runs/{run['id']}/journal"))


def _tell(text: str) -> None:
    typer.echo(text, err=True)
