"""Several runs side by side: as a page, and as a table for the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from rich.table import Table
from rich.text import Text

from services.exam.grading.score import Score
from services.exam.journal import RunFacts
from services.exam.report.document import TEMPLATES, style
from services.exam.report.words import duration, points


@dataclass(frozen=True)
class Graded:
    """A run and what it scored."""

    run: RunFacts
    score: Score


@dataclass(frozen=True)
class Line:
    """One row of a comparison: a figure for each run, the best ones marked."""

    name: str
    figures: tuple[str, ...]
    best: tuple[bool, ...]
    is_heading: bool = False


def compare_html(runs: Sequence[Graded]) -> str:
    """The comparison as one file."""
    lines = compared(runs)
    return TEMPLATES.get_template("compare.html.j2").render(style=Markup(style()), runs=runs, lines=lines)  # noqa: S704 (ours)


def compare_table(runs: Sequence[Graded]) -> Table:
    """The comparison for the terminal; the best figures are bold."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for one in runs:
        # As text: a name in brackets is no markup.
        table.add_column(
            Text(f"{one.run.candidate}\n{one.run.scenario} #{one.run.seed}\n{str(one.run.id)[:8]}")
        )
    for line in compared(runs):
        figures = [
            Text(figure, style="bold" if is_best else "")
            for figure, is_best in zip(line.figures, line.best, strict=True)
        ]
        table.add_row(Text(line.name, style="bold" if line.is_heading else ""), *figures)
    return table


def compared(runs: Sequence[Graded]) -> list[Line]:
    """Total, criteria, items, hints and times. Runs with and without a fault share the criteria only."""
    scores = [one.score for one in runs]
    lines = [_points("Total", [score.points for score in scores], is_heading=True)]
    for nth, criterion in enumerate(scores[0].criteria):
        same = [score.criteria[nth] for score in scores]
        lines.append(_points(criterion.title, [one.points for one in same], is_heading=True))
        measures = dict.fromkeys(item.measure for one in same for item in one.items)
        for measure in measures:
            found = [{item.measure: item.points for item in one.items}.get(measure) for one in same]
            lines.append(_points(measure.replace("_", " "), found))
    lines.append(
        _points("Hints", [-sum(hint.price for hint in score.hints) for score in scores], is_heading=True)
    )
    return [*lines, *_times(scores)]


def _points(name: str, values: Sequence[float | None], *, is_heading: bool = False) -> Line:
    known = [value for value in values if value is not None]
    return Line(
        name,
        tuple("–" if value is None else points(value) for value in values),
        _marked(values, max(known, default=None)),
        is_heading,
    )


def _times(scores: Sequence[Score]) -> list[Line]:
    lines = [Line("Times", ("",) * len(scores), (False,) * len(scores), is_heading=True)]
    for name in ("detect", "page", "acknowledge", "mitigate", "resolve"):
        values: list[float | None] = [getattr(score.times, f"{name}_s") for score in scores]
        known = [value for value in values if value is not None]
        best = _marked(values, min(known, default=None))
        lines.append(Line(f"to {name}, min:s", tuple(map(duration, values)), best))
    burned = [score.times.budget_burned for score in scores]
    figures = tuple(f"{value * 100:.1f} %" for value in burned)
    return [*lines, Line("error budget burned", figures, _marked(burned, min(burned)))]


def _marked(values: Sequence[float | None], best: float | None) -> tuple[bool, ...]:
    """Where the best value is; nowhere if all are alike."""
    differ = len(set(values)) > 1
    return tuple(differ and value is not None and value == best for value in values)
