"""What a batch leaves: its file of JSON lines, with which a later one can go on, and its table."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import IO

from pydantic import TypeAdapter
from rich.table import Table

from embedded.errors import LabError
from lab.batch import Exam, Result, console, private_file
from lab.scenario import known_scenarios
from scenarios.model import NO_FAULT

_RESULT = TypeAdapter(Result)


def still_to_sit(wanted: Sequence[Exam], earlier: Sequence[Result]) -> list[Exam]:
    """Those of which there is no result yet, in their order."""
    done = Counter(Exam(one.scenario, one.seed) for one in earlier)
    left = []
    for exam in wanted:
        if done[exam]:
            done[exam] -= 1
        else:
            left.append(exam)
    return left


def graded_before(file: Path, *, candidate: str) -> list[Result]:
    """The exams of this candidate in an earlier batch's file that have a grade.

    ``LabError`` for a line that is none of a batch's, or that is not complete.
    """
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(keepends=True), start=1):
        try:
            found.append(_RESULT.validate_json(line))
        except ValueError as error:
            raise LabError(f"{file}, line {number} is no exam of a batch: take it out") from error
        if not line.endswith("\n"):
            raise LabError(f"{file} ends in the middle of a line: end it")
    return [one for one in found if one.candidate == candidate and one.state == "graded"]


def results_file(file: Path, *, resume: bool) -> IO[str]:
    """Where a batch writes its lines: a file of its own, or that of an earlier one, at its end.

    ``LabError`` where it is there already and is not to be gone on with.
    """
    try:
        return file.open("a", encoding="utf-8") if resume else private_file(file)
    except FileExistsError as error:
        raise LabError(
            f"{file} is there already: go on with it (--resume), or name another file (--output)"
        ) from error


def show_summary(results: Sequence[Result]) -> None:
    """Print a line for each scenario: points, and how long it took to the page and to the mitigation.

    The time to the mitigation is the mean over the graded exams that had one: how many had stands beside it.
    """
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("scenario")
    for column in ("runs", "points", "least", "most", "detect s", "mitigated", "mitigate s", "took s"):
        table.add_column(column, justify="right")
    table.add_column("agent failed", justify="right")
    for row in _summary(results):
        table.add_row(*row)
    console(stderr=False).print(table)


def _summary(results: Sequence[Result]) -> Iterator[tuple[str, ...]]:
    by_scenario: defaultdict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_scenario[result.scenario].append(result)
    nothing_breaks = {
        name
        for name, scenario in known_scenarios().items()
        if all(fault.mode == NO_FAULT for fault in scenario.faults)
    }
    for scenario, found in sorted(by_scenario.items()):
        points = [one.points for one in found if one.points is not None]
        yield (
            scenario,
            str(len(found)),
            _mean(points),
            f"{min(points):g}" if points else "-",
            f"{max(points):g}" if points else "-",
            _mean([one.times.get("detect_s") for one in found]),
            "-" if scenario in nothing_breaks else _mitigated(found),
            _mean([one.times.get("mitigate_s") for one in found]),
            _mean([one.took_s for one in found]),
            str(sum(one.has_agent_failed for one in found)),
        )


def _mitigated(found: Sequence[Result]) -> str:
    graded = [one for one in found if one.state == "graded"]
    return f"{sum(one.times.get('mitigate_s') is not None for one in graded)}/{len(graded)}"


def _mean(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{fmean(known):.1f}" if known else "-"
