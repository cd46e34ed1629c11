"""``lab export`` and ``lab rca-baseline``."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lab.export.baseline import Answer
    from lab.export.recording import Recording
    from services.exam.journal import Journal

HEALTHY_S = 120
"""Less than so many healthy seconds before the fault say little about what is normal."""


class Format(StrEnum):
    """How a run is written."""

    FIREDRILL = "firedrill"
    RCAEVAL = "rcaeval"
    OPENRCA = "openrca"


def export(
    run: Annotated[
        str | None, typer.Argument(help="The run's id, or its beginning; the newest if left out.")
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="firedrill has everything; the others are benchmarks' layouts.")
    ] = Format.FIREDRILL,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A folder; exports in LAB_DIR if left out.")
    ] = None,
) -> None:
    """Export a finished run as data: its metrics, logs, traces and truth.

    Telemetry and metrics are kept for a while only: export soon after the run, while the lab is up.
    """
    folder = output or _exports()
    with _recording(run) as recording:
        typer.echo(f"wrote {_write(recording, form, folder)}")


def rca_baseline(
    runs: Annotated[
        list[str] | None,
        typer.Argument(help="Runs, or folders of exported cases (rcaeval); the newest run if left out."),
    ] = None,
    python: Annotated[
        Path | None, typer.Option(help="An interpreter that has RCAEval; that of `make rca` if left out.")
    ] = None,
) -> None:
    """Ask RCAEval's BARO and nSigma which service broke, and compare that with the truth and with chance."""
    from lab.export.baseline import ask, interpreter

    program = python or interpreter()
    with tempfile.TemporaryDirectory(prefix="firedrill-rca-") as folder:
        cases = [_case(one, Path(folder)) for one in _named(runs)]
        _show(cases, ask(cases, python=program))


def _named(runs: list[str] | None) -> list[str | None]:
    return list(runs) if runs else [None]


def _case(run: str | None, folder: Path) -> Path:
    if run is not None and Path(run).is_dir():
        return Path(run)
    with _recording(run) as recording:
        return _write(recording, Format.RCAEVAL, folder)


def _write(recording: "Recording", form: Format, folder: Path) -> Path:
    from lab.export import firedrill, openrca, rcaeval

    for gap in recording.gaps:
        typer.echo(f"note: {gap}", err=True)
    writers = {
        Format.FIREDRILL: firedrill.write,
        Format.RCAEVAL: rcaeval.write,
        Format.OPENRCA: openrca.write,
    }
    return writers[form](recording, folder)


@contextmanager
def _recording(run: str | None) -> Iterator["Recording"]:
    """A finished run with everything that the lab still knows about it."""
    from embedded.environment import settings, user_environment
    from embedded.errors import LabError
    from lab import access
    from lab.exam_client import examiner
    from lab.export import metrics
    from lab.export.recording import Recording, inject_time
    from lab.export.telemetry import StoredTelemetry
    from scenarios.access import AccessError
    from scenarios.model import load_all
    from services.exam.journal import Journal

    client = examiner()
    journal = Journal.model_validate(client.get(f"/runs/{client.run(run)['id']}/journal"))
    scenario = load_all()[journal.run.scenario]
    facts, lab_settings = journal.run, settings(user_environment())
    lab = access.of_embedded(lab_settings) or access.of_compose(lab_settings)
    frame = metrics.read(
        lab.urls["prometheus"],
        since=facts.started_at,
        until=facts.ended_at,
        inject_time=inject_time(scenario, journal),
    )
    try:
        with lab.reading() as session:
            telemetry = StoredTelemetry(session, since=facts.started_at, until=facts.ended_at)
            metric_gaps = [*_metric_gaps(metrics.unmeasured_for_s(frame)), *frame.gaps]
            gaps = [*telemetry.gaps(), *metric_gaps, *_too_short(journal)]
            yield Recording(scenario=scenario, journal=journal, metrics=frame, telemetry=telemetry, gaps=gaps)
    except AccessError as error:
        raise LabError(str(error)) from error


def _metric_gaps(unmeasured_s: float) -> list[str]:
    if unmeasured_s <= HEALTHY_S / 4:
        return []
    what = "at all" if unmeasured_s == float("inf") else f"of the run's first {unmeasured_s:.0f} s"
    return [f"there are no metrics {what}: Prometheus keeps them for an hour, and not over its own restart"]


def _too_short(journal: "Journal") -> list[str]:
    injected_at = journal.run.injected_at
    if injected_at is None:
        return []
    healthy_s = (injected_at - journal.run.started_at).total_seconds()
    if healthy_s >= HEALTHY_S:
        return []
    return [
        f"only {healthy_s:.0f} healthy seconds are before the fault: `lab exam start --soak 300` gives more"
    ]


def _exports() -> Path:
    from embedded.environment import settings, user_environment

    return settings(user_environment()).directory / "exports"


def _show(cases: Sequence[Path], answers: Sequence[Sequence["Answer"]]) -> None:
    from lab.export.baseline import TOP, hits

    for case, said in zip(cases, answers, strict=True):
        typer.echo(case.name)
        for one in said:
            place = f"place {one.place}" if one.place else "not ranked"
            typer.echo(f"  {one.method:<7} {place:<11} {' > '.join(one.services)}")
    typer.echo(f"{'':<9} {'true service among the first':>30}")
    for method in (one.method for one in answers[0]):
        own = [one for said in answers for one in said if one.method == method]
        for k in TOP:
            chance = sum(one.chance[k] for one in own) / len(own)
            typer.echo(
                f"  {method:<7} {k}: {hits(own, k=k):>4.0%}   by chance {chance:.0%}   ({len(own)} cases)"
            )
