"""Graded runs side by side, on the terminal and as a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from services.exam.grading.score import Score
from services.exam.journal import RunFacts
from services.exam.report import Graded, compare_html, compare_table


def compare_runs(reports: Sequence[Mapping[str, Any]], *, output: Path | None) -> None:
    """Print a table of the runs of these reports (``report.json``); write it as HTML where asked for."""
    runs = [
        Graded(RunFacts.model_validate(one["journal"]["run"]), Score.model_validate(one["score"]))
        for one in reports
    ]
    console = Console(highlight=False)
    console.print(compare_table(runs))
    if output is not None:
        output.write_text(compare_html(runs), encoding="utf-8")
        console.print(f"wrote {output}")
